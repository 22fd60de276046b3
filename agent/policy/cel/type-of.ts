/** The type of a value, in CEL's words. */
import { Duration, Timestamp } from "./time.ts";
import { Failure, isDictionary, isList, TypeValue, Uint, type Value } from "./value.ts";

export const TIMESTAMP = "google.protobuf.Timestamp";
export const DURATION = "google.protobuf.Duration";

/** Names that stand for a type in an expression. */
export const TYPE_NAMES: ReadonlySet<string> = new Set(
  ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"].concat(
    TIMESTAMP,
    DURATION,
  ),
);

export function typeOf(value: Value): string {
  switch (typeof value) {
    case "string":
      return "string";
    case "boolean":
      return "bool";
    case "bigint":
      return "int";
    case "number":
      return "double";
    default:
      return objectType(value);
  }
}

function objectType(value: Exclude<Value, string | boolean | bigint | number>): string {
  if (value === null) return "null_type";
  if (isList(value)) return "list";
  if (isDictionary(value)) return "map";
  if (value instanceof Uint) return "uint";
  if (value instanceof Timestamp) return TIMESTAMP;
  if (value instanceof Duration) return DURATION;
  return value instanceof TypeValue ? "type" : "bytes";
}

/** `left + right` has no meaning: in the words the checker uses too. */
export function noOverload(operation: string, ...operands: readonly Value[]): Failure {
  return new Failure(`no such overload: ${operation} of ${operands.map(typeOf).join(" and ")}`);
}
