/**
 * Bodies in Kubernetes' protobuf encoding, which `kubectl create namespace|configmap|secret|service|serviceaccount`
 * sends without being asked. Replies are JSON, which every client takes.
 */
import type { JsonObject } from "./json.ts";
import { type Message, messages } from "./protobuf-messages.ts";
import { badRequest } from "./status.ts";

export const protobufType = "application/vnd.kubernetes.protobuf";

/** "k8s\0", then a runtime.Unknown around the object. */
const magic = Buffer.from("k8s\0");

const unknown: Message = {
  1: {
    name: "typeMeta",
    type: "message",
    of: { 1: { name: "apiVersion", type: "string" }, 2: { name: "kind", type: "string" } },
  },
  2: { name: "raw", type: "bytes" },
};

/** The object in `body`. Throws 400 for a body that is cut short or of a kind not known here. */
export function decodeProtobuf(body: Buffer): JsonObject {
  if (!body.subarray(0, 4).equals(magic))
    throw badRequest("the body does not begin like a Kubernetes protobuf message");
  const envelope = decode(body.subarray(4), unknown);
  const { apiVersion = "", kind = "" } = (envelope.typeMeta ?? {}) as { apiVersion?: string; kind?: string };
  const message = messages.get(`${apiVersion}/${kind}`);
  if (message === undefined) {
    throw badRequest(
      `protobuf of ${apiVersion} ${kind} is not understood: send JSON (kubectl apply -f does)`,
    );
  }
  const raw = Buffer.from(String(envelope.raw ?? ""), "base64");
  return { apiVersion, kind, ...decode(raw, message) };
}

interface Reader {
  readonly bytes: Buffer;
  position: number;
}

function decode(bytes: Buffer, message: Message): JsonObject {
  const object: JsonObject = {};
  const reader = { bytes, position: 0 };
  while (reader.position < bytes.length) {
    const tag = Number(readVarint(reader));
    const value = readValue(reader, tag & 7);
    const field = message[tag >>> 3];
    // Fields not listed are those that the lab's objects do not use.
    if (field !== undefined) setField(object, field, value);
  }
  return object;
}

function setField(object: JsonObject, field: Message[number], value: bigint | Buffer): void {
  if (field.type === "map") {
    const values = field.values ?? "string";
    const entry = { 1: { name: "key", type: "string" }, 2: { name: "value", type: values } } as const;
    const { key = "", value: content = "" } = decode(asBytes(value), entry);
    object[field.name] = { ...(object[field.name] as JsonObject | undefined), [String(key)]: content };
    return;
  }
  const decoded = convert(field, value);
  // Go writes empty strings out; in JSON they are left out.
  if (decoded === "" || decoded === undefined) return;
  if (field.repeated)
    object[field.name] = [...((object[field.name] as unknown[] | undefined) ?? []), decoded];
  else object[field.name] = decoded;
}

function convert({ type, of }: Message[number], value: bigint | Buffer): unknown {
  switch (type) {
    case "string":
      return asBytes(value).toString("utf8");
    case "bytes":
      return asBytes(value).toString("base64");
    case "integer":
      return Number(BigInt.asIntN(64, asInteger(value)));
    case "boolean":
      return asInteger(value) !== 0n;
    case "int-or-string": {
      const { type: kind, int = 0, text = "" } = decode(asBytes(value), intOrString);
      return kind === 1 ? text : int || undefined;
    }
    default: {
      const inner = decode(asBytes(value), of ?? {});
      return Object.keys(inner).length === 0 ? undefined : inner;
    }
  }
}

const intOrString: Message = {
  1: { name: "type", type: "integer" },
  2: { name: "int", type: "integer" },
  3: { name: "text", type: "string" },
};

function asBytes(value: bigint | Buffer): Buffer {
  if (typeof value === "bigint") throw malformed();
  return value;
}

function asInteger(value: bigint | Buffer): bigint {
  if (typeof value !== "bigint") throw malformed();
  return value;
}

function malformed(): Error {
  return badRequest("the protobuf message is malformed");
}

/** Wire types: 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes. */
function readValue(reader: Reader, wireType: number): bigint | Buffer {
  switch (wireType) {
    case 0:
      return readVarint(reader);
    case 1:
      return take(reader, 8);
    case 2:
      return take(reader, Number(readVarint(reader)));
    case 5:
      return take(reader, 4);
    default:
      throw malformed();
  }
}

function take(reader: Reader, length: number): Buffer {
  const end = reader.position + length;
  if (end > reader.bytes.length) throw malformed();
  const taken = reader.bytes.subarray(reader.position, end);
  reader.position = end;
  return taken;
}

function readVarint(reader: Reader): bigint {
  let value = 0n;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = take(reader, 1)[0] ?? 0;
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  throw malformed();
}
