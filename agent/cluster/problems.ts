/** Says once what is odd about an object, however often the server sends it. */
import { cut } from "./api-error.ts";
import type { Log } from "./log.ts";
import type { Metadata } from "./metadata.ts";

/** Of one object and of all: what somebody else writes must not fill our log or memory. */
const MOST_OF_ONE = 20;
const MOST = 5_000;

export class Problems {
  readonly #resource: string;
  readonly #log: Log;
  readonly #said = new Map<string, Set<string>>();

  constructor(resource: string, log: Log) {
    this.#resource = resource;
    this.#log = log;
  }

  /** `path` "" is the object as a whole; no object: the stream itself. */
  report(object: Metadata | undefined, path: string, problem: string): void {
    const uid = object?.uid ?? "";
    const said = this.#said.get(uid) ?? new Set();
    const text = cut(path === "" ? problem : `${path}: ${problem}`, 300);
    if (said.has(text) || said.size >= MOST_OF_ONE) return;
    // Saying some things twice is the lesser evil.
    if (this.#said.size >= MOST) this.#said.clear();
    this.#said.set(uid, said.add(text));
    this.#log("warn", "odd object from the API server", {
      resource: this.#resource,
      ...(object && { namespace: object.namespace, name: object.name }),
      problem: text,
    });
  }

  /** The object is gone. */
  forget(uid: string): void {
    this.#said.delete(uid);
  }
}
