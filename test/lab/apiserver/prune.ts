/** What a schema does to a value before it is checked: unknown fields go, defaults come. */
import { clone, isObject, type JsonObject, objectOr } from "./json.ts";

export interface Pruned {
  readonly value: unknown;
  /** Paths of what was removed, such as `spec.bindngs`. */
  readonly unknown: readonly string[];
}

/** `value` without the fields `schema` does not know; metadata, apiVersion and kind of an object stay. */
export function prune(schema: JsonObject, value: unknown): Pruned {
  const unknown: string[] = [];
  return { value: pruneValue(schema, value, "", unknown), unknown };
}

function pruneValue(schema: JsonObject, value: unknown, path: string, unknown: string[]): unknown {
  if (Array.isArray(value)) {
    const items = objectOr(schema.items);
    return value.map((item, index) => pruneValue(items, item, `${path}[${index}]`, unknown));
  }
  if (!isObject(value)) return value;
  const properties = objectOr(schema.properties);
  const rest = schema.additionalProperties;
  const keepsUnknown = schema["x-kubernetes-preserve-unknown-fields"] === true || rest === true;
  const kept = Object.entries(value).flatMap(([field, child]): [string, unknown][] => {
    const childPath = path === "" ? field : `${path}.${field}`;
    if (isRoot(path, schema) && ["apiVersion", "kind", "metadata"].includes(field)) return [[field, child]];
    const known = Object.hasOwn(properties, field) ? properties[field] : rest;
    if (isObject(known)) return [[field, pruneValue(known, child, childPath, unknown)]];
    if (keepsUnknown) return [[field, child]];
    unknown.push(childPath);
    return [];
  });
  return Object.fromEntries(kept);
}

function isRoot(path: string, schema: JsonObject): boolean {
  return path === "" || schema["x-kubernetes-embedded-resource"] === true;
}

/** `value` with the schema's defaults where nothing, or a null that is not allowed, stands. */
export function withDefaults(schema: JsonObject, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => withDefaults(objectOr(schema.items), item));
  if (!isObject(value)) return value;
  const filled: JsonObject = { ...value };
  for (const [field, child] of Object.entries(objectOr(schema.properties))) {
    const known = objectOr(child);
    const absent = filled[field] === undefined || (filled[field] === null && known.nullable !== true);
    if (absent && known.default !== undefined) filled[field] = clone(known.default);
    if (filled[field] !== undefined) filled[field] = withDefaults(known, filled[field]);
  }
  const rest = schema.additionalProperties;
  if (isObject(rest)) {
    for (const field of Object.keys(filled)) filled[field] = withDefaults(rest, filled[field]);
  }
  return filled;
}
