/** Compiles the expressions of a policy, each for the place where it stands. */
import { compileExpression } from "./cel/compile.ts";
import type { Environment } from "./cel/environment.ts";
import { ExpressionFault } from "./cel/fault.ts";
import type { Expression } from "./policy.ts";
import { CHANCE } from "./variables.ts";

export interface Compiled extends Expression {
  /** In CEL's words; `dyn` where only the evaluation shows it. */
  readonly type: string;
  /** In units of cel/cost.ts. */
  readonly cost: number;
}

/** `text` as a question with the answers true and false, or why it is none. Never throws. */
export function compilePredicate(text: string, environment: Environment): Compiled | ExpressionFault {
  const compiled = compileValue(text, environment);
  if (compiled instanceof Error || compiled.type === "bool" || compiled.type === "dyn") return compiled;
  return new ExpressionFault(`the expression is of type ${compiled.type}: compare it with something`);
}

/** `text` as a value of any type. Never throws. */
export function compileValue(text: string, environment: Environment): Compiled | ExpressionFault {
  const compiled = compileExpression(text, environment, "any");
  if (compiled instanceof Error) return compiled;
  const { type, cost, evaluate } = compiled;
  const byChance = [...compiled.calls].some((name) => name.startsWith("rand."));
  const reads = byChance ? new Set([...compiled.reads, CHANCE]) : compiled.reads;
  return { text, type, cost, reads, evaluate };
}
