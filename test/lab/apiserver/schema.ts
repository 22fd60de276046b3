/** Checks a value against an openAPIV3Schema, in the words of the real server. */
import { arrayOr, equal, isObject, type JsonObject, objectOr } from "./json.ts";
import { type Cause, invalidValue, required, unsupportedValue } from "./status.ts";

/** Every violation at once; `path` is the value's own, "" for the object. */
export function validate(schema: JsonObject, value: unknown, path = ""): Cause[] {
  if (value === null && schema.nullable === true) return [];
  const type = typeCause(schema, value, path);
  if (type !== undefined) return [type];
  return [
    ...valueCauses(schema, value, path),
    ...(typeof value === "string" ? stringCauses(schema, value, path) : []),
    ...(typeof value === "number" ? numberCauses(schema, value, path) : []),
    ...(Array.isArray(value) ? listCauses(schema, value, path) : []),
    ...(isObject(value) ? objectCauses(schema, value, path) : []),
    ...combinationCauses(schema, value, path),
  ];
}

function typeCause(schema: JsonObject, value: unknown, path: string): Cause | undefined {
  const wanted = schema.type;
  const found = typeOf(value);
  if (schema["x-kubernetes-int-or-string"] === true) {
    return found === "string" || found === "integer" ? undefined : typeError(path, "integer,string", found);
  }
  if (wanted === undefined || wanted === found || (wanted === "number" && found === "integer"))
    return undefined;
  return typeError(path, String(wanted), found);
}

function typeError(path: string, wanted: string, found: string): Cause {
  const message = `Invalid value: "${found}": ${path} in body must be of type ${wanted}: "${found}"`;
  return { reason: "FieldValueTypeInvalid", field: path || "<nil>", message };
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return Number.isInteger(value) ? "integer" : typeof value;
}

function valueCauses(schema: JsonObject, value: unknown, path: string): Cause[] {
  const allowed = schema.enum;
  if (!Array.isArray(allowed) || allowed.some((entry) => equal(entry, value))) return [];
  return [unsupportedValue(path, value, allowed)];
}

function stringCauses(schema: JsonObject, value: string, path: string): Cause[] {
  const { pattern, minLength, maxLength } = schema;
  const length = [...value].length;
  const causes: Cause[] = [];
  if (typeof pattern === "string" && !new RegExp(pattern, "u").test(value)) {
    causes.push(invalidValue(path, value, `${path} in body should match '${pattern}'`));
  }
  if (typeof minLength === "number" && length < minLength) {
    causes.push(invalidValue(path, value, `${path} in body should be at least ${minLength} chars long`));
  }
  if (typeof maxLength === "number" && length > maxLength) {
    causes.push(invalidValue(path, value, `${path} in body should be at most ${maxLength} chars long`));
  }
  return causes;
}

function numberCauses(schema: JsonObject, value: number, path: string): Cause[] {
  const { minimum, maximum } = schema;
  if (typeof minimum === "number" && value < minimum) {
    return [invalidValue(path, value, `${path} in body should be greater than or equal to ${minimum}`)];
  }
  if (typeof maximum === "number" && value > maximum) {
    return [invalidValue(path, value, `${path} in body should be less than or equal to ${maximum}`)];
  }
  return [];
}

function listCauses(schema: JsonObject, value: readonly unknown[], path: string): Cause[] {
  const { minItems, maxItems } = schema;
  const causes: Cause[] = [];
  if (typeof minItems === "number" && value.length < minItems) {
    causes.push(invalidValue(path, value.length, `${path} in body should have at least ${minItems} items`));
  }
  if (typeof maxItems === "number" && value.length > maxItems) {
    causes.push(invalidValue(path, value.length, `${path} in body should have at most ${maxItems} items`));
  }
  const items = objectOr(schema.items);
  return causes.concat(value.flatMap((item, index) => validate(items, item, `${path}[${index}]`)));
}

function objectCauses(schema: JsonObject, value: JsonObject, path: string): Cause[] {
  const child = (field: string) => (path === "" ? field : `${path}.${field}`);
  const missing = arrayOr(schema.required)
    .map(String)
    .filter((field) => !Object.hasOwn(value, field));
  const properties = objectOr(schema.properties);
  const rest = schema.additionalProperties;
  const causes = Object.entries(value).flatMap(([field, entry]) => {
    const own = Object.hasOwn(properties, field) ? properties[field] : rest;
    return isObject(own) ? validate(own, entry, child(field)) : [];
  });
  return [...missing.map((field) => required(child(field))), ...causes];
}

function combinationCauses(schema: JsonObject, value: unknown, path: string): Cause[] {
  const all = arrayOr(schema.allOf).flatMap((part) => validate(objectOr(part), value, path));
  const passing = (parts: unknown) =>
    arrayOr(parts).filter((part) => validate(objectOr(part), value, path).length === 0).length;
  const bad = (why: string) => [invalidValue(path, value, `${path} in body must validate ${why}`)];
  if (schema.anyOf !== undefined && passing(schema.anyOf) === 0)
    all.push(...bad("at least one schema (anyOf)"));
  if (schema.oneOf !== undefined && passing(schema.oneOf) !== 1)
    all.push(...bad("one and only one schema (oneOf)"));
  if (schema.not !== undefined && passing([schema.not]) === 1) all.push(...bad("none of the schemas (not)"));
  return all;
}
