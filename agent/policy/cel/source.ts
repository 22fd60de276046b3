/**
 * What the engine's parser cannot read, replaced by names of the same length, so that every offset stays: bytes literals
 * (it reads `b"é"` as one byte), `.5`, names in back quotes, and names that begin with a dot.
 */
import { type ASTNode, operands } from "./ast.ts";
import { ExpressionFault } from "./fault.ts";
import type { Value } from "./value.ts";

export interface Source {
  /** For the parser. As long as what was written. */
  readonly text: string;
  /** What the names that stand for literals mean, by offset. */
  readonly literals: ReadonlyMap<number, Value>;
  /** Fields that were written in back quotes, by offset. */
  readonly quoted: ReadonlyMap<number, string>;
  /** Offsets of names that were written with a dot before them: never a comprehension's. */
  readonly absolute: ReadonlySet<number>;
}

const STRING = /(?:[rR][bB]?|[bB][rR]?)?("""|'''|"|')/y;
const NUMBER = /(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)[uU]?/y;
const FRACTION = /\.\d+(?:[eE][+-]?\d+)?/y;
const NAME = /[A-Za-z_]\w*/y;
const QUOTED = /`([\w./ -]+)`/y;
const BLANK = /(?:[\s]|\/\/[^\n]*)+/y;

export function readSource(written: string): Source {
  const source = { text: written, literals: new Map(), quoted: new Map(), absolute: new Set<number>() };
  let at = 0;
  /** Whether an operand has just ended, so that a dot selects a field of it. */
  let ended = false;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(written);
  };
  while (at < written.length) {
    const blank = take(BLANK);
    if (blank !== null) {
      at += blank[0].length;
      continue;
    }
    const token = readToken(written, at, ended, take, source);
    at += token.length;
    ended = token.endsOperand;
  }
  return source;
}

/** Puts the fields that were written in back quotes into the tree. */
export function restoreQuoted(node: ASTNode, source: Source): void {
  const field = node.op === "." ? source.quoted.get(node.pos) : undefined;
  if (field !== undefined && node.op === ".") Object.assign(node, { args: [node.args[0], field] });
  for (const operand of operands(node)) restoreQuoted(operand, source);
}

interface Token {
  readonly length: number;
  readonly endsOperand: boolean;
}

function readToken(
  written: string,
  at: number,
  ended: boolean,
  take: (pattern: RegExp) => RegExpExecArray | null,
  source: { text: string; literals: Map<number, Value>; quoted: Map<number, string>; absolute: Set<number> },
): Token {
  const replace = (from: number, length: number, by: string) => {
    source.text = source.text.slice(0, from) + by + source.text.slice(from + length);
  };
  const quote = take(STRING);
  if (quote !== null) {
    const length = literalLength(written, at, quote[0], quote[1] ?? "");
    if (/^[rR]?[bB]/.test(quote[0]) && length !== undefined) {
      const body = written.slice(at + quote[0].length, at + length - (quote[1] ?? "").length);
      source.literals.set(at, /[rR]/.test(quote[0]) ? Buffer.from(body) : bytesOf(body, at));
      replace(at, length, "_".repeat(length));
    }
    return { length: length ?? written.length - at, endsOperand: true };
  }
  const number = take(NUMBER) ?? (ended ? null : take(FRACTION));
  if (number !== null) {
    const [text] = number;
    if (text.startsWith(".")) {
      source.literals.set(at, Number(text));
      replace(at, text.length, "_".repeat(text.length));
    }
    return { length: text.length, endsOperand: true };
  }
  const name = take(NAME) ?? (ended ? null : take(/\.\s*(?=[A-Za-z_])/y));
  if (name !== null) {
    const [text] = name;
    if (!text.startsWith(".")) return { length: text.length, endsOperand: text !== "in" };
    replace(at, 1, " ");
    source.absolute.add(at + text.length);
    return { length: text.length, endsOperand: false };
  }
  const quoted = take(QUOTED);
  if (quoted !== null && /\.\s*$/.test(written.slice(0, at))) {
    source.quoted.set(at, quoted[1] ?? "");
    replace(at, quoted[0].length, "_".repeat(quoted[0].length));
    return { length: quoted[0].length, endsOperand: true };
  }
  return { length: 1, endsOperand: /[)\]}]/.test(written[at] ?? "") };
}

/** Undefined where it does not end: the parser says so. */
function literalLength(written: string, at: number, start: string, delimiter: string): number | undefined {
  const isRaw = /[rR]/.test(start);
  for (let index = at + start.length; index < written.length; index++) {
    if (written[index] === "\\" && !isRaw) index++;
    else if (written.startsWith(delimiter, index)) return index + delimiter.length - at;
    else if (delimiter.length === 1 && /[\r\n]/.test(written[index] ?? "")) return undefined;
  }
  return undefined;
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** In a bytes literal `\xff` and `\377` are one byte; what is not escaped is UTF-8. */
function bytesOf(body: string, at: number): Uint8Array {
  const parts: Uint8Array[] = [];
  const pattern = /\\(?:[xX]([0-9a-fA-F]{2})|([0-3][0-7]{2})|([abfnrtv])|([\\?"'`]))|\\|[^\\]+/g;
  for (const [text, hex, octal, letter, mark] of body.matchAll(pattern)) {
    if (text === "\\") {
      throw new ExpressionFault("read as CEL: invalid escape sequence in a bytes literal", {
        start: at,
        end: at + 1,
      });
    }
    if (hex !== undefined) parts.push(Uint8Array.of(Number.parseInt(hex, 16)));
    else if (octal !== undefined) parts.push(Uint8Array.of(Number.parseInt(octal, 8)));
    else parts.push(Buffer.from(letter === undefined ? (mark ?? text) : (ESCAPES[letter] ?? "")));
  }
  return Buffer.concat(parts);
}
