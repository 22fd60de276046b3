/** A cluster's worth of guards and pods as the dataplane is told of them. Addresses are those set aside for benchmarks. */
import type { WantGuard, WantPod } from "../../agent/dataplane/want.ts";
import { NO_CONTEXT } from "../../agent/guard/context.ts";
import { decide } from "../../agent/guard/decide.ts";
import type { GuardPolicy } from "../../agent/guard/guard.ts";
import { computeGuards } from "../../agent/guard/guards.ts";
import type { IpAddress } from "../../agent/model/address.ts";
import type { PodIdentity } from "../../agent/model/identity.ts";
import { parsePolicy } from "../../agent/policy/parse.ts";
import { subjectScope } from "../../agent/policy/placement.ts";
import { snapshot } from "../unit/guard/builders.ts";

const M = "conn.k8s.pod.metadata";

/** Rules of each kind: what of a caller they read, and whether they let the bench's caller through. */
export const rules = {
  byNamespace: `!(${M}.namespace in ["team-0", "team-7"])`,
  byPod: `!("ngrok.com/stage" in ${M}.annotations) || ${M}.annotations["ngrok.com/stage"] != "production"`,
  denied: `${M}.namespace != "nobody"`,
} as const;

const noOptions = { trustedNamespaces: new Set<string>(), ownAddresses: [] };
const { routes } = computeGuards(snapshot(), new Map(), noOptions);

/** The guard that denies whom `expression` matches. */
export function guardOf(
  key: string,
  expression: string,
  destinations: readonly { readonly address: IpAddress; readonly port: number }[],
): WantGuard {
  const parsed = parsePolicy(
    { on_tcp_connect: [{ expressions: [expression], actions: [{ type: "deny" }] }] },
    "",
  );
  if (!parsed.ok) throw new Error(`read ${expression}: ${parsed.diagnostics[0]?.message}`);
  const policy: GuardPolicy = {
    object: { kind: "ConnectionPolicy", namespace: "bench", name: key },
    inForce: { kind: "policy", policy: parsed.policy },
    audit: false,
    connectOnly: false,
    fallThrough: { kind: "allow" },
    home: [],
    endpoint: { id: key, url: "", protocol: "", host: "", port: 0 },
  };
  const guard = { policies: [policy], context: NO_CONTEXT };
  return {
    key,
    destinations,
    nodePorts: [],
    scope: subjectScope(parsed.policy),
    decide: (identity) => decide(guard, identity, routes),
  };
}

/** `expressionOf` gives each guard its rule. A tenth of the addresses is IPv6. */
export function manyGuards(
  count: number,
  addresses: number,
  expressionOf: (index: number) => string,
): WantGuard[] {
  return Array.from({ length: count }, (_, index) => {
    const destinations = Array.from({ length: addresses }, (_, place) => {
      const number = index * addresses + place;
      const address =
        place === 0
          ? `2001:2::${(number + 1).toString(16)}`
          : `198.18.${Math.floor(number / 250)}.${1 + (number % 250)}`;
      return { address, port: 8000 + (number % 7) };
    });
    return guardOf(`guard-${index}`, expressionOf(index), destinations);
  });
}

/** A pod of this node, of which nothing else is known. */
export function identityOf(pod: Pick<PodIdentity, "id" | "name" | "namespace" | "annotations">): PodIdentity {
  return {
    ...pod,
    labels: new Map(),
    serviceAccount: "default",
    nodeName: "bench",
    namespaceLabels: new Map(),
    addresses: [],
    errorCode: "",
    errorMessage: "",
  };
}

/** Pods with cgroups and namespaces that nobody is in. */
export function manyPods(count: number): WantPod[] {
  return Array.from({ length: count }, (_, index) => {
    const stage = index % 3 === 0 ? "production" : "staging";
    const identity = identityOf({
      id: `00000000-0000-4000-8000-${index.toString(16).padStart(12, "0")}`,
      name: `pod-${index}`,
      namespace: `team-${index % 25}`,
      annotations: new Map([["ngrok.com/stage", stage]]),
    });
    return {
      identity,
      cgroupIds: [(1n << 40n) + BigInt(index)],
      netnsCookies: [(1n << 41n) + BigInt(index)],
      addresses: [`198.19.${index >> 8}.${index & 255}`],
    };
  });
}
