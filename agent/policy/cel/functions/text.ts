/** The extended functions on text. Positions are counted in code points. */
import { bounded } from "../arithmetic.ts";
import { type Estimate, SCALAR, type Shape, size, together } from "../shape.ts";
import { Failure, type List } from "../value.ts";
import { overload } from "./overload.ts";

/** Taking text apart into code points. */
const apart = (operands: readonly Shape[]): number =>
  operands.reduce((all, shape) => all + size(shape), 0) / 4;
const scan = (operands: readonly Shape[]): Estimate => {
  const [text = SCALAR, part = SCALAR] = operands;
  return { work: apart(operands) + (size(text) * size(part)) / 1024, result: SCALAR };
};
const within = (operands: readonly Shape[]): Estimate => ({
  work: apart(operands),
  result: { length: operands[0]?.length ?? 1 },
});
const pieces = (operands: readonly Shape[]): Estimate => {
  const length = (operands[0]?.length ?? 1) + 1;
  return { work: 1 + length, result: together(length, 2 * length) };
};
const replaced = (operands: readonly Shape[]): Estimate => {
  const [text = SCALAR, , by = SCALAR] = operands;
  const length = (text.length + 1) * (1 + by.length);
  return { work: apart(operands) + length / 4, result: { length } };
};

export const TEXT = [
  overload("string.charAt(int): string", charAt, within),
  overload("string.substring(int): string", (text: string, start: bigint) => substring(text, start), within),
  overload("string.substring(int, int): string", substring, within),
  overload("string.indexOf(string): int", (text: string, part: string) => indexOf(text, part, 0n), scan),
  overload("string.indexOf(string, int): int", indexOf, scan),
  overload("string.lastIndexOf(string): int", (text: string, part: string) => lastIndexOf(text, part), scan),
  overload("string.lastIndexOf(string, int): int", lastIndexOf, scan),
  overload("string.split(): list<string>", (text: string) => split(text, " ", -1n), pieces),
  overload("string.split(string): list<string>", (text: string, at: string) => split(text, at, -1n), pieces),
  overload("string.split(string, int): list<string>", split, pieces),
  overload(
    "string.replace(string, string): string",
    (text: string, part: string, by: string) => replace(text, part, by, -1n),
    replaced,
  ),
  overload("string.replace(string, string, int): string", replace, replaced),
  overload("string.trim(): string", trim, within),
  overload("string.reverse(): string", (text: string) => [...text].reverse().join(""), within),
  overload("string.lowerAscii(): string", (text: string) =>
    text.replace(/[A-Z]+/g, (word) => word.toLowerCase()),
  ),
  overload("string.upperAscii(): string", (text: string) =>
    text.replace(/[a-z]+/g, (word) => word.toUpperCase()),
  ),
  // One character for one, as Go maps them: ß has no single upper case.
  overload(
    "string.lower(): string",
    (text: string) => Array.from(text, (point) => [...point.toLowerCase()][0] ?? "").join(""),
    within,
  ),
  overload(
    "string.upper(): string",
    (text: string) =>
      Array.from(text, (point) => ([...point.toUpperCase()].length === 1 ? point.toUpperCase() : point)).join(
        "",
      ),
    within,
  ),
  overload("strings.quote(string): string", quote, ([text = SCALAR]) => ({
    work: size(text),
    result: { length: 2 * text.length + 2 },
  })),
];

function charAt(text: string, at: bigint): string | Failure {
  const points = [...text];
  if (at < 0n || at > points.length) return outside(at);
  return points[Number(at)] ?? "";
}

function substring(text: string, start: bigint, end?: bigint): string | Failure {
  const points = [...text];
  const last = typeof end === "bigint" ? end : BigInt(points.length);
  if (start < 0n || start > points.length) return outside(start);
  if (last < start || last > points.length) return outside(last);
  return points.slice(Number(start), Number(last)).join("");
}

function indexOf(text: string, part: string, from: bigint): bigint | Failure {
  const points = [...text];
  if (from < 0n || from > points.length) return outside(from);
  const skipped = points.slice(0, Number(from)).join("").length;
  return position(text, text.indexOf(part, skipped));
}

/** `until`: the last position at which `part` may begin. */
function lastIndexOf(text: string, part: string, until?: bigint): bigint | Failure {
  if (typeof until !== "bigint") return position(text, text.lastIndexOf(part));
  const points = [...text];
  if (until < 0n || until > points.length) return outside(until);
  return position(text, text.lastIndexOf(part, points.slice(0, Number(until)).join("").length));
}

/** The place of a UTF-16 unit in code points. */
function position(text: string, unit: number): bigint {
  return unit < 0 ? -1n : BigInt([...text.slice(0, unit)].length);
}

/** At most `limit` pieces, the last holding the rest; below 0 there is no limit. */
function split(text: string, at: string, limit: bigint): List | Failure {
  const parts = at === "" ? [...text] : text.split(at);
  if (limit < 0n || limit >= parts.length) return bounded(parts.length) ?? parts;
  const most = Number(limit);
  return most === 0 ? [] : [...parts.slice(0, most - 1), parts.slice(most - 1).join(at)];
}

/** The first `limit` occurrences; below 0 all. Nothing occurs before every character and at the end. */
function replace(text: string, part: string, by: string, limit: bigint): string | Failure {
  const parts = part === "" ? ["", ...text, ""] : text.split(part);
  const times = limit < 0n || limit >= parts.length ? parts.length - 1 : Number(limit);
  if (part === "" && text === "") return times > 0 ? by : "";
  const tooLarge = bounded(text.length + times * by.length);
  if (tooLarge !== undefined) return tooLarge;
  return (
    parts.slice(0, times + 1).join(by) +
    parts
      .slice(times + 1)
      .map((rest) => part + rest)
      .join("")
  );
}

/** Unicode's White_Space, which is not what JavaScript's trim() takes for space. */
function trim(text: string): string {
  const isSpace = (index: number) => /\p{White_Space}/u.test(text[index] ?? "");
  let start = 0;
  let end = text.length;
  while (start < end && isSpace(start)) start++;
  while (end > start && isSpace(end - 1)) end--;
  return text.slice(start, end);
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ["\x07", "\\a"],
  ["\b", "\\b"],
  ["\f", "\\f"],
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
  ["\v", "\\v"],
  ["\\", "\\\\"],
  ['"', '\\"'],
]);

function quote(text: string): string {
  return `"${Array.from(text.toWellFormed(), (point) => ESCAPES.get(point) ?? point).join("")}"`;
}

function outside(index: bigint): Failure {
  return new Failure(`index out of range: ${index}`);
}
