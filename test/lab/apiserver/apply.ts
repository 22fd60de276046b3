/**
 * Server-side apply, as far as kubectl needs it: an applier owns the fields it sends; what it no longer sends goes,
 * unless another applier has it; what another applier has otherwise is a conflict unless forced. Fields written by
 * other means than apply belong to nobody.
 */

import { contested, type Fields, ownedFields, removeFields, subtract } from "./field-set.ts";
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

function withoutFields(entry: JsonObject, taken: Fields): JsonObject {
  return isApplier(entry) ? { ...entry, fieldsV1: subtract(fieldsOf(entry), taken) } : entry;
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
