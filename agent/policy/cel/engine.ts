/** The two environments of the CEL engine: one knows the types and checks, the other is fast and evaluates. */
import { Environment as Engine, type ObjectSchema } from "@marcbachmann/cel-js";
import { type ASTNode, MATCHES_RE2, operands } from "./ast.ts";
import type { Environment, VariableGroup, VariableType } from "./environment.ts";
import { ExpressionFault } from "./fault.ts";
import { compilePattern, Pattern } from "./regex.ts";

const LIMITS = {
  maxAstNodes: 4_000,
  maxDepth: 100,
  maxListElements: 500,
  maxMapEntries: 200,
  maxCallArguments: 8,
};

/** UTF-16 units of all patterns of an expression: bounds how long compiling them takes. */
const MAX_PATTERNS = 512;

export interface Engines {
  /** Refuses a wrong type when the policy is read. */
  readonly typed: Engine;
  /**
   * Evaluates what `typed` has accepted: a variable with a schema is wrapped again on every evaluation, which takes two
   * to four times as long. Lists may mix, because here every variable's type is unknown.
   */
  readonly untyped: Engine;
}

export function enginesFor(environment: Environment): Engines {
  const typed = engine({ unlistedVariablesAreDyn: false });
  const untyped = engine({ homogeneousAggregateLiterals: false });
  for (const [name, type] of Object.entries(environment.variables)) {
    if (typeof type === "string") typed.registerVariable(name, engineType(type));
    else typed.registerVariable(name, { schema: schemaOf(type) });
    untyped.registerVariable(name, "dyn");
  }
  return { typed, untyped };
}

function engine(options: { unlistedVariablesAreDyn?: boolean; homogeneousAggregateLiterals?: boolean }) {
  return new Engine({ ...options, limits: LIMITS })
    .registerType("podgate.Pattern", Pattern)
    .registerFunction(
      `string.${MATCHES_RE2}(podgate.Pattern): bool`,
      (text: string, pattern: Pattern) => pattern.test(text),
      { async: false },
    );
}

function engineType(type: VariableType): string {
  return type === "timestamp" ? "google.protobuf.Timestamp" : type;
}

function schemaOf(group: VariableGroup): ObjectSchema {
  const entries = Object.entries(group);
  return Object.fromEntries(
    entries.map(([name, type]) => [name, typeof type === "string" ? engineType(type) : schemaOf(type)]),
  );
}

/**
 * The engine's own `matches` is a JavaScript RegExp, which one annotation can keep busy for hours, and it cannot be
 * replaced. So a call of it becomes a call of ours, with the compiled pattern in the place of the literal. `patterns`
 * holds what one expression has compiled already: it is parsed twice.
 */
export function useRe2(node: ASTNode, patterns: Map<string, Pattern>): void {
  if (node.op === "rcall" && node.args[0] === "matches") {
    const [, receiver, [argument, ...rest]] = node.args;
    if (argument?.op !== "value" || typeof argument.args !== "string" || rest.length > 0) {
      throw new ExpressionFault(
        "matches() takes a pattern that is a string literal: for several write `a|b`",
        node,
      );
    }
    const pattern = patterns.get(argument.args) ?? compilePattern(argument.args);
    if (pattern instanceof Error) throw new ExpressionFault(pattern.message, argument);
    patterns.set(argument.args, pattern);
    if ([...patterns.keys()].join("").length > MAX_PATTERNS) {
      throw new ExpressionFault(
        "the patterns together are too long: split them into several expressions",
        node,
      );
    }
    Object.assign(argument, { args: pattern });
    Object.assign(node, { args: [MATCHES_RE2, receiver, [argument]] });
  }
  for (const operand of operands(node)) useRe2(operand, patterns);
}
