/** Callers and policies for tests. */

import { type Connection, UNKNOWN } from "../../../agent/model/connection.ts";
import { type Identity, type PodIdentity, unresolved } from "../../../agent/model/identity.ts";
import { ENVIRONMENT } from "../../../agent/policy/environment.ts";
import { evaluate } from "../../../agent/policy/evaluate.ts";
import { compilePredicate } from "../../../agent/policy/expression.ts";
import { parsePolicy } from "../../../agent/policy/parse.ts";
import type { Outcome, Policy } from "../../../agent/policy/policy.ts";
import type { Resolve } from "../../../agent/policy/run.ts";
import { type Facts, variableValues } from "../../../agent/policy/variables.ts";

export const M = "conn.k8s.pod.metadata";

export function pod(
  over: Partial<PodIdentity> & { annotations?: ReadonlyMap<string, string> } = {},
): Identity {
  const whole = {
    id: "4b2c1a0e-7f3d-11ee-b962-0242ac120002",
    name: "a",
    namespace: "payments",
    labels: new Map(),
    serviceAccount: "default",
    nodeName: "node-1",
    namespaceLabels: new Map(),
    addresses: [],
    errorMessage: "",
  };
  return { kind: "pod", pod: { ...whole, annotations: new Map(), errorCode: "", ...over } };
}

/** Before there is a connection: nothing of it is known. */
export const AHEAD: Connection = {
  client: { ip: UNKNOWN, port: UNKNOWN },
  server: { ip: UNKNOWN, port: UNKNOWN },
  start: UNKNOWN,
  now: UNKNOWN,
};

/** A connection that exists, with documentation addresses. */
export const CONNECTION: Connection = {
  client: { ip: "192.0.2.7", port: 40_000 },
  server: { ip: "198.51.100.9", port: 443 },
  start: Date.parse("2026-11-21T10:00:00Z"),
  now: Date.parse("2026-11-21T10:00:01Z"),
};

export function factsOf(identity: Identity, connection: Connection = AHEAD): Facts {
  const endpoint = {
    id: "uid-1",
    url: "https://ledger.payments",
    protocol: "https",
    host: "ledger.payments",
    port: 443,
  };
  return { identity, connection, endpoint };
}

/** What the policy says; every forward finds its target unless `resolve` says otherwise. */
export function ask(
  policy: Policy,
  identity: Identity,
  connection: Connection = AHEAD,
  resolve: Resolve = () => undefined,
): Outcome {
  return evaluate(policy, factsOf(identity, connection), resolve);
}

/** An expression compiled alone, as a question about a caller. */
export function predicate(text: string) {
  const compiled = compilePredicate(text, ENVIRONMENT);
  if (compiled instanceof Error) return compiled;
  return {
    ...compiled,
    evaluate: (identity: Identity) => compiled.evaluate(variableValues(factsOf(identity))) as boolean | Error,
  };
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

/** In one word per kind: "deny 0", "error 1.0" (of an action: "error 1!0"), "forward 2", "undecided 3", "fell-through". */
export function said(outcome: Outcome): string {
  if (outcome.kind === "fell-through") return "fell-through";
  if (outcome.kind !== "deny") return `${outcome.kind} ${outcome.rule}`;
  if (outcome.reason === "rule") return `deny ${outcome.rule}`;
  const { rule, expression, action } = outcome;
  return `error ${rule}${action === undefined ? `.${expression}` : `!${action}`}`;
}

export function decide(policy: Policy, identity: Identity): string {
  return said(ask(policy, identity));
}

/** The result of one expression: true, false, "error", or "refused: why". */
export function result(text: string, identity: Identity = pod()): boolean | string {
  const compiled = predicate(text);
  if (compiled instanceof Error) return `refused: ${compiled.message}`;
  const value = compiled.evaluate(identity);
  return value === true || value === false ? value : "error";
}
