/** Text as base64, JSON, part of a url. */
import { adoptAny } from "../adopt.ts";
import { compareText } from "../compare.ts";
import { anything, type Estimate, SCALAR, type Shape, size } from "../shape.ts";
import { Duration, Timestamp } from "../time.ts";
import { type Dictionary, Failure, isDictionary, isList, type List, Uint, type Value } from "../value.ts";
import { decodeText } from "./conversion.ts";
import { overload } from "./overload.ts";

/** `factor` characters for each of the operands'. */
const times =
  (factor: number) =>
  (operands: readonly Shape[]): Estimate => {
    const length = 16 + factor * operands.reduce((all, shape) => all + size(shape), 0);
    return { work: length / 4, result: { length } };
  };
const decoded = ([text = SCALAR]: readonly Shape[]): Estimate => ({
  work: text.length,
  result: anything(text.length + 1),
});

export const ENCODINGS = [
  overload("base64.encode(bytes): string", encodeBase64, times(2)),
  overload("base64.decode(string): bytes", decodeBase64, times(1)),
  overload("string.encodeBase64(): string", (text: string) => encodeBase64(Buffer.from(text)), times(4)),
  overload("string.decodeBase64(): string", decodeBase64Text, times(1)),
  overload(
    "basic_auth.encode(string, string): string",
    (user: string, password: string) => `Basic ${encodeBase64(Buffer.from(`${user}:${password}`))}`,
    times(4),
  ),
  overload("url.escape(string): string", escapeUrl, times(9)),
  overload("url.unescape(string): string", unescapeUrl, times(1)),
  overload("string.escapeUrl(): string", escapeUrl, times(9)),
  overload("string.unescapeUrl(): string", unescapeUrl, times(1)),
  // A control character takes six.
  overload("json.encode(dyn): string", encodeJson, times(24)),
  overload("list.encodeJson(): string", encodeJson, times(24)),
  overload("map.encodeJson(): string", encodeJson, times(24)),
  overload("json.decode(string): dyn", decodeJson, decoded),
  overload("string.decodeJson(): dyn", decodeJson, decoded),
  overload("string.isJson(): bool", (text: string) => !(decodeJson(text) instanceof Failure), decoded),
  overload("queryString.encode(map): string", encodeQuery, times(10)),
  overload("map.encodeQueryString(): string", encodeQuery, times(10)),
  overload("queryString.decode(string): map<string, string>", decodeQuery, decoded),
  overload("string.decodeQueryString(): map<string, string>", decodeQuery, decoded),
];

function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

/** With padding, as ngrok asks for. */
function decodeBase64(text: string): Uint8Array | Failure {
  const isBase64 = text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
  return isBase64 ? Buffer.from(text, "base64") : new Failure("the text is not base64");
}

function decodeBase64Text(text: string): string | Failure {
  const bytes = decodeBase64(text);
  return bytes instanceof Failure ? bytes : decodeText(bytes);
}

/** As for a query: everything but letters, digits and `-_.~`; a space is `+`. */
function escapeUrl(text: string): string {
  const escaped = encodeURIComponent(text.toWellFormed());
  return escaped
    .replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%20", "+");
}

function unescapeUrl(text: string): string | Failure {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return new Failure("the text is not escaped as in a url");
  }
}

function encodeJson(value: Value): string | Failure {
  const plain = jsonOf(value);
  return plain instanceof Failure ? plain : JSON.stringify(plain);
}

/** `value` as JSON.stringify takes it. Keys in order, so that equal maps give equal text. */
function jsonOf(value: Value): unknown {
  if (typeof value === "bigint") return integerOf(value);
  if (value instanceof Uint) return integerOf(value.value);
  if (isList(value)) return listOf(value.map(jsonOf));
  if (isDictionary(value)) return objectOf(value);
  if (value instanceof Timestamp || value instanceof Duration) return value.toString();
  if (value instanceof Uint8Array) return encodeBase64(value);
  if (typeof value === "number" && !Number.isFinite(value)) return new Failure("JSON has no such number");
  return value === null || typeof value !== "object" ? value : new Failure("JSON has no types");
}

/** JSON's numbers are exact up to 2^53; beyond that the text is. */
function integerOf(value: bigint): number | string {
  return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
}

function listOf(elements: readonly unknown[]): unknown {
  return elements.find((element) => element instanceof Failure) ?? elements;
}

function objectOf(map: Dictionary): unknown {
  const entries = [...map].map(([key, part]) => [String(key), jsonOf(part)] as const);
  const failed = entries.find(([, part]) => part instanceof Failure);
  if (failed !== undefined) return failed[1];
  // Without a prototype `__proto__` is a key like others.
  const object: Record<string, unknown> = Object.create(null);
  for (const [key, part] of entries.sort(([a], [b]) => compareText(a, b))) object[key] = part;
  return object;
}

function decodeJson(text: string): Value | Failure {
  try {
    return adoptAny(JSON.parse(text), 0);
  } catch {
    return new Failure("the text is not JSON");
  }
}

function encodeQuery(map: Dictionary): string | Failure {
  const pairs: [string, string][] = [];
  for (const [key, value] of map) {
    const values: List = isList(value) ? value : [value];
    for (const part of values) {
      if (typeof key !== "string" || typeof part !== "string")
        return new Failure("a query string is made of text");
      pairs.push([key, part]);
    }
  }
  pairs.sort(([a], [b]) => compareText(a, b));
  return pairs.map(([key, value]) => `${escapeUrl(key)}=${escapeUrl(value)}`).join("&");
}

/** Of a key that comes twice, the first. */
function decodeQuery(text: string): Value | Failure {
  const map = new Map<string, string>();
  for (const pair of text.split("&")) {
    if (pair === "") continue;
    const at = pair.indexOf("=");
    const key = unescapeUrl(at < 0 ? pair : pair.slice(0, at));
    const value = at < 0 ? "" : unescapeUrl(pair.slice(at + 1));
    if (key instanceof Failure) return key;
    if (value instanceof Failure) return value;
    if (!map.has(key)) map.set(key, value);
  }
  return map;
}
