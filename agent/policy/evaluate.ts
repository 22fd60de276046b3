/** The one meaning of a policy: what it says of one caller. What the kernel enforces is this function's result. */
import type { Identity } from "../model/identity.ts";
import type { Expression, Outcome, Policy, PolicyAction, Rule } from "./policy.ts";

/** The first rule that terminates decides. A rule that cannot be evaluated denies. Never throws. */
export function evaluate(policy: Policy, identity: Identity): Outcome {
  for (const rule of policy.rules) {
    const matched = matches(rule, identity);
    if (matched !== true && matched !== false) {
      return { kind: "deny", reason: "expression-error", rule: rule.index, ...matched };
    }
    const [action] = rule.actions;
    if (matched && action !== undefined) return perform(action, rule);
  }
  return { kind: "fell-through" };
}

/** Whether every caller gets an answer from some rule; a CloudEndpoint, which has nowhere else to go, needs that. */
export function alwaysTerminates(policy: Policy): boolean {
  return policy.rules.some((rule) => rule.expressions.length === 0);
}

/** Every action that exists today terminates, so the first is the only one. */
function perform(action: PolicyAction, rule: Rule): Outcome {
  if (action.type === "forward-internal") return { kind: "forward", rule: rule.index, url: action.url };
  return { kind: "deny", reason: "rule", rule: rule.index };
}

/** CEL's `&&` over all expressions: a false absorbs an error beside it, before or after; none at all is true. */
function matches(rule: Rule, identity: Identity): boolean | { expression: number; error: string } {
  let failed: { expression: number; error: string } | undefined;
  for (const [index, expression] of rule.expressions.entries()) {
    const result = judge(expression, identity);
    if (result === false) return false;
    if (result !== true) failed ??= { expression: index, error: result.message };
  }
  return failed ?? true;
}

/** Only true and false are answers, whatever an expression's implementation returns or throws. */
function judge(expression: Expression, identity: Identity): boolean | Error {
  try {
    const result: unknown = expression.evaluate(identity);
    if (result === true || result === false) return result;
    return result instanceof Error ? result : new Error(`the result is ${typeof result}, not a boolean`);
  } catch (thrown) {
    return thrown instanceof Error ? thrown : new Error("the expression failed");
  }
}
