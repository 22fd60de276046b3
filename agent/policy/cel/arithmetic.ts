/** `+ - * / %` and the sign. Nothing wraps around: what does not fit is a Failure. */
import { Duration, duration, Timestamp, timestamp } from "./time.ts";
import { noOverload } from "./type-of.ts";
import { Failure, int, isList, Uint, uint, type Value } from "./value.ts";

/** Characters, bytes or elements of anything an expression builds. */
export const MAX_SIZE = 100_000;

export const TOO_LARGE = new Failure("a value grew too large");

export type Operator = "+" | "-" | "*" | "/" | "%";

export function calculate(operator: Operator, left: Value, right: Value): Value | Failure {
  if (typeof left === "bigint" && typeof right === "bigint") {
    const result = integers(operator, left, right);
    return result instanceof Failure ? result : int(result);
  }
  if (left instanceof Uint && right instanceof Uint) {
    const result = integers(operator, left.value, right.value);
    return result instanceof Failure ? result : uint(result);
  }
  if (typeof left === "number" && typeof right === "number" && operator !== "%") {
    return doubles(operator, left, right);
  }
  if (operator === "+") return add(left, right);
  if (operator === "-") return subtract(left, right);
  return noOverload(operator, left, right);
}

export function negate(value: Value): Value | Failure {
  if (typeof value === "bigint") return int(-value);
  return typeof value === "number" ? -value : noOverload("-", value);
}

function integers(operator: Operator, left: bigint, right: bigint): bigint | Failure {
  switch (operator) {
    case "+":
      return left + right;
    case "-":
      return left - right;
    case "*":
      return left * right;
    case "/":
      return right === 0n ? new Failure("division by zero") : left / right;
    case "%":
      return right === 0n ? new Failure("modulus by zero") : left % right;
  }
}

function doubles(operator: Exclude<Operator, "%">, left: number, right: number): number {
  switch (operator) {
    case "+":
      return left + right;
    case "-":
      return left - right;
    case "*":
      return left * right;
    case "/":
      return left / right;
  }
}

function add(left: Value, right: Value): Value | Failure {
  if (typeof left === "string" && typeof right === "string")
    return bounded(left.length + right.length) ?? left + right;
  if (isList(left) && isList(right)) return bounded(left.length + right.length) ?? [...left, ...right];
  if (left instanceof Uint8Array && right instanceof Uint8Array) {
    return bounded(left.length + right.length) ?? Buffer.concat([left, right]);
  }
  if (left instanceof Timestamp && right instanceof Duration)
    return timestamp(left.nanoseconds + right.nanoseconds);
  if (left instanceof Duration && right instanceof Timestamp)
    return timestamp(left.nanoseconds + right.nanoseconds);
  if (left instanceof Duration && right instanceof Duration)
    return duration(left.nanoseconds + right.nanoseconds);
  return noOverload("+", left, right);
}

function subtract(left: Value, right: Value): Value | Failure {
  if (left instanceof Timestamp && right instanceof Timestamp)
    return duration(left.nanoseconds - right.nanoseconds);
  if (left instanceof Timestamp && right instanceof Duration)
    return timestamp(left.nanoseconds - right.nanoseconds);
  if (left instanceof Duration && right instanceof Duration)
    return duration(left.nanoseconds - right.nanoseconds);
  return noOverload("-", left, right);
}

/** Undefined where a value of `size` may be built. */
export function bounded(size: number): Failure | undefined {
  return size > MAX_SIZE ? TOO_LARGE : undefined;
}
