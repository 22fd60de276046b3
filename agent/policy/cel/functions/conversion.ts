/** Conversions between types, and what a type is. */
import { SCALAR } from "../shape.ts";
import {
  type Duration,
  parseDuration,
  parseTimestamp,
  type Timestamp,
  timestampFromSeconds,
} from "../time.ts";
import { typeOf } from "../type-of.ts";
import {
  Failure,
  int,
  MAX_INT,
  MAX_UINT,
  MIN_INT,
  TypeValue,
  type Uint,
  uint,
  type Value,
} from "../value.ts";
import { overload } from "./overload.ts";

const same = <T extends Value>(value: T): T => value;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const TRUE = new Set(["1", "t", "true", "TRUE", "True"]);
const FALSE = new Set(["0", "f", "false", "FALSE", "False"]);

export const CONVERSIONS = [
  overload("dyn(dyn): dyn", same, ([shape = SCALAR]) => ({ work: 0, result: shape })),
  overload("type(dyn): type", (value: Value) => new TypeValue(typeOf(value))),

  overload("bool(bool): bool", same),
  overload("bool(string): bool", (text: string) => {
    if (TRUE.has(text)) return true;
    return FALSE.has(text) ? false : new Failure("the text is neither true nor false");
  }),

  overload("int(int): int", same),
  overload("int(uint): int", (value: Uint) => int(value.value)),
  overload("int(double): int", (value: number) => {
    // Doubles of this size are no longer exact: neither end of the range can be told from what lies beyond.
    const fits = value > Number(MIN_INT) && value < Number(MAX_INT);
    return fits ? BigInt(Math.trunc(value)) : new Failure("integer overflow");
  }),
  overload("int(string): int", (text: string) => parseInteger(text, /^[+-]?\d{1,40}$/, int)),
  overload("int(timestamp): int", (time: Timestamp) => time.seconds),
  overload("int(duration): int", (length: Duration) => int(length.nanoseconds / 1_000_000_000n)),

  overload("uint(uint): uint", same),
  overload("uint(int): uint", (value: bigint) => uint(value)),
  overload("uint(double): uint", (value: number) => {
    const fits = value >= 0 && value < Number(MAX_UINT);
    return fits ? uint(BigInt(Math.trunc(value))) : new Failure("unsigned integer overflow");
  }),
  overload("uint(string): uint", (text: string) => parseInteger(text, /^\+?\d{1,40}$/, uint)),

  overload("double(double): double", same),
  overload("double(int): double", (value: bigint) => Number(value)),
  overload("double(uint): double", (value: Uint) => Number(value.value)),
  overload("double(string): double", parseDouble),

  overload("string(string): string", same),
  overload("string(bool): string", (value: boolean) => String(value)),
  overload("string(int): string", (value: bigint) => String(value)),
  overload("string(uint): string", (value: Uint) => String(value.value)),
  overload("string(double): string", formatDouble),
  overload("string(bytes): string", decodeText),
  overload("string(timestamp): string", (time: Timestamp) => time.toString()),
  overload("string(duration): string", (length: Duration) => length.toString()),

  overload("bytes(bytes): bytes", same),
  overload(
    "bytes(string): bytes",
    (text: string) => Buffer.from(text),
    ([text = SCALAR]) => ({
      work: text.length / 32,
      result: { length: 3 * text.length },
    }),
  ),

  overload("timestamp(timestamp): timestamp", same),
  overload("timestamp(string): timestamp", (text: string) => parseTimestamp(text)),
  overload("timestamp(int): timestamp", (seconds: bigint) => timestampFromSeconds(seconds)),
  overload("duration(duration): duration", same),
  overload("duration(string): duration", (text: string) => parseDuration(text)),
];

export function decodeText(bytes: Uint8Array): string | Failure {
  try {
    return utf8.decode(bytes);
  } catch {
    return new Failure("the bytes are no UTF-8 text");
  }
}

function formatDouble(value: number): string {
  if (Number.isFinite(value) || Number.isNaN(value)) return String(value);
  return value > 0 ? "+Inf" : "-Inf";
}

function parseInteger<T extends Value>(
  text: string,
  form: RegExp,
  limit: (value: bigint) => T | Failure,
): T | Failure {
  return form.test(text) ? limit(BigInt(text.replace(/^\+/, ""))) : new Failure("the text is no integer");
}

function parseDouble(text: string): number | Failure {
  const [, sign, name] = /^([+-]?)(inf|infinity|nan)$/i.exec(text) ?? [];
  if (name !== undefined) {
    if (name.toLowerCase() === "nan") return Number.NaN;
    return sign === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }
  const isDouble = text.length <= 400 && /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text);
  const value = Number(text);
  return isDouble && Number.isFinite(value) ? value : new Failure("the text is no double");
}
