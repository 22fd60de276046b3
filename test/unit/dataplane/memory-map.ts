import { encodeU32 } from "../../../agent/dataplane/abi.ts";
import type { KernelMap } from "../../../agent/dataplane/table.ts";

/** A BPF hash map in memory: fixed sizes, refuses when full, and can be told to call back before every write. */
export class MemoryMap implements KernelMap {
  readonly name: string;
  readonly maxEntries: number;
  readonly content = new Map<string, Buffer>();
  readonly #keySize: number;
  readonly #valueSize: number;
  afterWrite: () => void = () => {};

  constructor(name: string, keySize: number, valueSize: number, maxEntries = 100_000) {
    this.name = name;
    this.maxEntries = maxEntries;
    this.#keySize = keySize;
    this.#valueSize = valueSize;
  }

  get(key: Uint8Array): Buffer | undefined {
    return this.content.get(Buffer.from(key).toString("latin1"));
  }

  put(key: Uint8Array, value: Uint8Array): void {
    if (key.length !== this.#keySize || value.length !== this.#valueSize)
      throw new RangeError(`${this.name}: wrong size`);
    const text = Buffer.from(key).toString("latin1");
    if (!this.content.has(text) && this.content.size >= this.maxEntries) {
      throw Object.assign(new Error(`update ${this.name}: E2BIG`), { code: "E2BIG" });
    }
    this.content.set(text, Buffer.from(value));
    this.afterWrite();
  }

  delete(key: Uint8Array): boolean {
    const deleted = this.content.delete(Buffer.from(key).toString("latin1"));
    this.afterWrite();
    return deleted;
  }

  putBatch(keys: Uint8Array, values: Uint8Array): number {
    const count = keys.length / this.#keySize;
    for (let i = 0; i < count; i++) {
      this.put(
        keys.subarray(i * this.#keySize, (i + 1) * this.#keySize),
        values.subarray(i * this.#valueSize, (i + 1) * this.#valueSize),
      );
    }
    return count;
  }

  deleteBatch(keys: Uint8Array): number {
    let count = 0;
    for (let at = 0; at < keys.length; at += this.#keySize) {
      if (this.delete(keys.subarray(at, at + this.#keySize))) count++;
    }
    return count;
  }

  entries(): { keys: Buffer; values: Buffer; count: number } {
    return {
      keys: Buffer.concat([...this.content.keys()].map((key) => Buffer.from(key, "latin1"))),
      values: Buffer.concat([...this.content.values()]),
      count: this.content.size,
    };
  }
}

/** A BPF array in memory: every entry is there from the start, and none can be deleted. */
export class MemoryArray extends MemoryMap {
  constructor(name: string, valueSize: number, maxEntries: number) {
    super(name, 4, valueSize, maxEntries);
    for (let index = 0; index < maxEntries; index++) super.put(encodeU32(index), Buffer.alloc(valueSize));
  }

  override delete(): boolean {
    throw Object.assign(new Error(`delete ${this.name}: EINVAL`), { code: "EINVAL" });
  }

  /** Entries that are not all zeros. */
  get used(): Buffer[] {
    return [...this.content.values()].filter((value) => value.some((byte) => byte !== 0));
  }
}
