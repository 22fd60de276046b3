/** What one policy decides about one connection, with its forwards followed to the end. */

import { type Connection, type EndpointFacts, type Known, UNKNOWN } from "../model/connection.ts";
import type { Identity } from "../model/identity.ts";
import { type ObjectRef, refKey } from "../model/objects.ts";
import type { Decision, LogMetadata, Reason } from "../model/verdict.ts";
import type { Outcome } from "../policy/policy.ts";
import type { Observer, Resolve } from "../policy/run.ts";
import { type EndpointUrl, parseUpstreamUrl } from "../policy/url.ts";
import { combine } from "./combine.ts";
import type { FallThrough, GuardPolicy, InForce, ServiceRef } from "./guard.ts";
import type { RegisteredEndpoint, Route, Routes } from "./routes.ts";
import { targetOf } from "./target.ts";
import { describeOutcome } from "./words.ts";

/** Endpoints that one forward may lead through, one after another. */
const MAX_CHAIN = 4;
/** Policies run for one decision. Many endpoints under one url, chained, would otherwise multiply. */
const MAX_POLICIES = 64;

export interface Caller {
  readonly identity: Identity;
  readonly connection: Connection;
  /** Of the addresses between which it connects. */
  readonly family: Known<4 | 6>;
}

export interface JudgedPolicy {
  readonly decision: Decision;
  /** An audited endpoint on the way would have refused. */
  readonly suppressed: boolean;
  /** What the `log` actions of all policies on the way recorded, in the order in which they ran. */
  readonly log: readonly LogMetadata[];
}

/** Sees every policy that is asked on the way, for who explains the decision. */
export interface Watcher {
  /** `depth`: how many endpoints led here. */
  asked(judged: Judged, depth: number): Observer | undefined;
  /** Undefined: there are no rules that can be run. */
  answered(judged: Judged, outcome: Outcome | undefined): void;
}

/** A policy of a guard, asked on its own. */
export function judgeGuardPolicy(
  policy: GuardPolicy,
  caller: Caller,
  routes: Routes,
  auditedRefuse: boolean,
  watcher?: Watcher,
): JudgedPolicy {
  const trail: Trail = { policiesRun: 0, suppressed: false, log: [] };
  const { home } = policy;
  const decision = judge(policy, { caller, routes, home, auditedRefuse, path: [], trail, watcher });
  return { decision, suppressed: trail.suppressed, log: trail.log };
}

export interface Judged {
  readonly object: ObjectRef;
  readonly inForce: InForce;
  readonly fallThrough: FallThrough;
  readonly endpoint: EndpointFacts;
}

interface Journey {
  readonly caller: Caller;
  readonly routes: Routes;
  /** The Services dialled. */
  readonly home: readonly ServiceRef[];
  /** Whether an audited endpoint on the way may refuse: asked to learn what it would have said. */
  readonly auditedRefuse: boolean;
  /** Keys of the objects on the way here, the guarding one first. */
  readonly path: readonly string[];
  readonly trail: Trail;
  readonly watcher: Watcher | undefined;
}

/** What one decision did so far, on all branches. */
interface Trail {
  policiesRun: number;
  /** An audited endpoint on the way would have refused. */
  suppressed: boolean;
  readonly log: LogMetadata[];
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
  const { identity, connection } = journey.caller;
  const facts = { identity, connection, endpoint };
  const outcome = journey.routes.evaluate(inForce.policy, facts, forwardFault(object, journey), observer);
  watcher?.answered(policy, outcome);
  journey.trail.log.push(...(outcome.log ?? []));
  switch (outcome.kind) {
    case "deny":
      return deny(outcome.reason, object, outcome.rule, describeOutcome(outcome));
    case "undecided": {
      const by = { policy: refOf(object), rule: outcome.rule, error: describeOutcome(outcome) ?? "" };
      return { action: "proxy", reason: "pending", ...by };
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

/** What `on_error: continue` asks: whether a forward finds its target. What the target's own policy says is no error. */
function forwardFault(object: ObjectRef, journey: Journey): Resolve {
  return (text) => {
    const route = journey.routes.locate(text, object.namespace);
    if (route instanceof Error) return { code: "ERR_NGROK_2204", message: route.message };
    if (route.endpoints.length > 0) {
      const looped = isLoop(route, object, journey);
      return looped
        ? { code: "ERR_NGROK_3501", message: `forward to ${text}: it comes back or leads too far` }
        : undefined;
    }
    const target =
      route.url.service === undefined
        ? ({ kind: "refused", reason: "target-not-found" } as const)
        : targetOf(route.url, journey.home, journey.routes.services);
    if (target.kind === "refused") {
      const why = target.reason === "target-not-found" ? "nothing has that url" : "it has no address";
      return { code: "ERR_NGROK_3200", message: `forward to ${text}: ${why}` };
    }
    const { family } = journey.caller;
    if (target.kind === "home" || family === UNKNOWN) return undefined;
    const { ipv4, ipv6 } = target.forward;
    return (family === 4 ? ipv4 : ipv6) === undefined
      ? { code: "ERR_NGROK_3200", message: `forward to ${text}: it has no address in the caller's family` }
      : undefined;
  };
}

function isLoop({ endpoints }: Route, object: ObjectRef, { path, trail }: Journey): boolean {
  const here = [...path, refKey(object)];
  const looped = endpoints.some((next) => here.includes(refKey(next.object)));
  const exhausted = trail.policiesRun + endpoints.length > MAX_POLICIES;
  return looped || exhausted || here.length > MAX_CHAIN;
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
  if (!refusesItself || !next.object.audit || journey.auditedRefuse) return [decision];
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
