/**
 * What changed, in order: the source of every watch, and the means to see a list as it was. Bounded; what was
 * dropped answers 410, as etcd after compaction.
 */
import type { KubeObject } from "./object.ts";
import type { ResourceName } from "./resource.ts";
import { expired, versionTooLarge } from "./status.ts";

export interface Change {
  readonly version: number;
  readonly resource: ResourceName;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  /** The object after the change; of a DELETED one the last state, with the version of its deletion. */
  readonly object: KubeObject;
  /** The object before; absent for ADDED. */
  readonly previous?: KubeObject;
}

export type Listener = (change: Change) => void;

export class History {
  readonly #capacity: number;
  readonly #listeners = new Set<Listener>();
  readonly #undelivered: Change[] = [];
  #changes: Change[] = [];
  #version = 1;
  /** Changes up to and including this version are forgotten. */
  #forgotten = 1;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** The version of the last change. */
  get version(): number {
    return this.#version;
  }

  /** The version that the next change will have. Asking does not use it up. */
  get next(): number {
    return this.#version + 1;
  }

  append(change: Omit<Change, "version">): void {
    this.#version++;
    const dated = { ...change, version: this.#version };
    this.#changes.push(dated);
    // Twice the capacity, then half: amortized, instead of moving the whole array at every change.
    if (this.#changes.length > 2 * this.#capacity) this.#forget(this.#changes.length - this.#capacity);
    this.#undelivered.push(dated);
    if (this.#undelivered.length === 1) this.#deliver();
  }

  /** A listener may write: what it causes is delivered after what caused it, to every listener in order. */
  #deliver(): void {
    for (let change = this.#undelivered[0]; change !== undefined; change = this.#undelivered[0]) {
      for (const listener of [...this.#listeners]) listener(change);
      this.#undelivered.shift();
    }
  }

  /** Every change after `version`, oldest first. Throws 410 if some are forgotten, 504 if it is in the future. */
  since(version: number): readonly Change[] {
    this.check(version);
    return this.#changes.slice(this.#firstAfter(version));
  }

  /** Throws unless `version` can be watched or listed from. */
  check(version: number): void {
    if (version > this.#version) throw versionTooLarge(version, this.#version);
    if (version < this.#forgotten) throw expired(`too old resource version: ${version} (${this.#forgotten})`);
  }

  /** `objects` (those of `resource` now, by key) as they were at `version`. Throws as `since` does. */
  rewind(
    resource: ResourceName,
    objects: ReadonlyMap<string, KubeObject>,
    key: (object: KubeObject) => string,
    version: number,
  ): ReadonlyMap<string, KubeObject> {
    const changes = this.since(version).filter((change) => change.resource === resource);
    if (changes.length === 0) return objects;
    const then = new Map(objects);
    for (const { object, previous } of changes.reverse()) {
      if (previous === undefined) then.delete(key(object));
      else then.set(key(previous), previous);
    }
    return then;
  }

  /** Calls `listener` at every later change, until the function returned is called. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Forgets everything: a watch or a page from any version handed out so far gets 410. */
  compact(): void {
    this.#changes = [];
    this.#version++;
    this.#forgotten = this.#version;
  }

  #forget(count: number): void {
    const last = this.#changes[count - 1];
    if (last !== undefined) this.#forgotten = last.version;
    this.#changes = this.#changes.slice(count);
  }

  /** Versions are consecutive, so the position is arithmetic. */
  #firstAfter(version: number): number {
    const first = this.#changes[0];
    return first === undefined ? 0 : Math.max(0, version - first.version + 1);
  }
}
