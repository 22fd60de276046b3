/** What one reflector knows: the objects of one resource, at most one under a name, each with its uid. */
import { isDeepStrictEqual } from "node:util";
import { nameKey } from "../model/objects.ts";
import type { Condition } from "./conditions.ts";
import type { Metadata } from "./metadata.ts";

export interface Entry<T> {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly value: T;
  /** Beside the value, because a change of an object's status alone is no change to anybody. */
  readonly conditions: readonly Condition[] | undefined;
}

export class Store<T> {
  #entries = new Map<string, Entry<T>>();
  #values: readonly T[] | undefined = [];

  /** Every object; the same array until one of them changes. */
  values(): readonly T[] {
    this.#values ??= Array.from(this.#entries.values(), (entry) => entry.value);
    return this.#values;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(object: { readonly namespace: string; readonly name: string }): Entry<T> | undefined {
    return this.#entries.get(nameKey(object));
  }

  /** True if what `values` returns has changed. An entry with another uid takes the place of the older object. */
  put(metadata: Metadata, entry: Entry<T>): boolean {
    const before = this.get(metadata);
    this.#entries.set(nameKey(metadata), entry);
    return this.#changed(before?.value !== entry.value);
  }

  /** Only the object with this very uid: a late DELETE must not take away what came after it. */
  delete(metadata: Metadata): boolean {
    return this.get(metadata)?.uid === metadata.uid && this.deleteName(metadata);
  }

  /** Whatever has the name. */
  deleteName(object: { readonly namespace: string; readonly name: string }): boolean {
    return this.#changed(this.#entries.delete(nameKey(object)));
  }

  /** Takes `next` over, all at once: nobody ever sees a part of a list. */
  replace(next: Map<string, Entry<T>>): boolean {
    const before = this.#entries;
    const same =
      before.size === next.size &&
      next.entries().every(([key, { value }]) => before.get(key)?.value === value);
    this.#entries = next;
    return this.#changed(!same);
  }

  #changed(changed: boolean): boolean {
    if (changed) this.#values = undefined;
    return changed;
  }
}

/** The entry that follows `before`. Keeps the old value where the new one says the same, so that identity means equality. */
export function successor<T>(
  before: Entry<T> | undefined,
  metadata: Metadata,
  value: T,
  conditions: readonly Condition[] | undefined,
): Entry<T> {
  const { uid, resourceVersion } = metadata;
  const same = before !== undefined && before.uid === uid && isEqual(before.value, value);
  return { uid, resourceVersion, value: same ? before.value : value, conditions };
}

/** False also for values nested so deep that comparing them fills the stack: a change too many harms nobody. */
function isEqual(a: unknown, b: unknown): boolean {
  try {
    return isDeepStrictEqual(a, b);
  } catch {
    return false;
  }
}
