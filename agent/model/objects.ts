/**
 * The Kubernetes objects Podgate reads, trimmed to what it reads of them. Everything here is immutable and
 * parsed: addresses are canonical, absent lists are empty. Keys are objects' own fields, never joined strings
 * without a separator that a name cannot hold ("/").
 */
import type { IpAddress } from "./address.ts";

export interface ObjectRef {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** A pod anywhere in the cluster: enough to say who has an address. */
export interface Pod {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly nodeName: string;
  readonly ips: readonly IpAddress[];
  readonly hostNetwork: boolean;
  /** Succeeded or Failed: its addresses may already belong to another pod. */
  readonly completed: boolean;
}

/** A pod of this node, with what its identity needs. */
export interface LocalPod extends Pod {
  readonly annotations: ReadonlyMap<string, string>;
  readonly labels: ReadonlyMap<string, string>;
  readonly serviceAccount: string;
  /** For a mirror pod, the hash that kubelet names the static pod's cgroup by. */
  readonly configHash?: string;
}

export interface Namespace {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
}

export interface Node {
  readonly name: string;
  readonly addresses: readonly IpAddress[];
}

export interface ServicePort {
  /** "" for the only port of a Service that has no name. */
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  /** 0: none allocated. */
  readonly nodePort: number;
}

export interface Service {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly type: "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName";
  /** Empty for a headless Service. */
  readonly clusterIps: readonly IpAddress[];
  readonly externalIps: readonly IpAddress[];
  readonly loadBalancerIps: readonly IpAddress[];
  readonly ports: readonly ServicePort[];
  /** metadata.creationTimestamp in ms since 1970; the older of two Services that claim one external IP has it. */
  readonly created: number;
}

export interface EndpointSlice {
  readonly namespace: string;
  readonly name: string;
  /** Of the label kubernetes.io/service-name; "" when it belongs to no Service. */
  readonly serviceName: string;
  /** Ready, not ready and terminating alike: all of them can be reached. */
  readonly addresses: readonly IpAddress[];
  readonly ports: readonly { readonly name: string; readonly protocol: string; readonly port: number }[];
}

export interface ReferenceGrant {
  readonly namespace: string;
  readonly name: string;
  readonly from: readonly { readonly group: string; readonly kind: string; readonly namespace: string }[];
  /** `name` undefined: every object of the kind. */
  readonly to: readonly { readonly group: string; readonly kind: string; readonly name?: string }[];
}

/** Where an object's policy text is. `path` is the JSON path for messages, such as `spec.trafficPolicy.inline`. */
export type PolicySource =
  | { readonly kind: "none" }
  | { readonly kind: "inline"; readonly value: unknown; readonly path: string }
  | { readonly kind: "reference"; readonly name: string; readonly path: string }
  | { readonly kind: "malformed"; readonly message: string; readonly path: string };

export interface PolicyObject extends ObjectRef {
  readonly uid: string;
  readonly generation: number;
  readonly policy: PolicySource;
  readonly audit: boolean;
  /** `podgate.dev/reauthorize: "connect-only"`: it decides when somebody connects, and ends no connection afterwards. */
  readonly connectOnly: boolean;
  /** What only the agent can decide is allowed while there is none. Absent, as always in an endpoint: refused. */
  readonly onAgentDown?: "allow";
}

/** An AgentEndpoint or CloudEndpoint. */
export interface Endpoint extends PolicyObject {
  readonly kind: "AgentEndpoint" | "CloudEndpoint";
  readonly url: string;
  readonly bindings: readonly string[];
  /** Only an AgentEndpoint has one. */
  readonly upstreamUrl?: string;
  /** `podgate.dev/guard-upstream: "true"`: its policy guards its upstreams and forward targets too. */
  readonly guardUpstream: boolean;
}

/** Podgate's own kind. */
export interface ConnectionPolicy extends PolicyObject {
  readonly kind: "ConnectionPolicy";
  /** `port`: a Service port's name; undefined: every port. */
  readonly targets: readonly { readonly service: string; readonly port?: string }[];
}

export interface TrafficPolicy extends ObjectRef {
  readonly kind: "NgrokTrafficPolicy";
  readonly generation: number;
  readonly value: unknown;
}

/** `namespace/name`: names hold no "/". */
export function nameKey(object: { readonly namespace: string; readonly name: string }): string {
  return `${object.namespace}/${object.name}`;
}

/** `Kind/namespace/name`. */
export function refKey(object: ObjectRef): string {
  return `${object.kind}/${object.namespace}/${object.name}`;
}
