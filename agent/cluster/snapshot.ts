/** An immutable view of everything the agent knows of the cluster at one moment. */
import type {
  ConnectionPolicy,
  Endpoint,
  EndpointSlice,
  LocalPod,
  Namespace,
  Node,
  Pod,
  ReferenceGrant,
  Service,
  TrafficPolicy,
} from "../model/objects.ts";

export interface Snapshot {
  /** Every pod of the cluster, this node's too. */
  readonly pods: readonly Pod[];
  /** This node's pods, completed and hostNetwork ones too. */
  readonly localPods: readonly LocalPod[];
  readonly nodes: readonly Node[];
  /** The namespaces that exist, by name. */
  readonly namespaces: ReadonlyMap<string, Namespace>;
  readonly services: readonly Service[];
  readonly endpointSlices: readonly EndpointSlice[];
  readonly referenceGrants: readonly ReferenceGrant[];
  readonly endpoints: readonly Endpoint[];
  readonly connectionPolicies: readonly ConnectionPolicy[];
  readonly trafficPolicies: readonly TrafficPolicy[];
}
