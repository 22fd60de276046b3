/** Where the connections to a Service's port end up, and whether the Service may speak for those addresses. */
import type { Snapshot } from "../cluster/snapshot.ts";
import type { IpAddress } from "../model/address.ts";
import { type EndpointSlice, nameKey, type Pod, type Service, type ServicePort } from "../model/objects.ts";

export interface Backend {
  readonly address: IpAddress;
  readonly port: number;
  /**
   * A live pod of the Service's namespace has the address. An EndpointSlice is a claim that anybody with write access
   * to some namespace can make; only a verified one puts a guard on the address it names.
   */
  readonly verified: boolean;
}

/** The backends of a Service's port, ready or not. */
export type BackendIndex = (service: Service, port: ServicePort) => readonly Backend[];

export function indexBackends(
  snapshot: Pick<Snapshot, "pods" | "endpointSlices" | "nodes">,
  ownAddresses: readonly IpAddress[],
): BackendIndex {
  const slices = Map.groupBy(snapshot.endpointSlices, (slice) => `${slice.namespace}/${slice.serviceName}`);
  const podsByAddress = indexPods(snapshot.pods);
  const siblings = indexNodes(snapshot, ownAddresses);
  return (service, port) => {
    const backends = new Map<string, Backend>();
    for (const slice of slices.get(nameKey(service)) ?? []) {
      for (const { address, port: target } of targetsOf(slice, port)) {
        const owner = podsByAddress.get(address)?.find((pod) => pod.namespace === service.namespace);
        // A hostNetwork pod listens on its node's network: every address of the node reaches it.
        const reachable = owner?.hostNetwork ? [address, ...(siblings.get(owner.nodeName) ?? [])] : [address];
        for (const each of reachable) {
          const key = `${each} ${target}`;
          const verified = owner !== undefined || backends.get(key)?.verified === true;
          backends.set(key, { address: each, port: target, verified });
        }
      }
    }
    return [...backends.values()];
  };
}

/** A slice's port belongs to the Service's port of the same name, as kube-proxy pairs them. */
function targetsOf(slice: EndpointSlice, port: ServicePort): { address: IpAddress; port: number }[] {
  return slice.ports
    .filter(({ name, protocol }) => name === port.name && protocol === port.protocol)
    .flatMap((target) => slice.addresses.map((address) => ({ address, port: target.port })));
}

/** Completed pods are left out: their addresses may already be another pod's. */
export function indexPods(pods: readonly Pod[]): ReadonlyMap<IpAddress, readonly Pod[]> {
  const index = new Map<IpAddress, Pod[]>();
  for (const pod of pods) {
    if (pod.completed) continue;
    for (const ip of pod.ips) {
      const owners = index.get(ip);
      if (owners === undefined) index.set(ip, [pod]);
      else owners.push(pod);
    }
  }
  return index;
}

/** By node name. This node's own interfaces, loopback among them, are known better than its object says. */
function indexNodes(
  snapshot: Pick<Snapshot, "nodes">,
  ownAddresses: readonly IpAddress[],
): ReadonlyMap<string, readonly IpAddress[]> {
  const own = new Set(ownAddresses);
  return new Map(
    snapshot.nodes.map(({ name, addresses }) => {
      const isOwn = addresses.some((address) => own.has(address));
      return [name, isOwn ? [...new Set([...addresses, ...ownAddresses])] : addresses];
    }),
  );
}
