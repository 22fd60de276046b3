/** Compiles CEL expressions. Nothing outside this folder knows of the engine behind it, and nothing in it of policies. */
import { checkTypes, parseExpression } from "./checker.ts";
import { boundCost } from "./cost.ts";
import type { Environment } from "./environment.ts";
import { ExpressionFault } from "./fault.ts";
import { Frame, type Random, type Step } from "./frame.ts";
import { readPatterns } from "./patterns.ts";
import { lower } from "./program.ts";
import { readSource, restoreQuoted } from "./source.ts";
import { Failure, type Value } from "./value.ts";
import { type Names, readNames } from "./vocabulary.ts";

const MAX_SOURCE_BYTES = 4096;

export interface CompiledExpression {
  /** As written. */
  readonly text: string;
  /** In CEL's words, such as `string` or `list<int>`; `dyn` where only the evaluation shows it. */
  readonly type: string;
  /** Variables it may read, as full paths. */
  readonly reads: Names["reads"];
  /** Functions, methods and macros it may call: `rand.int`, `startsWith`, `exists`. */
  readonly calls: Names["calls"];
  /** Bound of one evaluation, in the units of cost.ts. */
  readonly cost: number;
  /**
   * The value, in the forms of value.ts. `values` has the shape of the environment's variables. `random` gives numbers from 0
   * up to 1. Never throws: whatever goes wrong is the Error.
   */
  readonly evaluate: (values: object, random?: Random) => Value | Error;
}

/**
 * `text` compiled, type-checked and bounded, or why it is refused. Wanting "bool" refuses any other type; a `dyn` that turns
 * out to be something else is an Error then. Never throws.
 */
export function compileExpression(
  text: string,
  environment: Environment,
  want: "bool" | "any",
): CompiledExpression | ExpressionFault {
  if (Buffer.byteLength(text) > MAX_SOURCE_BYTES) {
    return new ExpressionFault(`the expression is over ${MAX_SOURCE_BYTES} bytes: split it into several`);
  }
  if (!text.isWellFormed()) return new ExpressionFault("the expression is no Unicode text: write it again");
  try {
    const source = readSource(text);
    const parsed = parseExpression(source.text);
    restoreQuoted(parsed.ast, source);
    const names = readNames(parsed.ast, source, environment);
    const plan = { meanings: names.meanings, patterns: readPatterns(parsed.ast) };
    const cost = boundCost(parsed.ast, plan, environment);
    const type = checkTypes(parsed, source, names.meanings);
    if (want === "bool" && type !== "bool" && type !== "dyn") {
      return new ExpressionFault(`the expression is of type ${type}: compare it with something`);
    }
    const step = lower(parsed.ast, plan);
    const evaluate = (values: object, random: Random = Math.random) => run(step, values, random, want);
    return { text, type, reads: names.reads, calls: names.calls, cost, evaluate };
  } catch (thrown) {
    return faultOf(thrown);
  }
}

function run(step: Step, values: object, random: Random, want: "bool" | "any"): Value | Error {
  try {
    const value = step(new Frame(values, random));
    if (value instanceof Failure) return new Error(value.message);
    if (want === "any" || typeof value === "boolean") return value;
    return new Error(`the result is ${typeof value}, not a boolean`);
  } catch (thrown) {
    // Nothing here throws but the stack, when it is full.
    return thrown instanceof Error ? thrown : new Error("the expression failed");
  }
}

function faultOf(thrown: unknown): ExpressionFault {
  if (thrown instanceof ExpressionFault) return thrown;
  // The engine's parser recurses: a long run of unary operators fills the stack.
  if (thrown instanceof RangeError)
    return new ExpressionFault("the expression is nested too deep: make it simpler");
  const range = thrown instanceof Error && "range" in thrown ? thrown.range : undefined;
  return new ExpressionFault(`read as CEL: ${explain(summary(thrown))}`, isRange(range) ? range : undefined);
}

/** CEL has the doubled operators alone, and who writes one of these meant that. */
function explain(complaint: string): string {
  if (/^no such overload: \S+ (==|!=|<=?|>=?) \S+$/.test(complaint)) {
    return `${complaint}: make both sides one type`;
  }
  const [, operator] = /^unexpected character: '?([=&|])'?$/.exec(complaint) ?? [];
  return operator === undefined ? complaint : `\`${operator}\` is no operator: write ${operator}${operator}`;
}

function isRange(value: unknown): value is { start: number; end: number } {
  return typeof value === "object" && value !== null && "start" in value && "end" in value;
}

/** The engine's errors draw a picture of the source in `message`; the sentence alone is in `summary`. */
function summary(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const text = "summary" in thrown ? String(thrown.summary) : thrown.message;
  return text.charAt(0).toLowerCase() + text.slice(1);
}
