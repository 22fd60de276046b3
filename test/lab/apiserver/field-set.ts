/** Sets of fields, as metadata.managedFields records who owns what. */
import { arrayOr, clone, equal, isObject, type JsonObject, objectOr } from "./json.ts";
import type { ObjectInput } from "./object.ts";

/** metav1.FieldsV1: `f:name` a field, `k:{"name":"a"}` an element of a keyed list; {} all of it. */
export type Fields = { [segment: string]: Fields };

/** What of a configuration its applier owns: all but what identifies the object. */
export function ownedFields(config: ObjectInput): Fields {
  const { apiVersion: _, kind: __, metadata, ...rest } = config;
  const { labels, annotations, finalizers, ownerReferences } = metadata;
  return fieldSet({ metadata: { labels, annotations, finalizers, ownerReferences }, ...rest });
}

function fieldSet(value: JsonObject): Fields {
  const entries = Object.entries(value).filter(([, child]) => child !== undefined && child !== null);
  const sets = entries.map(([field, child]): [string, Fields] => [`f:${field}`, childSet(child)]);
  return Object.fromEntries(
    sets.filter(([field, set]) => field !== "f:metadata" || Object.keys(set).length > 0),
  );
}

function childSet(value: unknown): Fields {
  if (isObject(value)) return fieldSet(value);
  const key = listKey(value);
  if (key === undefined) return {};
  const elements = arrayOr(value).map(objectOr);
  return Object.fromEntries(elements.map((element) => [elementSegment(element, key), fieldSet(element)]));
}

const listKeys = ["name", "containerPort", "port", "type", "mountPath", "ip", "uid"];

/** The field that tells a list's elements apart; undefined: the list is owned as a whole. */
function listKey(value: unknown): string | undefined {
  if (!Array.isArray(value) || value.length === 0 || !value.every(isObject)) return undefined;
  return listKeys.find((key) => {
    const values = value.map((element) => element[key]);
    return values.every((entry) => entry !== undefined) && new Set(values).size === values.length;
  });
}

function elementSegment(element: JsonObject, key: string): string {
  return `k:${JSON.stringify({ [key]: element[key] })}`;
}

/** The element that a `k:` segment names. */
function findElement(list: unknown, segment: string): number {
  const wanted = Object.entries(JSON.parse(segment.slice(2)) as JsonObject);
  return arrayOr(list).findIndex((element) =>
    wanted.every(([key, value]) => objectOr(element)[key] === value),
  );
}

function child(value: unknown, segment: string): unknown {
  if (segment.startsWith("f:")) return objectOr(value)[segment.slice(2)];
  return arrayOr(value)[findElement(value, segment)];
}

/** `value` without the fields in `gone` that none of `kept` has. */
export function removeFields(value: unknown, gone: Fields, kept: readonly Fields[]): unknown {
  let result = clone(value);
  for (const [segment, inner] of Object.entries(gone)) {
    const keepers = kept.filter((fields) => fields[segment] !== undefined);
    if (keepers.length === 0) result = without(result, segment);
    else if (Object.keys(inner).length > 0 && child(result, segment) !== undefined) {
      const deeper = keepers.map((fields) => fields[segment] ?? {});
      result = replaceChild(result, segment, removeFields(child(result, segment), inner, deeper));
    }
  }
  return result;
}

function without(value: unknown, segment: string): unknown {
  if (segment.startsWith("f:")) {
    const { [segment.slice(2)]: _, ...rest } = objectOr(value);
    return isObject(value) ? rest : value;
  }
  const found = findElement(value, segment);
  return Array.isArray(value) ? value.filter((_, index) => index !== found) : value;
}

function replaceChild(value: unknown, segment: string, replacement: unknown): unknown {
  if (segment.startsWith("f:")) return { ...objectOr(value), [segment.slice(2)]: replacement };
  const found = findElement(value, segment);
  return arrayOr(value).map((element, index) => (index === found ? replacement : element));
}

/** `fields` without those in `taken`. */
export function subtract(fields: Fields, taken: Fields): Fields {
  const left = Object.entries(fields).flatMap(([segment, inner]): [string, Fields][] => {
    const other = taken[segment];
    if (other === undefined) return [[segment, inner]];
    const rest = subtract(inner, other);
    return Object.keys(rest).length > 0 ? [[segment, rest]] : [];
  });
  return Object.fromEntries(left);
}

/** Leaves that both own and that the new configuration would change. */
export function contested(
  current: unknown,
  config: unknown,
  mine: Fields,
  theirs: Fields,
  path = "",
): string[] {
  return Object.entries(mine).flatMap(([segment, inner]) => {
    const other = theirs[segment];
    if (other === undefined) return [];
    const [now, wanted] = [child(current, segment), child(config, segment)];
    const here = segment.startsWith("f:")
      ? `${path}.${segment.slice(2)}`
      : `${path}[${segment.slice(3, -1)}]`;
    if (Object.keys(inner).length > 0 && Object.keys(other).length > 0)
      return contested(now, wanted, inner, other, here);
    return equal(now, wanted) ? [] : [here];
  });
}
