/** A copy of one collection of the API server, kept up to date by list and watch. */
import { setTimeout as sleep } from "node:timers/promises";
import { Lines } from "../../agent/cluster/lines.ts";
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
    const lines = new Lines();
    let version = from;
    for await (const chunk of response) {
      for (const line of lines.push(chunk as Buffer)) version = this.#take(JSON.parse(line)) ?? version;
    }
    return version;
  }

  /** Returns the version the event brings. Throws for an error the server sends in an event's place. */
  #take({ type, object }: WatchEvent<T>): string | undefined {
    if (type === "ERROR") {
      const status = object as unknown as { code: number; reason: string; message: string };
      throw new ApiError(status.code, status.reason, status.message);
    }
    if (type === "DELETED") this.#delete(object);
    if (type === "ADDED" || type === "MODIFIED") this.#objects.set(keyOf(object), object);
    if (type !== "BOOKMARK") this.#changed();
    return object.metadata.resourceVersion;
  }

  /** A late DELETE must not take away what has the name now. */
  #delete(object: T): void {
    const have = this.#objects.get(keyOf(object));
    if (have?.metadata.uid === object.metadata.uid) this.#objects.delete(keyOf(object));
  }
}
