/** Compiles CEL expressions. Nothing outside this folder knows of the engine behind it, and nothing in it of policies. */
import { boundCost } from "./cost.ts";
import { type Engines, enginesFor, useRe2 } from "./engine.ts";
import type { Environment } from "./environment.ts";
import { ExpressionFault } from "./fault.ts";
import type { Pattern } from "./regex.ts";
import { type Names, readNames } from "./vocabulary.ts";

const MAX_SOURCE_BYTES = 4096;

export interface CompiledExpression extends Names {
  /** As written. */
  readonly text: string;
  /** In CEL's words, such as `string` or `list<int>`; `dyn` where only the evaluation shows it. */
  readonly type: string;
  /** Bound of one evaluation, in the units of cost.ts. */
  readonly cost: number;
  /** `values` has the shape of the environment's variables. Never throws: whatever goes wrong is the Error. */
  readonly evaluate: (values: object) => unknown;
}

/** `text` compiled, type-checked and bounded, or why it is refused. Wanting "bool" refuses any other type. Never throws. */
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
    const patterns = new Map<string, Pattern>();
    const engines = enginesFor(environment);
    const checked = check(text, engines, environment, patterns);
    if (want === "bool" && checked.type !== "bool")
      return new ExpressionFault(`the expression is of type ${checked.type}: compare it with something`);
    const program = engines.untyped.parse(text);
    useRe2(program.ast, patterns);
    return { text, ...checked, evaluate: (values) => run(program, values) };
  } catch (thrown) {
    return faultOf(thrown);
  }
}

/** What `text` reads, is and costs. Throws when it is no expression within bounds. */
function check(
  text: string,
  { typed }: Engines,
  environment: Environment,
  patterns: Map<string, Pattern>,
): Names & { type: string; cost: number } {
  const { ast, check: checkTypes } = typed.parse(text);
  const names = readNames(ast, environment);
  useRe2(ast, patterns);
  const cost = boundCost(ast);
  const { valid, type, error } = checkTypes();
  if (!valid || type === undefined) throw error;
  return { ...names, type, cost };
}

function run(program: (values: object) => unknown, values: object): unknown {
  try {
    return program(values);
  } catch (thrown) {
    return new Error(summary(thrown));
  }
}

function faultOf(thrown: unknown): ExpressionFault {
  if (thrown instanceof ExpressionFault) return thrown;
  // The engine's parser recurses: a long run of unary operators fills the stack.
  if (thrown instanceof RangeError)
    return new ExpressionFault("the expression is nested too deep: make it simpler");
  const range = thrown instanceof Error && "range" in thrown ? thrown.range : undefined;
  return new ExpressionFault(`read as CEL: ${summary(thrown)}`, isRange(range) ? range : undefined);
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
