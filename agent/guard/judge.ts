/** What one policy decides about one connection, with its forwards followed to the end. */
import { type ObjectRef, refKey } from "../model/objects.ts";
import type { Decision, LogMetadata, Reason } from "../model/verdict.ts";
import { MAX_DECISION_COST } from "../policy/budget.ts";
import { type EndpointUrl, parseUpstreamUrl } from "../policy/url.ts";
import { combine } from "./combine.ts";
import { forwardFault } from "./forward-fault.ts";
import type { GuardPolicy } from "./guard.ts";
import {
  type Caller,
  isLoop,
  type Journey,
  type Judged,
  type Meter,
  type Trail,
  type Watcher,
} from "./journey.ts";
import type { RegisteredEndpoint, Routes } from "./routes.ts";
import { targetOf } from "./target.ts";
import { describeOutcome } from "./words.ts";

export interface JudgedPolicy {
  readonly decision: Decision;
  /** An audited endpoint on the way would have refused. */
  readonly suppressed: boolean;
  /** A policy on the way has terminated TLS. */
  readonly endsTls: boolean;
  /** What the `log` actions of all policies on the way recorded, in the order in which they ran. */
  readonly log: readonly LogMetadata[];
}

/** Of the endpoints on the way, which may refuse, and who looks on. */
export interface Manner {
  readonly auditedRefuse: boolean;
  /** True if not said. */
  readonly connectOnlyRefuse?: boolean;
  readonly watcher?: Watcher | undefined;
  /** Of the whole decision, if it is about more than this policy. */
  readonly meter?: Meter;
}

/** A policy of a guard, asked on its own. */
export function judgeGuardPolicy(
  policy: GuardPolicy,
  caller: Caller,
  routes: Routes,
  { auditedRefuse, connectOnlyRefuse = true, watcher, meter = { cost: 0 } }: Manner,
): JudgedPolicy {
  const trail: Trail = { policiesRun: 0, suppressed: false, endsTls: false, log: [] };
  const { home } = policy;
  const how = { auditedRefuse, connectOnlyRefuse, watcher, meter };
  const decision = judge(policy, { caller, routes, home, ...how, path: [], trail });
  const { suppressed, endsTls, log } = trail;
  return { decision, suppressed, endsTls, log };
}

function judge(policy: Judged, journey: Journey): Decision {
  const { object, inForce, endpoint } = policy;
  const { watcher, path } = journey;
  journey.trail.policiesRun++;
  const observer = watcher?.asked(policy, path.length);
  if (inForce.kind === "refusal") {
    watcher?.answered(policy, undefined);
    return deny(inForce.reason, object);
  }
  // The agent has one thread for everybody: a tenant's hundred policies must not hold it for a hundred times as long.
  journey.meter.cost += inForce.policy.cost;
  if (journey.meter.cost > MAX_DECISION_COST) {
    watcher?.answered(policy, undefined);
    return deny("over-limit", object, undefined, "the policies asked together could take too long");
  }
  const { identity, connection } = journey.caller;
  const facts = { identity, connection, endpoint };
  const outcome = journey.routes.evaluate(inForce.policy, facts, forwardFault(object, journey), observer);
  watcher?.answered(policy, outcome);
  journey.trail.log.push(...(outcome.log ?? []));
  journey.trail.endsTls ||= outcome.endsTls === true;
  switch (outcome.kind) {
    case "deny":
      return deny(outcome.reason, object, outcome.rule, describeOutcome(outcome));
    case "undecided": {
      const by = { policy: refOf(object), rule: outcome.rule, error: describeOutcome(outcome) ?? "" };
      const { handshake } = outcome;
      // Without an agent nobody ends its TLS: there is nothing to allow.
      if (handshake !== undefined) return { action: "proxy", reason: "pending", ...by, handshake };
      const { onAgentDown } = policy;
      return { action: "proxy", reason: "pending", ...by, ...(onAgentDown && { onAgentDown }) };
    }
    case "fell-through":
      return fallThrough(policy, journey);
    case "forward":
      return followForward(outcome.url, outcome.rule, object, journey);
  }
}

function fallThrough(
  { object, fallThrough }: Pick<Judged, "object" | "fallThrough">,
  journey: Journey,
): Decision {
  switch (fallThrough.kind) {
    case "allow":
      return { action: "allow", reason: "fell-through" };
    case "refuse":
      return deny("policy-invalid", object);
    case "upstream": {
      const url = parseUpstreamUrl(fallThrough.url);
      if (url instanceof Error) return deny("target-not-routable", object);
      return arrive(url, "fell-through", object, undefined, journey);
    }
  }
}

/** The endpoints registered under the url, each with its own policy, else the Service that the url names. */
function followForward(text: string, rule: number, object: ObjectRef, journey: Journey): Decision {
  const route = journey.routes.locate(text, object.namespace);
  if (route instanceof Error) return deny("target-not-found", object, rule, route.message);
  if (route.endpoints.length > 0) {
    if (isLoop(route, object, journey)) return deny("loop", object, rule);
    const path = [...journey.path, refKey(object)];
    const decisions = route.endpoints.flatMap((next) => pass(next, { ...journey, path }));
    // A refusal is reported as the endpoint's that refused; whatever else comes back is this rule's doing.
    if (decisions.length > 0) {
      const decision = combine(decisions);
      return decision.action === "deny" || decision.action === "proxy"
        ? decision
        : { ...decision, reason: "rule", policy: refOf(object), rule };
    }
  }
  if (route.url.service === undefined) return deny("target-not-found", object, rule);
  return arrive(route.url, "rule", object, rule, journey);
}

/** An endpoint's own say. An audited one that would refuse lets the connection fall through, if it has an upstream. */
function pass(next: RegisteredEndpoint, journey: Journey): readonly Decision[] {
  const judged = { ...next.resolved, fallThrough: next.fallThrough, endpoint: next.endpoint };
  const decision = judge(judged, journey);
  const refusesItself =
    (decision.action === "deny" || decision.action === "proxy") &&
    decision.policy !== undefined &&
    refKey(decision.policy) === refKey(judged.object);
  if (!refusesItself) return [decision];
  if (next.object.connectOnly && !journey.connectOnlyRefuse)
    return [{ action: "allow", reason: "fell-through" }];
  if (!next.object.audit || journey.auditedRefuse) return [decision];
  journey.trail.suppressed = true;
  return next.fallThrough.kind === "upstream" ? [fallThrough(judged, journey)] : [];
}

function arrive(
  url: EndpointUrl,
  reason: "rule" | "fell-through",
  object: ObjectRef,
  rule: number | undefined,
  journey: Journey,
): Decision {
  const target = targetOf(url, journey.home, journey.routes.services);
  const by = { policy: refOf(object), ...(rule !== undefined && { rule }) };
  switch (target.kind) {
    case "home":
      return reason === "rule" ? { action: "allow", reason, ...by } : { action: "allow", reason };
    case "forward":
      return { action: "forward", reason, ...by, forward: target.forward };
    case "refused":
      return { action: "deny", reason: target.reason, ...by };
  }
}

function deny(reason: Reason, object: ObjectRef, rule?: number, error?: string): Decision {
  return {
    action: "deny",
    reason,
    policy: refOf(object),
    ...(rule !== undefined && { rule }),
    ...(error !== undefined && { error }),
  };
}

/** Only the reference: a verdict outlives the object it names. */
function refOf({ kind, namespace, name }: ObjectRef): ObjectRef {
  return { kind, namespace, name };
}
