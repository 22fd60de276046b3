/** A copy of one collection of the API server, kept up to date by list and watch. */
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { type ApiClient, ApiError } from "./api-client.ts";
import { type KubeObject, keyOf } from "./kube-objects.ts";

interface List<T> {
  metadata: { resourceVersion: string };
  items: T[];
}

interface WatchEvent<T> {
  type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  object: T;
}

export class Mirror<T extends KubeObject> {
  readonly #client: ApiClient;
  readonly #path: string;
  readonly #changed: () => void;
  readonly #stop = new AbortController();
  readonly #objects = new Map<string, T>();
  #running: Promise<void> = Promise.resolve();

  /** `changed` is called after every change; it says "look again", not what changed. */
  constructor(client: ApiClient, path: string, changed: () => void) {
    this.#client = client;
    this.#path = path;
    this.#changed = changed;
  }

  /** Resolves once the first list has arrived. */
  start(): Promise<void> {
    return new Promise((listed) => {
      this.#running = this.#run(listed);
    });
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  all(): T[] {
    return [...this.#objects.values()];
  }

  get(namespace: string, name: string): T | undefined {
    return this.#objects.get(`${namespace}/${name}`);
  }

  async #run(listed: () => void): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        let version = await this.#list();
        listed();
        this.#changed();
        // Until the server has forgotten `version` (410) or fails: then list again.
        while (!this.#stop.signal.aborted) version = await this.#watch(version);
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        if (!(error instanceof ApiError && error.status === 410)) await sleep(100);
      }
    }
  }

  async #list(): Promise<string> {
    const list = (await this.#client.json(this.#path)) as List<T>;
    this.#objects.clear();
    for (const object of list.items) this.#objects.set(keyOf(object), object);
    return list.metadata.resourceVersion;
  }

  async #watch(from: string): Promise<string> {
    const query = `?watch=true&allowWatchBookmarks=true&resourceVersion=${from}`;
    const response = await this.#client.watch(this.#path + query, this.#stop.signal);
    let version = from;
    for await (const line of createInterface({ input: response })) {
      const { type, object } = JSON.parse(line) as WatchEvent<T>;
      if (type === "ERROR") {
        const status = object as unknown as { code: number; reason: string; message: string };
        throw new ApiError(status.code, status.reason, status.message);
      }
      version = object.metadata.resourceVersion ?? version;
      if (type === "BOOKMARK") continue;
      if (type === "DELETED") this.#objects.delete(keyOf(object));
      else this.#objects.set(keyOf(object), object);
      this.#changed();
    }
    return version;
  }
}
