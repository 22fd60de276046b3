/** The one meaning of a policy: what it says of one caller. What the kernel enforces is this function's result. */
import type { Identity, PodIdentity } from "../model/identity.ts";
import type { Expression, Outcome, Policy, PolicyAction, Rule } from "./policy.ts";

export type Evaluate = (policy: Policy, identity: Identity) => Outcome;

/**
 * `evaluate` with a memory for as long as policy and pod are the same values: expressions may cost milliseconds, and
 * every look at the cluster asks again for every pod.
 */
export function rememberingEvaluate(): Evaluate {
  const outcomes = new WeakMap<
    Policy,
    { byCaller: Map<string, Outcome>; byPod: WeakMap<PodIdentity, Outcome> }
  >();
  return (policy, identity) => {
    const known = outcomes.get(policy) ?? { byCaller: new Map(), byPod: new WeakMap() };
    outcomes.set(policy, known);
    const caller = callerKey(policy, identity);
    const before = typeof caller === "string" ? known.byCaller.get(caller) : known.byPod.get(caller);
    if (before !== undefined) return before;
    const outcome = evaluate(policy, identity);
    if (typeof caller === "string") known.byCaller.set(caller, outcome);
    else known.byPod.set(caller, outcome);
    return outcome;
  };
}

/** What of a caller the policy's outcome depends on; "" is the caller that nobody knows. */
function callerKey(policy: Policy, identity: Identity): string | PodIdentity {
  if (identity.kind === "unresolved") return "";
  const { pod } = identity;
  return policy.scope === "namespace" ? `${pod.namespace}/${pod.errorCode}` : pod;
}

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
