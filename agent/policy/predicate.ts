/** Expressions of a policy that are judged by who the caller is. */
import { compileExpression } from "./cel/compile.ts";
import type { ExpressionFault } from "./cel/fault.ts";
import type { Expression } from "./policy.ts";
import { ENVIRONMENT, variableValues } from "./variables.ts";

export interface CompiledPredicate extends Expression {
  readonly reads: ReadonlySet<string>;
  readonly cost: number;
}

/** `text` as a question about the caller, or why it is refused. Never throws. */
export function compilePredicate(text: string): CompiledPredicate | ExpressionFault {
  const compiled = compileExpression(text, ENVIRONMENT, "bool");
  if (compiled instanceof Error) return compiled;
  return {
    text,
    reads: compiled.reads,
    cost: compiled.cost,
    evaluate: (identity) => {
      const result = compiled.evaluate(variableValues(identity));
      if (result === true || result === false || result instanceof Error) return result;
      return new Error(`evaluate expression: the result is ${typeof result}, not a boolean`);
    },
  };
}
