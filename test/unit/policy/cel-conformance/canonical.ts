/** Values and types of the specification's tests in our words, and values as text, so that 1, 1u and 1.0 differ. */
import { type Type, Type_PrimitiveType, Type_WellKnownType } from "@bufbuild/cel-spec/cel/expr/checked_pb.js";
import type { MapValue_Entry, Value as SpecValue } from "@bufbuild/cel-spec/cel/expr/value_pb.js";
import { anyUnpack, DurationSchema, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { Duration, Timestamp } from "../../../../agent/policy/cel/time.ts";
import {
  isDictionary,
  isList,
  keyOf,
  keysOf,
  TypeValue,
  Uint,
  type Value,
  WrittenMap,
} from "../../../../agent/policy/cel/value.ts";

const PRIMITIVES: Readonly<Record<number, string>> = {
  [Type_PrimitiveType.BOOL]: "bool",
  [Type_PrimitiveType.INT64]: "int",
  [Type_PrimitiveType.UINT64]: "uint",
  [Type_PrimitiveType.DOUBLE]: "double",
  [Type_PrimitiveType.STRING]: "string",
  [Type_PrimitiveType.BYTES]: "bytes",
};

/** Undefined for a value that our layer does not have: messages, enums. */
export function celValue(spec: SpecValue | undefined): Value | undefined {
  const kind = spec?.kind;
  switch (kind?.case) {
    case "nullValue":
      return null;
    case "uint64Value":
      return new Uint(kind.value);
    case "boolValue":
    case "int64Value":
    case "doubleValue":
    case "stringValue":
    case "bytesValue":
      return kind.value;
    case "typeValue":
      return new TypeValue(kind.value);
    case "listValue":
      return whole(kind.value.values.map(celValue));
    case "mapValue":
      return mapOf(kind.value.entries);
    case "objectValue": {
      const time = anyUnpack(kind.value, TimestampSchema);
      const length = time === undefined ? anyUnpack(kind.value, DurationSchema) : undefined;
      const { seconds, nanos } = time ?? length ?? {};
      if (seconds === undefined || nanos === undefined) return undefined;
      const nanoseconds = seconds * 1_000_000_000n + BigInt(nanos);
      return time === undefined ? new Duration(nanoseconds) : new Timestamp(nanoseconds);
    }
    default:
      return undefined;
  }
}

function whole(values: readonly (Value | undefined)[]): Value | undefined {
  return values.every((value) => value !== undefined) ? values : undefined;
}

function mapOf(entries: readonly MapValue_Entry[]): Value | undefined {
  const map = new WrittenMap();
  for (const entry of entries) {
    const [written, value] = [celValue(entry.key), celValue(entry.value)];
    const key = written === undefined ? undefined : keyOf(written);
    if (key === undefined || value === undefined) return undefined;
    map.set(key, value);
    if (written instanceof Uint) map.unsigned.add(written.value);
  }
  return map;
}

/** As our layer writes types; undefined for one that it does not have. */
export function typeName(type: Type | undefined): string | undefined {
  const kind = type?.typeKind;
  switch (kind?.case) {
    case "dyn":
    case "null":
      return kind.case;
    case "primitive":
      return PRIMITIVES[kind.value];
    case "wellKnown":
      if (kind.value === Type_WellKnownType.TIMESTAMP) return "timestamp";
      return kind.value === Type_WellKnownType.DURATION ? "duration" : undefined;
    case "messageType":
      if (kind.value === "google.protobuf.Timestamp") return "timestamp";
      return kind.value === "google.protobuf.Duration" ? "duration" : undefined;
    case "listType": {
      const element = typeName(kind.value.elemType);
      return element && `list<${element}>`;
    }
    case "mapType": {
      const [key, value] = [typeName(kind.value.keyType), typeName(kind.value.valueType)];
      return key && value && `map<${key}, ${value}>`;
    }
    case "type":
      return "type";
    default:
      return undefined;
  }
}

export function asText(value: Value): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}`;
  if (typeof value === "number") return `double ${Object.is(value, -0) ? "-0" : value}`;
  if (typeof value === "boolean" || value === null) return String(value);
  if (isList(value)) return `[${value.map(asText).join(", ")}]`;
  if (isDictionary(value)) {
    const entries = keysOf(value).map(
      (key) => `${asText(key)}: ${asText(value.get(keyOf(key) ?? "") as Value)}`,
    );
    return `{${entries.sort().join(", ")}}`;
  }
  if (value instanceof Uint) return `${value.value}u`;
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString("hex")}`;
  if (value instanceof TypeValue) return `type ${value.name}`;
  return `${value instanceof Timestamp ? "timestamp" : "duration"} ${value}`;
}
