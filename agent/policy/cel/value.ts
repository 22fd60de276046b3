/**
 * The values CEL computes with. int is a bigint, double a number; the rest are classes or JavaScript's own. An error on
 * the way is a `Failure`, a value like the others: it is passed on, not thrown, because `&&`, `||`, `all` and `exists`
 * absorb it, often thousands of times in one evaluation.
 */
import type { Duration, Timestamp } from "./time.ts";

export type Value =
  | null
  | boolean
  | bigint
  | number
  | string
  | Uint
  | Uint8Array
  | Timestamp
  | Duration
  | TypeValue
  | List
  | Dictionary;

export type List = readonly Value[];

/** Keys are normal: see `keyOf`. A map from outside has strings as keys. */
export type Dictionary = ReadonlyMap<Key, Value>;

export type Key = string | boolean | bigint;

export class Uint {
  readonly value: bigint;

  constructor(value: bigint) {
    this.value = value;
  }
}

/** What `type()` gives and `int`, `string`, ... mean. */
export class TypeValue {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** Why there is no value. */
export class Failure {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

/** A map that somebody wrote down: it remembers which of its keys were unsigned. */
export class WrittenMap extends Map<Key, Value> {
  readonly unsigned = new Set<bigint>();
}

export const MIN_INT = -(2n ** 63n);
export const MAX_INT = 2n ** 63n - 1n;
export const MAX_UINT = 2n ** 64n - 1n;

export function int(value: bigint): bigint | Failure {
  return value >= MIN_INT && value <= MAX_INT ? value : new Failure("integer overflow");
}

export function uint(value: bigint): Uint | Failure {
  return value >= 0n && value <= MAX_UINT ? new Uint(value) : new Failure("unsigned integer overflow");
}

/** 1, 1u and 1.0 are the same key; undefined where `value` can be none. */
export function keyOf(value: Value): Key | undefined {
  if (typeof value === "number") return Number.isInteger(value) ? BigInt(value) : undefined;
  if (value instanceof Uint) return value.value;
  return typeof value === "string" || typeof value === "boolean" || typeof value === "bigint"
    ? value
    : undefined;
}

/** The keys as they were written. */
export function keysOf(map: Dictionary): List {
  const keys = [...map.keys()];
  if (!(map instanceof WrittenMap) || map.unsigned.size === 0) return keys;
  return keys.map((key) => (typeof key === "bigint" && map.unsigned.has(key) ? new Uint(key) : key));
}

export function isList(value: unknown): value is List {
  return Array.isArray(value);
}

export function isDictionary(value: unknown): value is Dictionary {
  return value instanceof Map;
}

/** Characters or elements: what an operation on it costs. */
export function sizeOf(value: Value | Failure): number {
  if (typeof value === "string" || isList(value) || value instanceof Uint8Array) return value.length;
  return isDictionary(value) ? value.size : 1;
}
