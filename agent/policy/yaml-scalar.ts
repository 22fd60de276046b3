/**
 * Where a character of a YAML scalar's value stands in the file. An expression may be plain, quoted with escapes or a
 * block over several lines; a fault inside it is shown where it was written.
 */
import { Scalar } from "yaml";

/** UTF-16 offsets, `end` exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** What `range` of the value of `scalar` was written as in `text`; undefined where that cannot be told. */
export function writtenSpan(scalar: Scalar, text: string, range: Span): Span | undefined {
  const { value, range: place } = scalar;
  if (typeof value !== "string" || !place || value === "") return undefined;
  const source = contentOf(scalar, text, place[0], place[1]);
  const spans = align(value, text, source, stepOf(scalar));
  if (spans === undefined) return undefined;
  const first = spans[Math.min(range.start, value.length - 1)];
  const last = spans[Math.min(Math.max(range.end - 1, range.start), value.length - 1)];
  return first && last && { start: first.start, end: Math.max(last.end, first.end) };
}

/** The written text without quotes or a block's header line. */
function contentOf({ type }: Scalar, text: string, start: number, end: number): Span {
  if (type === Scalar.QUOTE_DOUBLE || type === Scalar.QUOTE_SINGLE) return { start: start + 1, end: end - 1 };
  if (type !== Scalar.BLOCK_LITERAL && type !== Scalar.BLOCK_FOLDED) return { start, end };
  const header = text.indexOf("\n", start);
  return { start: header < 0 ? end : header + 1, end };
}

/** What is written at an offset: how long it is, and what it means ("" is nothing at all). */
type Step = (text: string, at: number) => { readonly length: number; readonly means: string };

function stepOf({ type }: Scalar): Step {
  if (type === Scalar.QUOTE_DOUBLE)
    return (text, at) => (text[at] === "\\" ? escaped(text, at) : plain(text, at));
  if (type !== Scalar.QUOTE_SINGLE) return plain;
  return (text, at) => (text.startsWith("''", at) ? { length: 2, means: "'" } : plain(text, at));
}

function plain(text: string, at: number): ReturnType<Step> {
  return { length: 1, means: text[at] ?? "" };
}

const ESCAPES: Readonly<Record<string, string>> = {
  "0": "\0",
  a: "\x07",
  b: "\b",
  e: "\x1b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  N: "\u0085",
  _: "\u00a0",
  L: "\u2028",
  P: "\u2029",
};

function escaped(text: string, at: number): ReturnType<Step> {
  const letter = text[at + 1] ?? "";
  const digits = { x: 2, u: 4, U: 8 }[letter];
  if (digits !== undefined) {
    const point = Number.parseInt(text.slice(at + 2, at + 2 + digits), 16);
    return { length: 2 + digits, means: point <= 0x10ffff ? String.fromCodePoint(point) : "" };
  }
  const lineEnd = /^\\\r?\n[ \t]*/.exec(text.slice(at, at + 200));
  if (lineEnd) return { length: lineEnd[0].length, means: "" };
  return { length: 2, means: ESCAPES[letter] ?? letter };
}

/**
 * The span of every UTF-16 unit of `value`. YAML folds, indents and drops white space between lines but never any other
 * character, so those are met in order; white space of the value is wherever the last of them ended.
 */
function align(value: string, text: string, source: Span, step: Step): readonly Span[] | undefined {
  const spans: Span[] = [];
  let at = source.start;
  while (spans.length < value.length) {
    const wanted = value[spans.length] ?? "";
    if (at >= source.end) {
      if (!isSpace(wanted)) return undefined;
      spans.push({ start: source.end, end: source.end });
      continue;
    }
    const { length, means } = step(text, at);
    const end = at + length;
    if (means !== "" && value.startsWith(means, spans.length)) {
      for (const _unit of means.split("")) spans.push({ start: at, end });
    } else if (means !== "" && !isSpace(means)) {
      if (!isSpace(wanted)) return undefined;
      // A folded line end: the character after it stays to be met.
      spans.push({ start: at, end: at });
      continue;
    }
    at = end;
  }
  return spans;
}

function isSpace(character: string): boolean {
  return /^[\s\ufeff]$/.test(character);
}
