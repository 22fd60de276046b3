/** What one policy decides about one caller, with its forwards followed to the end. */
import type { Identity } from "../model/identity.ts";
import { type ObjectRef, refKey } from "../model/objects.ts";
import type { Decision, Reason } from "../model/verdict.ts";
import { type EndpointUrl, parseUpstreamUrl } from "../policy/url.ts";
import { combine } from "./combine.ts";
import type { FallThrough, GuardPolicy, InForce, ServiceRef } from "./guard.ts";
import type { RegisteredEndpoint, Routes } from "./routes.ts";
import { targetOf } from "./target.ts";

/** Endpoints that one forward may lead through, one after another. */
const MAX_CHAIN = 4;
/** Policies run for one decision. Many endpoints under one url, chained, would otherwise multiply. */
const MAX_POLICIES = 64;

/** A policy of a guard, asked on its own. `suppressed`: an audited endpoint on the way would have refused. */
export function judgeGuardPolicy(
  policy: GuardPolicy,
  identity: Identity,
  routes: Routes,
  auditedRefuse: boolean,
): { readonly decision: Decision; readonly suppressed: boolean } {
  const trail = { policiesRun: 0, suppressed: false };
  const decision = judge(policy, { identity, routes, home: policy.home, auditedRefuse, path: [], trail });
  return { decision, suppressed: trail.suppressed };
}

interface Judged {
  readonly object: ObjectRef;
  readonly inForce: InForce;
  readonly fallThrough: FallThrough;
}

interface Journey {
  readonly identity: Identity;
  readonly routes: Routes;
  /** The Services dialled. */
  readonly home: readonly ServiceRef[];
  /** Whether an audited endpoint on the way may refuse: asked to learn what it would have said. */
  readonly auditedRefuse: boolean;
  /** Keys of the objects on the way here, the guarding one first. */
  readonly path: readonly string[];
  readonly trail: Trail;
}

/** What one decision did so far, on all branches. */
interface Trail {
  policiesRun: number;
  /** An audited endpoint on the way would have refused. */
  suppressed: boolean;
}

function judge(policy: Judged, journey: Journey): Decision {
  const { object, inForce } = policy;
  journey.trail.policiesRun++;
  if (inForce.kind === "refusal") return deny(inForce.reason, object);
  const outcome = journey.routes.evaluate(inForce.policy, journey.identity);
  switch (outcome.kind) {
    case "deny":
      return deny(outcome.reason, object, outcome.rule);
    case "fell-through":
      return fallThrough(policy, journey);
    case "forward":
      return followForward(outcome.url, outcome.rule, object, journey);
  }
}

function fallThrough({ object, fallThrough }: Judged, journey: Journey): Decision {
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
  if (route instanceof Error) return deny("target-not-found", object, rule);
  if (route.endpoints.length > 0) {
    const path = [...journey.path, refKey(object)];
    const looped = route.endpoints.some((next) => path.includes(refKey(next.object)));
    const exhausted = journey.trail.policiesRun + route.endpoints.length > MAX_POLICIES;
    if (looped || exhausted || path.length > MAX_CHAIN) return deny("loop", object, rule);
    const decisions = route.endpoints.flatMap((next) => pass(next, { ...journey, path }));
    // A refusal is reported as the endpoint's that refused; whatever else comes back is this rule's doing.
    if (decisions.length > 0) {
      const decision = combine(decisions);
      return decision.action === "deny"
        ? decision
        : { ...decision, reason: "rule", policy: refOf(object), rule };
    }
  }
  if (route.url.service === undefined) return deny("target-not-found", object, rule);
  return arrive(route.url, "rule", object, rule, journey);
}

/** An endpoint's own say. An audited one that would refuse lets the connection fall through, if it has an upstream. */
function pass(endpoint: RegisteredEndpoint, journey: Journey): readonly Decision[] {
  const judged = { ...endpoint.resolved, fallThrough: endpoint.fallThrough };
  const decision = judge(judged, journey);
  const refusesItself =
    decision.action === "deny" &&
    decision.policy !== undefined &&
    refKey(decision.policy) === refKey(judged.object);
  if (!refusesItself || !endpoint.object.audit || journey.auditedRefuse) return [decision];
  journey.trail.suppressed = true;
  return endpoint.fallThrough.kind === "upstream" ? [fallThrough(judged, journey)] : [];
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

function deny(reason: Reason, object: ObjectRef, rule?: number): Decision {
  return { action: "deny", reason, policy: refOf(object), ...(rule !== undefined && { rule }) };
}

/** Only the reference: a verdict outlives the object it names. */
function refOf({ kind, namespace, name }: ObjectRef): ObjectRef {
  return { kind, namespace, name };
}
