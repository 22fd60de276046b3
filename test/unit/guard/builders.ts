/** Snapshots for tests, written as the few things a test is about; the rest has ordinary values. */
import type { Snapshot } from "../../../agent/cluster/snapshot.ts";
import { familiesOf } from "../../../agent/guard/context.ts";
import { decide } from "../../../agent/guard/decide.ts";
import type { Condition, Guard } from "../../../agent/guard/guard.ts";
import { computeGuards, type GuardOptions, type GuardSet } from "../../../agent/guard/guards.ts";
import { type LastValid, lastValidInMemory } from "../../../agent/guard/last-valid.ts";
import { policyReader, resolvePolicies } from "../../../agent/guard/policies.ts";
import { parseAddress } from "../../../agent/model/address.ts";
import { type Identity, type PodIdentity, unresolved } from "../../../agent/model/identity.ts";
import type {
  ConnectionPolicy,
  Endpoint,
  EndpointSlice,
  Node,
  Pod,
  PolicySource,
  ReferenceGrant,
  Service,
  ServicePort,
  TrafficPolicy,
} from "../../../agent/model/objects.ts";
import type { Verdict } from "../../../agent/model/verdict.ts";

/** Splits `namespace/name`. */
function names(key: string): { namespace: string; name: string } {
  const [namespace = "", name = ""] = key.split("/");
  return { namespace, name };
}

export function snapshot(parts: Partial<Snapshot> = {}): Snapshot {
  return {
    pods: [],
    localPods: [],
    nodes: [],
    namespaces: new Map(),
    services: [],
    endpointSlices: [],
    referenceGrants: [],
    endpoints: [],
    connectionPolicies: [],
    trafficPolicies: [],
    ...parts,
  };
}

export function pod(key: string, ip: string, parts: Partial<Pod> = {}): Pod {
  return {
    ...names(key),
    uid: `uid-of-${key}`,
    nodeName: "node-1",
    ips: [ip],
    hostNetwork: false,
    completed: false,
    ...parts,
  };
}

export function node(name: string, ...addresses: string[]): Node {
  return { name, addresses };
}

/** A port written as `80`, `5432 named db`, or with parts. */
export function port(number: number, parts: Partial<ServicePort> = {}): ServicePort {
  return { name: "", protocol: "TCP", port: number, nodePort: 0, ...parts };
}

export function service(
  key: string,
  clusterIps: readonly string[],
  ports: readonly (number | ServicePort)[],
  parts: Partial<Service> = {},
): Service {
  return {
    ...names(key),
    uid: `uid-of-${key}`,
    type: "ClusterIP",
    clusterIps,
    externalIps: [],
    loadBalancerIps: [],
    ports: ports.map((each) => (typeof each === "number" ? port(each) : each)),
    created: 1_000,
    ...parts,
  };
}

/** The slice of Service `key`: its addresses at `target`, or at named targets. */
export function slice(
  key: string,
  addresses: readonly string[],
  target: number | EndpointSlice["ports"],
  suffix = "1",
): EndpointSlice {
  const { namespace, name } = names(key);
  const ports = typeof target === "number" ? [{ name: "", protocol: "TCP", port: target }] : target;
  return { namespace, name: `${name}-${suffix}`, serviceName: name, addresses, ports };
}

export interface Rule {
  readonly name?: string;
  readonly expressions?: readonly string[];
  readonly actions: readonly { readonly type: string; readonly config?: Readonly<Record<string, unknown>> }[];
}

export const deny = { type: "deny" } as const;

export function forward(url: string): Rule["actions"][number] {
  return { type: "forward-internal", config: { url } };
}

/** The documents' fail-closed policy: deny the unresolved, deny other namespaces, forward. */
export function failClosed(namespace: string, url: string): Rule[] {
  return [
    { expressions: ['conn.k8s.pod.metadata.error_code != ""'], actions: [deny] },
    { expressions: [`conn.k8s.pod.metadata.namespace != "${namespace}"`], actions: [deny] },
    { actions: [forward(url)] },
  ];
}

/** Refuses one namespace and has no opinion on others. */
export function denyNamespace(namespace: string): Rule[] {
  return [{ expressions: [`conn.k8s.pod.metadata.namespace == "${namespace}"`], actions: [deny] }];
}

export function inline(rules: readonly Rule[]): PolicySource {
  return { kind: "inline", value: { on_tcp_connect: rules }, path: "spec.trafficPolicy.inline" };
}

export function reference(name: string): PolicySource {
  return { kind: "reference", name, path: "spec.trafficPolicy.targetRef" };
}

type Rules = readonly Rule[] | PolicySource;

function sourceOf(rules: Rules): PolicySource {
  return "kind" in rules ? rules : inline(rules);
}

function policyObject(key: string, rules: Rules) {
  return {
    ...names(key),
    uid: `uid-of-${key}`,
    generation: 1,
    policy: sourceOf(rules),
    audit: false,
    connectOnly: false,
  };
}

export function agentEndpoint(
  key: string,
  url: string,
  upstreamUrl: string,
  rules: Rules,
  parts: Partial<Endpoint> = {},
): Endpoint {
  const kind = "AgentEndpoint";
  return {
    ...policyObject(key, rules),
    kind,
    url,
    upstreamUrl,
    bindings: [],
    guardUpstream: false,
    ...parts,
  };
}

/** An AgentEndpoint with the kubernetes binding. */
export function boundAgent(
  key: string,
  url: string,
  upstreamUrl: string,
  rules: Rules,
  parts: Partial<Endpoint> = {},
): Endpoint {
  return agentEndpoint(key, url, upstreamUrl, rules, { bindings: ["kubernetes"], ...parts });
}

/** A CloudEndpoint with the kubernetes binding, as in the documents. */
export function boundCloud(key: string, url: string, rules: Rules, parts: Partial<Endpoint> = {}): Endpoint {
  const kind = "CloudEndpoint";
  return { ...policyObject(key, rules), kind, url, bindings: ["kubernetes"], guardUpstream: false, ...parts };
}

export function connectionPolicy(
  key: string,
  targets: readonly string[],
  rules: Rules,
  parts: Partial<ConnectionPolicy> = {},
): ConnectionPolicy {
  const kind = "ConnectionPolicy";
  const refs = targets.map((target) => {
    const [name = "", portName] = target.split("#");
    return portName === undefined ? { service: name } : { service: name, port: portName };
  });
  return { ...policyObject(key, rules), kind, targets: refs, ...parts };
}

export function trafficPolicy(key: string, rules: readonly Rule[]): TrafficPolicy {
  return { kind: "NgrokTrafficPolicy", ...names(key), generation: 1, value: { on_tcp_connect: rules } };
}

/** Permits objects of `kind` in `from` to guard Services of `namespace`: all of them, or the one named. */
export function grant(namespace: string, from: string, kind: string, name?: string): ReferenceGrant {
  const group = kind === "ConnectionPolicy" ? "podgate.dev" : "ngrok.k8s.ngrok.com";
  return {
    namespace,
    name: "grant",
    from: [{ group, kind, namespace: from }],
    to: [{ group: "", kind: "Service", ...(name !== undefined && { name }) }],
  };
}

export const OPTIONS: GuardOptions = {
  trustedNamespaces: new Set(["default", "kube-system"]),
  ownAddresses: [],
};

/** A caller: a pod's `namespace/name`, or nobody known. */
export function caller(
  key: string,
  annotations: Record<string, string> = {},
  over: Partial<PodIdentity> = {},
): Identity {
  return {
    kind: "pod",
    pod: {
      id: `uid-of-${key}`,
      ...names(key),
      annotations: new Map(Object.entries(annotations)),
      labels: new Map(),
      serviceAccount: "default",
      nodeName: "node-1",
      namespaceLabels: new Map(),
      addresses: [],
      errorCode: "",
      errorMessage: "",
      ...over,
    },
  };
}

export const nobody: Identity = unresolved("no pod owns the cgroup");

/** A cluster under test: asks of it what a connect would. */
export class Cluster {
  readonly set: GuardSet;

  constructor(parts: Partial<Snapshot>, options: Partial<GuardOptions> = {}, lastValid?: LastValid) {
    const view = snapshot(parts);
    const policies = resolvePolicies(view, lastValid ?? lastValidInMemory(), policyReader());
    this.set = computeGuards(view, policies, { ...OPTIONS, ...options });
  }

  /** The guard at `address:port`, `[v6]:port`, `node:port` (of its IPv4 addresses) or `node6:port`; undefined: not guarded. */
  guardAt(place: string): Guard | undefined {
    const colon = place.lastIndexOf(":");
    const number = Number(place.slice(colon + 1));
    const host = place.slice(0, colon).replace(/^\[|\]$/g, "");
    if (host === "node" || host === "node6") {
      const family = host === "node" ? 4 : 6;
      return this.set.guards.find(
        ({ nodePorts, context }) => nodePorts.includes(number) && familiesOf(context).includes(family),
      );
    }
    const address = parseAddress(host);
    if (address === undefined) throw new Error(`write an address and a port, not ${place}`);
    return this.set.guards.find(({ destinations }) =>
      destinations.some((each) => each.address === address && each.port === number),
    );
  }

  /** What happens to a connection from `from` to `place`. */
  connect(from: Identity, place: string): Verdict | "not guarded" {
    const guard = this.guardAt(place);
    return guard === undefined ? "not guarded" : decide(guard, from, this.set.routes);
  }

  /** The same in one word: `allow`, `deny rule`, `forward ns/name:port`, `not guarded`. */
  outcome(from: Identity, place: string): string {
    const verdict = this.connect(from, place);
    if (verdict === "not guarded") return verdict;
    if (verdict.action === "deny") return `deny ${verdict.reason}`;
    if (verdict.action !== "forward") return verdict.action;
    return `forward ${verdict.forward?.service}:${verdict.forward?.port}`;
  }

  /** Every guarded place, sorted: `192.0.2.1:80`, `[2001:db8::1]:80`, `node:30080`. */
  guarded(): string[] {
    return this.set.guards
      .flatMap(({ destinations, nodePorts }) => [
        ...destinations.map(({ address, port: number }) =>
          address.includes(":") ? `[${address}]:${number}` : `${address}:${number}`,
        ),
        ...nodePorts.map((number) => `node:${number}`),
      ])
      .sort();
  }

  condition(key: string): Condition {
    const found = this.set.conditions.find(
      ({ object }) => `${object.kind}/${object.namespace}/${object.name}` === key,
    );
    if (found === undefined) throw new Error(`no condition for ${key}`);
    return found;
  }

  /** `Accepted`, or the reason why not (or why nothing is guarded). */
  reason(key: string): string {
    return this.condition(key).reason;
  }
}
