/** The cluster that files describe, in the form the agent has of a real one. */

import { field } from "../cluster/fields.ts";
import type { Snapshot } from "../cluster/snapshot.ts";
import { type IpAddress, parseAddress } from "../model/address.ts";
import { refKey, type Service } from "../model/objects.ts";
import type { Manifest } from "./manifests.ts";
import { type FileObject, type ReadObject, readObject } from "./objects.ts";

export interface FileCluster {
  readonly snapshot: Snapshot;
  /** Every manifest in the order read, with what it is. */
  readonly objects: readonly FileObject[];
}

/**
 * Every pod counts as one of this node. A Service without an address gets one, as an API server would give it; a later
 * object of the same kind, namespace and name replaces the earlier, as applying both would.
 * `namespace`: of objects that name none.
 */
export function toSnapshot(manifests: readonly Manifest[], namespace = "default"): FileCluster {
  const objects = manifests.map((manifest) => readObject(manifest, namespace));
  const latest = new Map<string, ReadObject>();
  for (const object of objects) {
    if ("metadata" in object) latest.set(refKey({ ...object.metadata, kind: object.kind }), object);
  }
  const read = [...latest.values()];
  const pods = read.flatMap((entry) => (entry.kind === "Pod" ? [entry.object] : []));
  return {
    objects,
    snapshot: {
      pods,
      localPods: pods,
      nodes: read.flatMap((entry) => (entry.kind === "Node" ? [entry.object] : [])),
      namespaces: new Map(
        read.flatMap((entry) => (entry.kind === "Namespace" ? [[entry.object.name, entry.object]] : [])),
      ),
      services: withAddresses(read),
      endpointSlices: read.flatMap((entry) => (entry.kind === "EndpointSlice" ? [entry.object] : [])),
      referenceGrants: read.flatMap((entry) => (entry.kind === "ReferenceGrant" ? [entry.object] : [])),
      endpoints: read.flatMap((entry) =>
        entry.kind === "AgentEndpoint" || entry.kind === "CloudEndpoint" ? [entry.object] : [],
      ),
      connectionPolicies: read.flatMap((entry) => (entry.kind === "ConnectionPolicy" ? [entry.object] : [])),
      trafficPolicies: read.flatMap((entry) => (entry.kind === "NgrokTrafficPolicy" ? [entry.object] : [])),
    },
  };
}

/** Addresses for benchmarks (RFC 2544): no cluster hands them out. */
function nthAddress(index: number): IpAddress | undefined {
  return parseAddress(`198.${18 + ((index >> 16) & 1)}.${(index >> 8) & 255}.${index & 255}`);
}

function withAddresses(read: readonly ReadObject[]): readonly Service[] {
  let given = 0;
  return read.flatMap((entry) => {
    if (entry.kind !== "Service") return [];
    const service = entry.object;
    const headless = field(field(entry.manifest.value, "spec"), "clusterIP") === "None";
    if (service.clusterIps.length > 0 || service.type === "ExternalName" || headless) return [service];
    given++;
    const address = nthAddress(given);
    return [address === undefined ? service : { ...service, clusterIps: [address] }];
  });
}
