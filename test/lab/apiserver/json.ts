/** JSON values as the API carries them: reading a path, comparing, and freezing what the store hands out. */
import { isDeepStrictEqual } from "node:util";

export type JsonObject = { [field: string]: unknown };

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `value` if it is an object, else an empty one: for reading fields that may be absent. */
export function objectOr(value: unknown): JsonObject {
  return isObject(value) ? value : {};
}

export function arrayOr(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** `value` if it is a string, else "". */
export function stringOr(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** The value at a dotted path of plain field names, such as `spec.nodeName`; undefined where there is none. */
export function at(value: unknown, path: string): unknown {
  let here = value;
  for (const field of path.split(".")) {
    if (!isObject(here)) return undefined;
    here = Object.hasOwn(here, field) ? here[field] : undefined;
  }
  return here;
}

export function clone<T>(value: T): T {
  return structuredClone(value);
}

/** `object` without `fields`. */
export function omit(object: JsonObject, ...fields: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([field]) => !fields.includes(field)));
}

/** Equality of JSON values; a field that is undefined counts as absent. */
export function equal(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(withoutUndefined(a), withoutUndefined(b));
}

function withoutUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (!isObject(value)) return value;
  const entries = Object.entries(value).filter(([, child]) => child !== undefined);
  return Object.fromEntries(entries.map(([field, child]) => [field, withoutUndefined(child)]));
}

/** Makes `value` and everything in it read-only. Objects in the store are shared by every reader. */
export function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const child of Object.values(value)) freeze(child);
  }
  return value;
}
