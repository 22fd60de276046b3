/** Every address that leads to a Service. Whether it is guarded is not asked here. */
import type { Snapshot } from "../cluster/snapshot.ts";
import type { IpAddress } from "../model/address.ts";
import { nameKey, type Service, type ServicePort } from "../model/objects.ts";
import { type Backend, indexBackends, indexPods } from "./backends.ts";
import type { ServiceRef } from "./guard.ts";

/** A Service at one of its TCP ports, with all the ways in. */
export interface Door extends ServiceRef {
  /** `namespace/name:port`. */
  readonly key: string;
  /** ClusterIPs, load-balancer IPs and external IPs that are the Service's to speak for. */
  readonly fronts: readonly IpAddress[];
  /** 0: none. */
  readonly nodePort: number;
  readonly backends: readonly Backend[];
}

export interface Services {
  /** Undefined: there is no such Service. */
  get(key: string): Service | undefined;
  /** Every door of every Service, sorted by key. */
  readonly doors: readonly Door[];
  doorsOf(key: string): readonly Door[];
}

export function tcpPorts(service: Service): readonly ServicePort[] {
  return service.ports.filter((port) => port.protocol === "TCP");
}

export function addressKey(address: IpAddress, port: number): string {
  return `${address} ${port}`;
}

export function indexServices(
  snapshot: Snapshot,
  nodeAddresses: ReadonlySet<IpAddress>,
  ownAddresses: readonly IpAddress[],
): Services {
  const byKey = new Map(snapshot.services.map((service) => [nameKey(service), service]));
  const owners = frontOwners(snapshot, nodeAddresses);
  const backendsOf = indexBackends(snapshot, ownAddresses);
  const doorsByService = new Map<string, readonly Door[]>();
  for (const key of [...byKey.keys()].sort()) {
    const service = byKey.get(key);
    if (service === undefined || service.type === "ExternalName") continue;
    const doors = tcpPorts(service).map((port) => ({
      service: key,
      port: port.port,
      key: `${key}:${port.port}`,
      fronts: frontsOf(service).filter((address) => owners.get(addressKey(address, port.port)) === key),
      nodePort: port.nodePort,
      backends: backendsOf(service, port),
    }));
    doorsByService.set(key, doors);
  }
  return {
    get: (key) => byKey.get(key),
    doors: [...doorsByService.values()].flat(),
    doorsOf: (key) => doorsByService.get(key) ?? [],
  };
}

function frontsOf(service: Service): readonly IpAddress[] {
  return [...new Set([...service.clusterIps, ...service.loadBalancerIps, ...service.externalIps])];
}

/**
 * Which Service speaks for which (address, port). The API server hands out ClusterIPs; load-balancer IPs are written
 * by a controller with rights of its own (and may be a node's: k3s does that); external IPs are whatever somebody
 * with the right to write one Service wrote. So the first always win, and the last never take an address that is
 * another's. Among equals the older Service wins.
 */
function frontOwners(snapshot: Snapshot, nodeAddresses: ReadonlySet<IpAddress>): ReadonlyMap<string, string> {
  const clusterIps = new Set(snapshot.services.flatMap((service) => service.clusterIps));
  const podIps = new Set<IpAddress>();
  for (const [address, pods] of indexPods(snapshot.pods)) {
    if (pods.some((pod) => !pod.hostNetwork)) podIps.add(address);
  }
  const taken = (address: IpAddress) => clusterIps.has(address) || podIps.has(address);
  const owners = new Map<string, string>();
  // An ExternalName has no addresses, whatever its fields still say.
  const oldestFirst = snapshot.services.filter(({ type }) => type !== "ExternalName").sort(byAge);
  const claim = (list: (service: Service) => readonly IpAddress[]) => {
    for (const service of oldestFirst) {
      for (const address of list(service)) {
        for (const { port } of tcpPorts(service)) {
          const key = addressKey(address, port);
          if (!owners.has(key)) owners.set(key, nameKey(service));
        }
      }
    }
  };
  claim((service) => service.clusterIps);
  claim((service) => service.loadBalancerIps.filter((address) => !taken(address)));
  claim((service) => service.externalIps.filter((address) => !taken(address) && !nodeAddresses.has(address)));
  return owners;
}

function byAge(a: Service, b: Service): number {
  return a.created - b.created || (nameKey(a) < nameKey(b) ? -1 : 1);
}
