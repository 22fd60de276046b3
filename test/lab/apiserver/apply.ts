/**
 * Server-side apply, as far as kubectl needs it: an applier owns the fields it sends; what it no longer sends goes,
 * unless another applier has it; what another applier has otherwise is a conflict unless forced. Fields written by
 * other means than apply belong to nobody.
 */
import { arrayOr, clone, equal, isObject, type JsonObject, objectOr, stringOr } from "./json.ts";
import type { ObjectInput } from "./object.ts";
import { timestamp } from "./object.ts";
import { strategicPatch } from "./patch-strategic.ts";
import { ApiError } from "./status.ts";

export interface Application {
  readonly manager: string;
  readonly force: boolean;
  readonly apiVersion: string;
  readonly now: number;
  /** Of a kind the server knows: its lists are merged by key. */
  readonly builtin: boolean;
}

/** metav1.FieldsV1: `f:name` a field, `k:{"name":"a"}` an element of a keyed list; {} all of it. */
type Fields = { [segment: string]: Fields };

export function applyConfiguration(
  current: ObjectInput,
  config: ObjectInput,
  application: Application,
): ObjectInput {
  const entries = arrayOr(current.metadata.managedFields).map(objectOr);
  const mine = entries.find((entry) => isApplierOf(entry, application.manager));
  const others = entries.filter((entry) => entry !== mine);
  const fields = ownedFields(config);
  if (!application.force) checkConflicts(current, config, fields, others);
  const merged = application.builtin
    ? objectOr(strategicPatch(current, config, stringOr(config.kind)))
    : mergeMaps(current, config);
  const kept = others.filter(isApplier).map((entry) => fieldsOf(entry));
  const abandoned = removeFields(merged, fieldsOf(mine ?? {}), [fields, ...kept]) as ObjectInput;
  const same = mine !== undefined && equal(fieldsOf(mine), fields);
  const entry = same ? mine : newEntry(application, fields);
  const rest = application.force ? others.map((other) => withoutFields(other, fields)) : others;
  return { ...abandoned, metadata: { ...abandoned.metadata, managedFields: [...rest, entry] } };
}

function newEntry({ manager, apiVersion, now }: Application, fields: Fields): JsonObject {
  return {
    manager,
    operation: "Apply",
    apiVersion,
    time: timestamp(now),
    fieldsType: "FieldsV1",
    fieldsV1: fields,
  };
}

function isApplier(entry: JsonObject): boolean {
  return entry.operation === "Apply";
}

function isApplierOf(entry: JsonObject, manager: string): boolean {
  return isApplier(entry) && entry.manager === manager;
}

function fieldsOf(entry: JsonObject): Fields {
  return objectOr(entry.fieldsV1) as Fields;
}

/** What of a configuration its applier owns: all but what identifies the object. */
function ownedFields(config: ObjectInput): Fields {
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
function removeFields(value: unknown, gone: Fields, kept: readonly Fields[]): unknown {
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

function withoutFields(entry: JsonObject, taken: Fields): JsonObject {
  return isApplier(entry) ? { ...entry, fieldsV1: subtract(fieldsOf(entry), taken) } : entry;
}

function subtract(fields: Fields, taken: Fields): Fields {
  const left = Object.entries(fields).flatMap(([segment, inner]): [string, Fields][] => {
    const other = taken[segment];
    if (other === undefined) return [[segment, inner]];
    const rest = subtract(inner, other);
    return Object.keys(rest).length > 0 ? [[segment, rest]] : [];
  });
  return Object.fromEntries(left);
}

/** Custom resources: maps merge, lists are replaced; null is no value. */
function mergeMaps(current: JsonObject, config: JsonObject): JsonObject {
  const merged = { ...current };
  for (const [field, value] of Object.entries(config)) {
    if (value === null || value === undefined) continue;
    const old = merged[field];
    merged[field] = isObject(value) && isObject(old) ? mergeMaps(old, value) : clone(value);
  }
  return merged;
}

function checkConflicts(
  current: ObjectInput,
  config: ObjectInput,
  fields: Fields,
  others: readonly JsonObject[],
): void {
  const causes = others.filter(isApplier).flatMap((entry) =>
    contested(current, config, fields, fieldsOf(entry)).map((field) => ({
      reason: "FieldManagerConflict",
      message: `conflict with ${JSON.stringify(entry.manager)}`,
      field,
    })),
  );
  const [first] = causes;
  if (first === undefined) return;
  const list = causes.map(({ message, field }) => `${message}: ${field}`).join("\n");
  const message =
    causes.length === 1
      ? `Apply failed with 1 conflict: ${list}`
      : `Apply failed with ${causes.length} conflicts: ${list}`;
  throw new ApiError(409, "Conflict", message, { causes });
}

/** Leaves that both own and that the new configuration would change. */
function contested(current: unknown, config: unknown, mine: Fields, theirs: Fields, path = ""): string[] {
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
