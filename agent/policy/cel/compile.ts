/** Compiles the expressions of a policy. Nothing outside this folder knows of the engine behind it. */
import type { Identity } from "../../model/identity.ts";
import type { Expression } from "../policy.ts";
import { variableValues } from "../variables.ts";
import { boundCost } from "./cost.ts";
import { typed, untyped, useRe2 } from "./engine.ts";
import { ExpressionFault } from "./fault.ts";
import type { Pattern } from "./regex.ts";
import { readVariables } from "./vocabulary.ts";

const MAX_SOURCE_BYTES = 4096;

export interface CompiledExpression extends Expression {
  /** Full paths of the variables it may read, such as `conn.k8s.pod.metadata.namespace`. */
  readonly reads: ReadonlySet<string>;
  /** Bound of one evaluation, in the units of cost.ts. */
  readonly cost: number;
}

/** `text` compiled, type-checked and bounded, or why it is refused. Never throws. */
export function compileExpression(text: string): CompiledExpression | ExpressionFault {
  if (Buffer.byteLength(text) > MAX_SOURCE_BYTES) {
    return new ExpressionFault(`the expression is over ${MAX_SOURCE_BYTES} bytes: split it into several`);
  }
  if (!text.isWellFormed()) return new ExpressionFault("the expression is no Unicode text: write it again");
  try {
    const patterns = new Map<string, Pattern>();
    const { reads, cost } = check(text, patterns);
    const program = untyped.parse(text);
    useRe2(program.ast, patterns);
    return { text, reads, cost, evaluate: (identity) => run(program, identity) };
  } catch (thrown) {
    return faultOf(thrown);
  }
}

/** What `text` reads and costs. Throws when it is no expression of type bool within bounds. */
function check(text: string, patterns: Map<string, Pattern>): { reads: ReadonlySet<string>; cost: number } {
  const { ast, check: checkTypes } = typed.parse(text);
  const reads = readVariables(ast);
  useRe2(ast, patterns);
  const cost = boundCost(ast);
  const { valid, type, error } = checkTypes();
  if (!valid) throw error;
  if (type !== "bool")
    throw new ExpressionFault(`the expression is of type ${type}: compare it with something`);
  return { reads, cost };
}

function run(program: (values: object) => unknown, identity: Identity): boolean | Error {
  try {
    const result = program(variableValues(identity));
    if (result === true || result === false) return result;
    return new Error(`evaluate expression: the result is ${typeof result}, not a boolean`);
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
