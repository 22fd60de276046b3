/** Remembers, for each object, the policy document that was last valid: it stays enforced when an edit breaks it. */
import { createHash } from "node:crypto";
import type * as fs from "node:fs";
import { join } from "node:path";
import { type ObjectRef, refKey } from "../model/objects.ts";

export type ObjectIdentity = ObjectRef & { readonly uid: string };

export interface LastValid {
  /** The document, or undefined if there is none. */
  get(object: ObjectIdentity): unknown;
  /** `undefined` forgets: an object without a policy of its own has no last valid one. */
  set(object: ObjectIdentity, document: unknown): void;
  /** Forgets every object that is not in the list. */
  retain(objects: readonly ObjectIdentity[]): void;
}

/** A re-created object of the same name is another object: the uid is part of the key. */
function keyOf(object: ObjectIdentity): string {
  return `${refKey(object)}/${object.uid}`;
}

export function lastValidInMemory(): LastValid {
  const documents = new Map<string, unknown>();
  return {
    get: (object) => documents.get(keyOf(object)),
    set: (object, document) => {
      if (document === undefined) documents.delete(keyOf(object));
      else documents.set(keyOf(object), document);
    },
    retain: (objects) => {
      const kept = new Set(objects.map(keyOf));
      for (const key of documents.keys()) if (!kept.has(key)) documents.delete(key);
    },
  };
}

/** The calls of `node:fs` that the store makes. */
export type FileSystem = Pick<
  typeof fs,
  "mkdirSync" | "readdirSync" | "readFileSync" | "writeFileSync" | "renameSync" | "rmSync"
>;

/**
 * The same, surviving restarts: one JSON file per object in `directory`, mode 0600, written beside and renamed into
 * place. A file that cannot be read is reported and counts as absent; one that cannot be written is reported and the
 * document stays known until the agent ends. Nothing here throws: enforcement goes on with what is known.
 */
export class LastValidStore implements LastValid {
  readonly #directory: string;
  readonly #fs: FileSystem;
  readonly #onError: (error: Error) => void;
  /** By key: the document, and its JSON as the file has it (undefined: not written). */
  readonly #documents = new Map<string, { document: unknown; json: string | undefined }>();

  constructor(directory: string, fileSystem: FileSystem, onError: (error: Error) => void) {
    this.#directory = directory;
    this.#fs = fileSystem;
    this.#onError = onError;
    attempt(`make state directory \`${directory}\``, onError, () => {
      fileSystem.mkdirSync(directory, { recursive: true, mode: 0o700 });
      for (const name of fileSystem.readdirSync(directory)) {
        if (name.endsWith(".json"))
          attempt(`read last valid policy \`${name}\``, onError, () => this.#load(name));
        else if (name.endsWith(".tmp")) fileSystem.rmSync(join(directory, name), { force: true });
      }
    });
  }

  get(object: ObjectIdentity): unknown {
    return this.#documents.get(keyOf(object))?.document;
  }

  set(object: ObjectIdentity, document: unknown): void {
    const key = keyOf(object);
    if (document === undefined) {
      this.#forget(key);
      return;
    }
    const known = this.#documents.get(key);
    if (known?.document === document && known.json !== undefined) return;
    const json = JSON.stringify(document);
    // A write that failed is tried again at every reconcile, and reported once per document.
    const report = known?.document === document ? () => {} : this.#onError;
    const written =
      known?.json === json ||
      attempt(`write last valid policy of ${refKey(object)}`, report, () => this.#write(key, document));
    this.#documents.set(key, { document, json: written ? json : undefined });
  }

  retain(objects: readonly ObjectIdentity[]): void {
    const kept = new Set(objects.map(keyOf));
    for (const key of [...this.#documents.keys()]) if (!kept.has(key)) this.#forget(key);
  }

  #load(name: string): void {
    const stored: unknown = JSON.parse(this.#fs.readFileSync(join(this.#directory, name), "utf8"));
    if (!isStored(stored) || fileName(stored.key) !== name) throw new Error("it is not a file of this store");
    this.#documents.set(stored.key, { document: stored.document, json: JSON.stringify(stored.document) });
  }

  #forget(key: string): void {
    if (!this.#documents.delete(key)) return;
    const path = join(this.#directory, fileName(key));
    attempt(`remove last valid policy \`${path}\``, this.#onError, () =>
      this.#fs.rmSync(path, { force: true }),
    );
  }

  #write(key: string, document: unknown): void {
    const path = join(this.#directory, fileName(key));
    this.#fs.writeFileSync(`${path}.tmp`, JSON.stringify({ key, document }), { mode: 0o600 });
    this.#fs.renameSync(`${path}.tmp`, path);
  }
}

function attempt(what: string, onError: (error: Error) => void, operation: () => void): boolean {
  try {
    operation();
    return true;
  } catch (cause) {
    onError(new Error(`${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause }));
    return false;
  }
}

/** A hash, because a kind, a namespace, a name and a uid together may be longer than a file name. */
function fileName(key: string): string {
  return `${createHash("sha256").update(key).digest("hex")}.json`;
}

function isStored(value: unknown): value is { key: string; document: unknown } {
  return (
    typeof value === "object" &&
    value !== null &&
    "key" in value &&
    typeof value.key === "string" &&
    "document" in value
  );
}
