/** Patterns of `matches`: RE2 syntax, compiled when the policy is read, bounded in length and in what they expand to. */
import { RE2JS } from "re2js";
import { Failure } from "./value.ts";

/** UTF-16 units. */
const MAX_PATTERN = 256;
/** Repetition counts times pattern length: bounds compilation, before anything is compiled. */
const MAX_EXPANSION = 20_000;
/** Instructions of the compiled program. */
const MAX_PROGRAM = 1_000;

/** What a pattern that is only known when it is evaluated may be, at most. */
const DYNAMIC = { pattern: 64, expansion: 1_000, program: 100 };
/** In the units of cost.ts: compiling a dynamic pattern, and matching a character with it. */
export const PATTERN_WORK = { compile: 2_000, program: DYNAMIC.program };

export class Pattern {
  readonly source: string;
  /** Instructions; matching costs at most this times the length of the text. */
  readonly size: number;
  readonly #program: RE2JS;

  constructor(source: string, program: RE2JS) {
    this.source = source;
    this.size = program.programSize();
    this.#program = program;
  }

  /** Whether any part of `text` matches. Linear in the length of `text`. */
  test(text: string): boolean {
    return this.#program.test(text);
  }
}

/** The pattern, or an Error that says what to write instead. */
export function compilePattern(source: string): Pattern | Error {
  if (source.length > MAX_PATTERN)
    return new Error(`the pattern is over ${MAX_PATTERN} characters: shorten it`);
  if (expansion(source) > MAX_EXPANSION) return new Error("the pattern repeats too much: use smaller counts");
  try {
    const pattern = new Pattern(source, RE2JS.compile(source));
    return pattern.size > MAX_PROGRAM
      ? new Error("the pattern repeats too much: use smaller counts")
      : pattern;
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    return new Error(`${why}: write the pattern in RE2 syntax`, { cause: thrown });
  }
}

/** `matches` with a pattern that is no literal: compiled each time, so it has to be short. */
export function testDynamic(text: string, source: string): boolean | Failure {
  if (source.length > DYNAMIC.pattern || expansion(source) > DYNAMIC.expansion) {
    return new Failure(
      `a pattern that is no literal is over ${DYNAMIC.pattern} characters, or repeats too much`,
    );
  }
  // Measured: compiling one takes a hundred times as long as anything else of its length.
  if (/\\[pP]/.test(source)) return new Failure("a pattern that is no literal has no classes such as \\pL");
  const pattern = compilePattern(source);
  if (pattern instanceof Error) return new Failure(pattern.message);
  if (pattern.size > DYNAMIC.program) return new Failure("a pattern that is no literal repeats too much");
  return pattern.test(text);
}

function expansion(source: string): number {
  let counts = 0;
  for (const [, from, to] of source.matchAll(/\{(\d+)(?:,(\d*))?\}/g)) counts += Number(to || from);
  return counts * source.length;
}
