/** Values from outside, as CEL's. */
import type { VariableType } from "./environment.ts";
import { Duration, Timestamp, timestampFromDate } from "./time.ts";
import { Failure, type Key, TypeValue, Uint, type Value } from "./value.ts";

/** JSON goes deeper nowhere. */
const MAX_DEPTH = 32;

/** `value` of a variable of `type`. A whole number may stand for an int, a Date for a timestamp. */
export function adopt(value: unknown, type: VariableType): Value | Failure {
  if (typeof value === "string") return value;
  if (typeof value === "number" && type === "int") {
    return Number.isSafeInteger(value) ? BigInt(value) : new Failure(`${value} is no whole number`);
  }
  // The one that is read all the time, and it is made by us.
  if (type === "map<string, string>" && value instanceof Map) return value as Map<Key, Value>;
  return adoptAny(value, 0);
}

/** Numbers are doubles, plain objects maps. */
export function adoptAny(value: unknown, depth: number): Value | Failure {
  if (depth > MAX_DEPTH) return new Failure("a value is nested too deep");
  switch (typeof value) {
    case "string":
    case "boolean":
    case "bigint":
    case "number":
      return value;
    case "object":
      return value === null ? null : adoptObject(value, depth);
    default:
      return new Failure(`there is no value of kind ${typeof value}`);
  }
}

function adoptObject(value: object, depth: number): Value | Failure {
  if (Array.isArray(value)) {
    const elements = value.map((element) => adoptAny(element, depth + 1));
    return elements.find((element) => element instanceof Failure) ?? (elements as Value[]);
  }
  if (value instanceof Date) return timestampFromDate(value);
  if (
    value instanceof Uint ||
    value instanceof Uint8Array ||
    value instanceof Timestamp ||
    value instanceof Duration ||
    value instanceof TypeValue
  ) {
    return value;
  }
  const map = new Map<Key, Value>();
  for (const [key, part] of value instanceof Map ? value : Object.entries(value)) {
    const adopted = adoptAny(part, depth + 1);
    if (adopted instanceof Failure) return adopted;
    map.set(key as Key, adopted);
  }
  return map;
}
