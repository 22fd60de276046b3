/** `"...".format([...])`: `%s %d %f %e %b %o %x %X %%`, as CEL's extension for strings has it. */
import { bounded } from "../arithmetic.ts";
import { compareText } from "../compare.ts";
import { SCALAR, size } from "../shape.ts";
import { Duration, Timestamp } from "../time.ts";
import { noOverload } from "../type-of.ts";
import {
  Failure,
  isDictionary,
  isList,
  keyOf,
  keysOf,
  type List,
  TypeValue,
  Uint,
  type Value,
} from "../value.ts";
import { decodeText } from "./conversion.ts";
import { overload } from "./overload.ts";

const DEFAULT_PRECISION = 6;
/** The most that JavaScript writes exactly. */
const MAX_PRECISION = 100;
/** Characters that one number can take: 309 digits of a double and its fraction. */
const LONGEST_NUMBER = 420;

export const FORMAT = [
  overload("string.format(list): string", format, ([text = SCALAR, list = SCALAR]) => {
    const length = text.length + 32 * size(list) + LONGEST_NUMBER * list.length;
    return { work: text.length + length / 4, result: { length } };
  }),
];

function format(text: string, list: List): string | Failure {
  const parts: string[] = [];
  let next = 0;
  for (const [whole, precision, clause] of text.matchAll(/%(?:\.(\d{1,3}))?(.|$)|[^%]+/gsu)) {
    if (clause === undefined) parts.push(whole);
    else if (clause === "%" && precision === undefined) parts.push("%");
    else {
      const argument = list[next++];
      if (argument === undefined) return new Failure(`format() has no value for ${whole}`);
      const formatted = formatOne(clause, precision, argument);
      if (formatted instanceof Failure) return formatted;
      parts.push(formatted);
    }
  }
  return bounded(parts.reduce((sum, part) => sum + part.length, 0)) ?? parts.join("");
}

function formatOne(clause: string, digits: string | undefined, value: Value): string | Failure {
  const precision = digits === undefined ? DEFAULT_PRECISION : Number(digits);
  if (precision > MAX_PRECISION) return new Failure(`format() writes at most ${MAX_PRECISION} digits`);
  switch (clause) {
    case "s":
      return plain(value);
    case "d":
      return typeof value === "number" && !Number.isFinite(value) ? plain(value) : integer(clause, value, 10);
    case "b":
      return typeof value === "boolean" ? String(Number(value)) : integer(clause, value, 2);
    case "o":
      return integer(clause, value, 8);
    case "x":
      return hexadecimal(value);
    case "X": {
      const lower = hexadecimal(value);
      return lower instanceof Failure ? lower : lower.toUpperCase();
    }
    case "f":
    case "e":
      return typeof value === "number" ? double(clause, value, precision) : noOverload(`%${clause}`, value);
    default:
      return new Failure(`format() has no %${clause}`);
  }
}

function integer(clause: string, value: Value, base: number): string | Failure {
  if (typeof value === "bigint") return value.toString(base);
  return value instanceof Uint ? value.value.toString(base) : noOverload(`%${clause}`, value);
}

function hexadecimal(value: Value): string | Failure {
  if (typeof value === "string") return Buffer.from(value).toString("hex");
  return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : integer("x", value, 16);
}

function double(clause: "f" | "e", value: number, precision: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (clause === "f") return evenly(value, precision, (digits) => Math.abs(value).toFixed(digits));
  const text = evenly(value, precision, (digits) => Math.abs(value).toExponential(digits));
  return text.replace(/e([+-])(\d)$/, "e$10$2");
}

/** JavaScript rounds what lies exactly in the middle up, CEL to the even digit. */
function evenly(value: number, precision: number, write: (digits: number) => string): string {
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const [, whole = "", digits = "", exponent = ""] = /^(\d+)\.(\d+)(e.*)?$/.exec(write(MAX_PRECISION)) ?? [];
  const kept = precision === 0 ? whole : `${whole}.${digits.slice(0, precision)}`;
  const isInTheMiddle = /^50*$/.test(digits.slice(precision)) && /[02468]$/.test(kept);
  return sign + (isInTheMiddle ? kept + exponent : write(precision));
}

/** As `%s` writes it, to any depth. */
function plain(value: Value): string | Failure {
  if (typeof value === "string") return value;
  if (isList(value)) return listed(value.map(plain), "[", "]");
  if (isDictionary(value)) {
    const entries = keysOf(value).map((key): string | Failure => {
      const [name, part] = [plain(key), plain(value.get(keyOf(key) ?? "") ?? null)];
      if (name instanceof Failure) return name;
      return part instanceof Failure ? part : `${name}: ${part}`;
    });
    return listed(
      entries.sort((a, b) => compareText(String(a), String(b))),
      "{",
      "}",
    );
  }
  if (value instanceof Uint8Array) return decodeText(value);
  if (value instanceof Uint) return String(value.value);
  if (value instanceof TypeValue) return value.name;
  return value instanceof Timestamp || value instanceof Duration ? value.toString() : String(value);
}

function listed(parts: readonly (string | Failure)[], start: string, end: string): string | Failure {
  const failed = parts.find((part) => part instanceof Failure);
  return failed ?? `${start}${parts.join(", ")}${end}`;
}
