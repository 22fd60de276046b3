/** Equality and order. Numbers of all three types are one line of numbers; text is ordered by code point. */
import { Duration, Timestamp } from "./time.ts";
import { noOverload } from "./type-of.ts";
import { type Failure, isDictionary, isList, TypeValue, Uint, type Value } from "./value.ts";

/** Values of different types are unequal, except numbers. NaN is not equal to itself. */
export function equal(left: Value, right: Value): boolean {
  if (left === right) return true;
  if (isNumber(left)) return isNumber(right) && order(number(left), number(right)) === 0;
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) return false;
  if (isList(left)) {
    if (!isList(right) || left.length !== right.length) return false;
    return left.every((element, index) => equal(element, right[index] as Value));
  }
  if (isDictionary(left)) {
    if (!isDictionary(right) || left.size !== right.size) return false;
    return [...left].every(([key, value]) => right.has(key) && equal(value, right.get(key) as Value));
  }
  if (left instanceof TypeValue) return right instanceof TypeValue && left.name === right.name;
  return compare(left, right) === 0;
}

/** Negative, 0 or positive; NaN where neither comes first; a Failure where the two have no order. */
export function compare(left: Value, right: Value): number | Failure {
  if (isNumber(left) && isNumber(right)) return order(number(left), number(right));
  if (typeof left === "string" && typeof right === "string") return compareText(left, right);
  if (typeof left === "boolean" && typeof right === "boolean") return Number(left) - Number(right);
  if (left instanceof Uint8Array && right instanceof Uint8Array) return Buffer.compare(left, right);
  const times =
    (left instanceof Timestamp && right instanceof Timestamp) ||
    (left instanceof Duration && right instanceof Duration);
  return times ? order(left.nanoseconds, right.nanoseconds) : noOverload("comparison", left, right);
}

/** JavaScript orders text by UTF-16 unit, which puts what lies beyond U+FFFF before U+E000. */
export function compareText(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index++) {
    const [a, b] = [left.charCodeAt(index), right.charCodeAt(index)];
    if (a !== b) return rank(a) - rank(b);
  }
  return left.length - right.length;
}

function rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

function isNumber(value: Value): value is bigint | number | Uint {
  return typeof value === "bigint" || typeof value === "number" || value instanceof Uint;
}

function number(value: bigint | number | Uint): bigint | number {
  return value instanceof Uint ? value.value : value;
}

/** An int beside a double is compared as a double, which loses what lies beyond 2^53: so CEL wants it. */
function order(left: bigint | number, right: bigint | number): number {
  if (typeof left !== typeof right) return order(Number(left), Number(right));
  if (left < right) return -1;
  if (left > right) return 1;
  // Neither: equal, or one of them is NaN.
  return left >= right ? 0 : Number.NaN;
}
