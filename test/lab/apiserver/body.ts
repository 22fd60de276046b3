/** Request bodies: bounded; JSON, YAML, and of a few kinds protobuf. */
import type { IncomingMessage } from "node:http";
import { parse as parseYaml } from "yaml";
import { isObject, type JsonObject } from "./json.ts";
import type { ObjectInput } from "./object.ts";
import { decodeProtobuf, protobufType } from "./protobuf.ts";
import { badRequest, bodyTooLarge, unsupportedMediaType } from "./status.ts";

/** What the real server takes. */
const maxBodyBytes = 3 * 1024 * 1024;

export function mediaType(request: IncomingMessage): string {
  return (request.headers["content-type"] ?? "application/json").split(";")[0]?.trim().toLowerCase() ?? "";
}

/** Throws 413 as soon as the body is known to be too large. */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const declared = Number(request.headers["content-length"] ?? 0);
  if (declared > maxBodyBytes) throw bodyTooLarge(maxBodyBytes);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    length += (chunk as Buffer).length;
    if (length > maxBodyBytes) throw bodyTooLarge(maxBodyBytes);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

/** Throws 400 for text that does not parse. */
export function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch (error) {
    throw badRequest(`error decoding JSON: ${(error as Error).message}`);
  }
}

export function parseYamlBody(body: Buffer): unknown {
  try {
    // JSON values only: no dates, no sets, no merge keys, no aliases that grow.
    return parseYaml(body.toString("utf8"), { schema: "core", maxAliasCount: 100 });
  } catch (error) {
    throw badRequest(`error converting YAML to JSON: ${(error as Error).message}`);
  }
}

/** The object in a POST or PUT body. */
export async function readObject(request: IncomingMessage): Promise<ObjectInput> {
  const body = await readBody(request);
  const type = mediaType(request);
  const supported = ["application/json", "application/yaml", protobufType];
  if (!supported.includes(type)) throw unsupportedMediaType(supported);
  if (type === protobufType) return asObject(decodeProtobuf(body));
  return asObject(type === "application/yaml" ? parseYamlBody(body) : parseJson(body));
}

/** Options such as DeleteOptions; an empty body is no options. */
export async function readOptions(request: IncomingMessage): Promise<JsonObject> {
  const body = await readBody(request);
  if (body.length === 0) return {};
  const value = mediaType(request) === "application/yaml" ? parseYamlBody(body) : parseJson(body);
  if (!isObject(value)) throw badRequest("the options in the body are not an object");
  return value;
}

export function asObject(value: unknown): ObjectInput {
  if (!isObject(value))
    throw badRequest("the body is not an object: send one with apiVersion, kind and metadata");
  const { metadata = {} } = value;
  if (!isObject(metadata)) throw badRequest("metadata is not an object");
  for (const field of ["labels", "annotations"]) {
    const values = metadata[field];
    if (values === null) delete metadata[field];
    else if (
      values !== undefined &&
      !(isObject(values) && Object.values(values).every((entry) => typeof entry === "string"))
    ) {
      throw badRequest(`metadata.${field} is not a map of strings: quote its values`);
    }
  }
  return { ...value, metadata };
}
