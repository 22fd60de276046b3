/**
 * One kernel map and what the agent knows to be in it. The copy is read from the kernel once, at start, and
 * follows every write; `verify` compares the two again. Keys and values are buffers of the map's exact sizes.
 */
import type { BpfMap } from "./native.ts";

/** What a table needs of a map; the addon's BpfMap is one. */
export type KernelMap = Pick<
  BpfMap,
  "name" | "maxEntries" | "get" | "put" | "delete" | "putBatch" | "deleteBatch" | "entries"
>;

export interface Entry {
  readonly key: Buffer;
  readonly value: Buffer;
}

export class Table {
  readonly map: KernelMap;
  readonly #have = new Map<string, string>();

  constructor(map: KernelMap) {
    this.map = map;
  }

  get size(): number {
    return this.#have.size;
  }

  /** Reads the kernel's entries; what was known before is forgotten. Returns them. */
  load(): Entry[] {
    this.#have.clear();
    const entries = readEntries(this.map);
    for (const { key, value } of entries) this.#have.set(key.toString("latin1"), value.toString("latin1"));
    return entries;
  }

  has(key: Buffer): boolean {
    return this.#have.has(key.toString("latin1"));
  }

  value(key: Buffer): Buffer | undefined {
    const value = this.#have.get(key.toString("latin1"));
    return value === undefined ? undefined : Buffer.from(value, "latin1");
  }

  /** Writes the entries that differ from what the map holds. Returns how many did. */
  put(entries: Iterable<Entry>): number {
    const changed: Entry[] = [];
    for (const entry of entries) {
      if (this.#have.get(entry.key.toString("latin1")) !== entry.value.toString("latin1"))
        changed.push(entry);
    }
    if (changed.length === 0) return 0;
    this.map.putBatch(
      Buffer.concat(changed.map(({ key }) => key)),
      Buffer.concat(changed.map(({ value }) => value)),
    );
    for (const { key, value } of changed) this.#have.set(key.toString("latin1"), value.toString("latin1"));
    return changed.length;
  }

  delete(keys: Iterable<Buffer>): number {
    const present = [...keys].filter((key) => this.#have.has(key.toString("latin1")));
    if (present.length === 0) return 0;
    this.map.deleteBatch(Buffer.concat(present));
    for (const key of present) this.#have.delete(key.toString("latin1"));
    return present.length;
  }

  /** Keys the map holds that `keep` has not, as latin1 text of their bytes. */
  stale(keep: ReadonlySet<string>): Buffer[] {
    return [...this.#have.keys()].filter((key) => !keep.has(key)).map((key) => Buffer.from(key, "latin1"));
  }
}

export function readEntries(map: KernelMap): Entry[] {
  const { keys, values, count } = map.entries();
  if (count === 0) return [];
  const keySize = keys.length / count;
  const valueSize = values.length / count;
  return Array.from({ length: count }, (_, i) => ({
    key: Buffer.from(keys.subarray(i * keySize, (i + 1) * keySize)),
    value: Buffer.from(values.subarray(i * valueSize, (i + 1) * valueSize)),
  }));
}

/** The form in which `Table.stale` compares keys. */
export function keyText(key: Buffer): string {
  return key.toString("latin1");
}
