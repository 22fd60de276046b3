import { readdirSync, readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { BpfMap, BpfObject, Native } from "../../agent/dataplane/native.ts";
import { builtNative, obstacle, Scratch, u32, u64 } from "./scratch.ts";

const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i);

/** Our own descriptor of a program; the addon never shows it. */
function programDescriptor(id: number): number {
  const found = readdirSync("/proc/self/fdinfo").find((fd) => {
    try {
      return readFileSync(`/proc/self/fdinfo/${fd}`, "utf8").includes(`prog_id:\t${id}\n`);
    } catch {
      return false; // the descriptor of the directory itself, closed by now
    }
  });
  return Number(found);
}

describe.skipIf(obstacle())("BpfMap", () => {
  let native: Native;
  let scratch: Scratch;
  let object: BpfObject;
  beforeAll(() => {
    native = builtNative();
    scratch = new Scratch();
  });
  afterAll(() => scratch?.remove());
  beforeEach(() => {
    object = new native.BpfObject(scratch.compile("maps"));
    object.load();
  });
  afterEach(() => object.close());

  /** The entries as pairs in the order of keys, one u32 key and `valueSize` bytes of value each. */
  const pairs = (map: BpfMap) => {
    const { keys, values, count } = map.entries();
    expect([keys.length, values.length]).toEqual([count * map.keySize, count * map.valueSize]);
    return numbers(count)
      .map(
        (i) =>
          [
            keys.readUInt32LE(i * map.keySize),
            values.subarray(i * map.valueSize, (i + 1) * map.valueSize),
          ] as const,
      )
      .sort(([a], [b]) => a - b);
  };

  it("tells its facts, read-only, also after close", () => {
    const map = object.map("numbers");
    expect(map).toMatchObject({ name: "numbers", type: 1, keySize: 4, valueSize: 8, maxEntries: 20000 });
    expect(map.id).toBeGreaterThan(0);
    expect(() => {
      (map as { keySize: number }).keySize = 1;
    }).toThrow(TypeError);
    map.close();
    expect(map.keySize).toBe(4);
  });

  it("puts, gets and deletes; an absent key is undefined and false", () => {
    const map = object.map("numbers");
    expect(map.get(u32(1))).toBeUndefined();
    map.put(u32(1), u64(11n));
    expect(map.get(u32(1))).toEqual(u64(11n));
    map.put(u32(1), u64(12n));
    expect(map.get(u32(1))).toEqual(u64(12n));
    expect(map.delete(u32(1))).toBe(true);
    expect(map.delete(u32(1))).toBe(false);
    expect(map.get(u32(1))).toBeUndefined();
  });

  it("takes keys and values of exactly its sizes", () => {
    const map = object.map("numbers");
    const wrong = (message: RegExp) =>
      expect.objectContaining({
        name: "RangeError",
        code: "ERR_INVALID_ARG",
        message: expect.stringMatching(message),
      });
    expect(() => map.get(Buffer.alloc(3))).toThrow(wrong(/key must have 4 bytes, not 3/));
    expect(() => map.put(u32(1), Buffer.alloc(9))).toThrow(wrong(/value must have 8 bytes, not 9/));
    expect(() => map.delete(Buffer.alloc(0))).toThrow(wrong(/key must have 4 bytes, not 0/));
    expect(() => map.putBatch(Buffer.alloc(5), Buffer.alloc(8))).toThrow(
      wrong(/keys must be a multiple of 4/),
    );
    expect(() => map.putBatch(u32(1, 2), u64(1n))).toThrow(wrong(/values must have 16 bytes, not 8/));
    expect(() => map.put(new Uint8ClampedArray(4) as unknown as Uint8Array, u64(1n))).toThrow(
      expect.objectContaining({ name: "TypeError", code: "ERR_INVALID_ARG" }),
    );
    expect(map.entries().count).toBe(0);
  });

  it("reads views into larger buffers at their offset", () => {
    const map = object.map("numbers");
    const bytes = Buffer.concat([u32(9, 5), u64(77n), u32(9)]);
    map.put(bytes.subarray(4, 8), bytes.subarray(8, 16));
    expect(map.get(u32(5))).toEqual(u64(77n));
  });

  it("puts, reads and deletes thousands in batches, skipping keys that are not there", () => {
    const map = object.map("numbers");
    const keys = numbers(15000);
    expect(map.putBatch(u32(...keys), u64(...keys.map((key) => BigInt(key) * 3n)))).toBe(15000);
    const read = pairs(map);
    expect(read.map(([key]) => key)).toEqual(keys);
    expect(read.every(([key, value]) => value.readBigUInt64LE() === BigInt(key) * 3n)).toBe(true);
    // Every second key of the first 10,000, and as many that are absent, mixed.
    const mixed = numbers(10000).map((i) => (i % 2 === 0 ? i : 100000 + i));
    expect(map.deleteBatch(u32(...mixed))).toBe(5000);
    expect(map.entries().count).toBe(10000);
    expect(map.deleteBatch(u32(...mixed))).toBe(0);
    expect(map.putBatch(Buffer.alloc(0), Buffer.alloc(0))).toBe(0);
  });

  it("says how many it wrote when it is full midway", () => {
    const map = object.map("few");
    const keys = numbers(32);
    expect(() => map.putBatch(u32(...keys), u64(...keys.map(BigInt)))).toThrow(
      expect.objectContaining({ code: "E2BIG", written: 10, operation: "put batch into map few" }),
    );
    expect(pairs(map).map(([key]) => key)).toEqual(numbers(10));
  });

  it("reads all entries of a map smaller than a batch", () => {
    const map = object.map("few");
    map.putBatch(u32(1, 2, 3), u64(1n, 2n, 3n));
    expect(pairs(map).map(([key]) => key)).toEqual([1, 2, 3]);
  });

  it("holds one value per possible CPU in a per-CPU map, also in batches", () => {
    const map = object.map("per_cpu");
    const cpus = native.possibleCpus();
    expect(map.valueSize).toBe(8 * cpus); // a u32, rounded up
    const value = Buffer.concat(numbers(cpus).map((cpu) => u32(100 + cpu, 0)));
    map.put(u32(1), value);
    expect(map.get(u32(1))).toEqual(value);
    expect(() => map.put(u32(1), u32(1))).toThrow(RangeError);
    expect(map.putBatch(u32(2, 3), Buffer.concat([value, value]))).toBe(2);
    expect(pairs(map)).toEqual([1, 2, 3].map((key) => [key, value]));
    expect(map.deleteBatch(u32(1, 2, 9))).toBe(2);
  });

  it("works with keys of prefixes", () => {
    const map = object.map("prefixes");
    const key = (length: number, ...address: number[]) => Buffer.concat([u32(length), Buffer.from(address)]);
    const keys = Buffer.concat([key(8, 10, 0, 0, 0), key(16, 10, 1, 0, 0), key(0, 0, 0, 0, 0)]);
    expect(map.putBatch(keys, u32(8, 16, 0))).toBe(3);
    expect(map.get(key(32, 10, 1, 2, 3))).toEqual(u32(16));
    expect(map.entries().count).toBe(3);
    expect(map.deleteBatch(keys)).toBe(3);
    expect(map.entries().count).toBe(0);
  });

  it("goes one by one where the kernel has no batch operations, as for arrays of programs", () => {
    const gate = new native.BpfObject(scratch.compile("gate"));
    gate.load();
    const program = gate.program("refuse4").info();
    const fd = programDescriptor(program.id);
    const map = object.map("tails");
    expect(map.putBatch(u32(0, 2), u32(fd, fd))).toBe(2);
    expect(pairs(map)).toEqual([0, 2].map((key) => [key, u32(program.id)]));
    expect(() => map.putBatch(u32(1, 3, 0), u32(fd, 0x7fffffff, fd))).toThrow(
      expect.objectContaining({ code: "EBADF", written: 1 }),
    );
    expect(map.deleteBatch(u32(0, 3, 1))).toBe(2);
    expect(pairs(map).map(([key]) => key)).toEqual([2]);
    gate.close();
  });

  it("has no keys as a queue or ring buffer, and says so", () => {
    const unsupported = expect.objectContaining({ code: "EOPNOTSUPP" });
    expect(() => object.map("queue").entries()).toThrow(unsupported);
    expect(() => object.map("ring").putBatch(u32(1), u32(1))).toThrow(unsupported);
    expect(() => object.map("ring").get(Buffer.alloc(0))).toThrow(
      expect.objectContaining({ code: "ENOTSUPP" }),
    );
  });

  it("opens again from its pin with the same content", () => {
    const pin = `${scratch.pins}/numbers`;
    const pinned = new native.BpfObject(scratch.compile("maps"));
    pinned.setPinPath("numbers", pin);
    pinned.load();
    pinned.map("numbers").put(u32(4), u64(44n));
    pinned.close();
    const map = native.BpfMap.open(pin);
    expect(map.get(u32(4))).toEqual(u64(44n));
    expect(map).toMatchObject({ name: "numbers", keySize: 4, valueSize: 8 });
  });

  it("throws ERR_CLOSED from every method once closed, and closes again without complaint", () => {
    const map = object.map("numbers");
    map.close();
    map.close();
    const closed = expect.objectContaining({ code: "ERR_CLOSED" });
    expect(() => map.get(u32(1))).toThrow(closed);
    expect(() => map.put(u32(1), u64(1n))).toThrow(closed);
    expect(() => map.delete(u32(1))).toThrow(closed);
    expect(() => map.putBatch(u32(1), u64(1n))).toThrow(closed);
    expect(() => map.deleteBatch(u32(1))).toThrow(closed);
    expect(() => map.entries()).toThrow(closed);
  });
});
