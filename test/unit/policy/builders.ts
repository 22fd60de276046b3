/** Callers and policies for tests. */
import { type Identity, type PodIdentity, unresolved } from "../../../agent/model/identity.ts";
import { evaluate } from "../../../agent/policy/evaluate.ts";
import { parsePolicy } from "../../../agent/policy/parse.ts";
import type { Outcome, Policy } from "../../../agent/policy/policy.ts";
import { compilePredicate } from "../../../agent/policy/predicate.ts";

export const M = "conn.k8s.pod.metadata";

export function pod(
  over: Partial<PodIdentity> & { annotations?: ReadonlyMap<string, string> } = {},
): Identity {
  const whole = {
    id: "4b2c1a0e-7f3d-11ee-b962-0242ac120002",
    name: "a",
    namespace: "payments",
    errorMessage: "",
  };
  return { kind: "pod", pod: { ...whole, annotations: new Map(), errorCode: "", ...over } };
}

export const nobody: Identity = unresolved("the pod uses the network of its node");

/** A pod with more annotation bytes than are surfaced. */
export const oversized = pod({
  errorCode: "ERR_NGROK_28000",
  errorMessage: "Pod identity metadata too large",
});

export const deny = { actions: [{ type: "deny" }] };
export const forward = {
  actions: [{ type: "forward-internal", config: { url: "http://my-service.my-namespace.internal" } }],
};

export function rule(...expressions: string[]) {
  return { expressions, ...deny };
}

/** The policy of these rules; a mistake in a test fails with the policy's own messages. */
export function policyOf(...rules: unknown[]): Policy {
  const result = parsePolicy({ on_tcp_connect: rules }, "");
  if (!result.ok)
    throw new Error(result.diagnostics.map(({ path, message }) => `${path}: ${message}`).join("\n"));
  return result.policy;
}

/** In one word per kind: "deny 0", "error 1.0", "forward 2", "fell-through". */
export function said(outcome: Outcome): string {
  if (outcome.kind === "fell-through") return "fell-through";
  if (outcome.kind === "forward") return `forward ${outcome.rule}`;
  return outcome.reason === "rule" ? `deny ${outcome.rule}` : `error ${outcome.rule}.${outcome.expression}`;
}

export function decide(policy: Policy, identity: Identity): string {
  return said(evaluate(policy, identity));
}

/** The result of one expression: true, false, "error", or "refused: why". */
export function result(text: string, identity: Identity = pod()): boolean | string {
  const compiled = compilePredicate(text);
  if (compiled instanceof Error) return `refused: ${compiled.message}`;
  const value = compiled.evaluate(identity);
  return value instanceof Error ? "error" : value;
}
