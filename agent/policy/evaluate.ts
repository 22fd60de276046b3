/** The one meaning of a policy: what it says of one connection. What the kernel enforces is this function's result. */
import { UNKNOWN } from "../model/connection.ts";
import type { PodIdentity } from "../model/identity.ts";
import { type ActionResult, perform } from "./perform.ts";
import type { Expression, Outcome, Policy, PolicyAction, Rule } from "./policy.ts";
import { beginRun, Missing, type Observer, type Resolve, type Run } from "./run.ts";
import type { Facts } from "./variables.ts";

export type Evaluate = typeof evaluate;

/**
 * `evaluate` with a memory for as long as policy and pod are the same values: expressions may cost milliseconds, and
 * every look at the cluster asks again for every pod. What is asked of one connection, or hangs on targets that may be gone,
 * is always asked.
 */
export function rememberingEvaluate(): Evaluate {
  const outcomes = new WeakMap<
    Policy,
    { byCaller: Map<string, Outcome>; byPod: WeakMap<PodIdentity, Map<string, Outcome>> }
  >();
  return (policy, facts, resolve, observer) => {
    const about = aheadKey(policy, facts);
    if (observer !== undefined || about === undefined) return evaluate(policy, facts, resolve, observer);
    const known = outcomes.get(policy) ?? { byCaller: new Map(), byPod: new WeakMap() };
    outcomes.set(policy, known);
    const caller = callerKey(policy, facts);
    const ofCaller = typeof caller === "string" ? known.byCaller : (known.byPod.get(caller) ?? new Map());
    if (typeof caller !== "string") known.byPod.set(caller, ofCaller);
    const key = typeof caller === "string" ? `${caller} ${about}` : about;
    const outcome = ofCaller.get(key) ?? evaluate(policy, facts, resolve);
    ofCaller.set(key, outcome);
    return outcome;
  };
}

/**
 * What the outcome depends on besides policy and caller, if that is known before there is a connection: no moment, no port
 * of its own, no target that may be gone. Else undefined.
 */
function aheadKey(policy: Policy, { connection, endpoint }: Facts): string | undefined {
  if (!policy.rules.every(({ actions }) => actions.every(isPlain))) return undefined;
  if ([...policy.reads].every((name) => name.startsWith("conn.k8s.pod."))) return "";
  const { client, server, start, now, tls } = connection;
  const isAhead = client.port === UNKNOWN && start === UNKNOWN && now === UNKNOWN && tls === undefined;
  return isAhead ? JSON.stringify([client.ip, server, endpoint]) : undefined;
}

function isPlain(action: PolicyAction): boolean {
  if (action.type !== "forward-internal") return true;
  return !action.continueOnError && action.url.constant !== undefined;
}

/** What of a caller the policy's outcome depends on; "" is the caller that nobody knows. */
function callerKey(policy: Policy, { identity }: Facts): string | PodIdentity {
  if (identity.kind === "unresolved") return "";
  const { pod } = identity;
  return policy.scope === "namespace" ? `${pod.namespace}/${pod.errorCode}` : pod;
}

/**
 * The first rule that terminates decides. A rule that cannot be evaluated denies, and one that hangs on what is not
 * known leaves the whole undecided: what comes after it might never have been asked. Never throws.
 */
export function evaluate(policy: Policy, facts: Facts, resolve: Resolve, observer?: Observer): Outcome {
  const run = beginRun(policy.reads, facts, resolve, observer);
  for (const rule of policy.rules) {
    const outcome = applyRule(rule, run);
    if (outcome !== undefined) return finished(outcome, run);
  }
  return finished({ kind: "fell-through" }, run);
}

/** Whether every caller gets an answer from some rule; a CloudEndpoint, which has nowhere else to go, needs that. */
export function alwaysTerminates(policy: Policy): boolean {
  return policy.rules.some(
    ({ expressions, actions }) =>
      expressions.length === 0 &&
      actions.some(
        (action) =>
          action.type === "deny" ||
          action.type === "close-connection" ||
          (action.type === "forward-internal" && !action.continueOnError),
      ),
  );
}

/** Undefined: the next rule is asked. */
function applyRule(rule: Rule, run: Run): Outcome | undefined {
  const matched = matches(rule, run);
  if (matched === false) return undefined;
  if (matched !== true) return failure(rule, matched);
  for (const [index, action] of rule.actions.entries()) {
    const result = perform(action, run);
    if (result === "next") continue;
    return result.kind === "deny" || result.kind === "forward"
      ? { ...result, rule: rule.index }
      : failure(rule, result, index);
  }
  return undefined;
}

type Failure = Extract<ActionResult, { kind: "unknown" | "error" }> & { readonly expression?: number };

function failure(rule: Rule, failed: Failure, action?: number): Outcome {
  if (failed.kind === "unknown") {
    const { needs, handshake } = failed;
    return { kind: "undecided", rule: rule.index, needs, ...(handshake && { handshake }) };
  }
  return {
    kind: "deny",
    reason: "expression-error",
    rule: rule.index,
    ...(failed.expression !== undefined && { expression: failed.expression }),
    ...(action !== undefined && { action }),
    error: failed.error,
  };
}

/**
 * CEL's `&&` over all expressions: a false absorbs an error or an unknown beside it, before or after; none at all is
 * true. An unknown goes before an error: it may turn out false.
 */
function matches(rule: Rule, run: Run): boolean | Failure {
  let failed: Failure | undefined;
  for (const [index, expression] of rule.expressions.entries()) {
    const result = judge(expression, run);
    run.observer?.expression(rule, index, result, run.values);
    if (result === false) return false;
    if (result instanceof Missing) {
      if (failed?.kind !== "unknown") failed = { kind: "unknown", needs: result.needs };
    } else if (result !== true) failed ??= { kind: "error", expression: index, error: result.message };
  }
  return failed ?? true;
}

/** Only true and false are answers, whatever an expression's implementation returns or throws. */
function judge(expression: Expression, run: Run): boolean | Error | Missing {
  const result = run.valueOf(expression);
  if (result === true || result === false || result instanceof Missing) return result;
  return result instanceof Error ? result : new Error(`the result is ${typeof result}, not a boolean`);
}

function finished(outcome: Outcome, { log, endsTls }: Run): Outcome {
  if (log.length === 0 && !endsTls) return outcome;
  return { ...outcome, ...(log.length > 0 && { log }), ...(endsTls && { endsTls }) };
}
