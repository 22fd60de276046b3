/** The API server and the cluster's DNS: shut by mistake, they would take with them the means to open them again. */
import type { IpAddress } from "../model/address.ts";
import type { ObjectRef } from "../model/objects.ts";
import { addressKey, type Services } from "./services.ts";

/** `namespace/name` of the Services that only an object of kube-system or default guards, and only by name. */
const PROTECTED_SERVICES: ReadonlySet<string> = new Set(["default/kubernetes", "kube-system/kube-dns"]);

const MAY_NAME_THEM: ReadonlySet<string> = new Set(["default", "kube-system"]);

export interface Failsafe {
  /** May `object` guard `service` (`namespace/name`), if ownership permits it? */
  mayGuard(object: ObjectRef, service: string): boolean;
  /** Is this an address of a protected Service, which no other Service's guard may touch? */
  protects(address: IpAddress, port: number): boolean;
  protectsNodePort(port: number): boolean;
  isProtected(service: string): boolean;
}

export function failsafe(services: Services, nodeAddresses: ReadonlySet<IpAddress>): Failsafe {
  const addresses = new Set<string>();
  const nodePorts = new Set<number>();
  for (const door of [...PROTECTED_SERVICES].flatMap((key) => services.doorsOf(key))) {
    for (const front of door.fronts) addresses.add(addressKey(front, door.port));
    for (const backend of door.backends) {
      addresses.add(addressKey(backend.address, backend.port));
      // The API server's own port on a node must not be shut by a node port of the same number.
      if (nodeAddresses.has(backend.address)) nodePorts.add(backend.port);
    }
    if (door.nodePort !== 0) nodePorts.add(door.nodePort);
  }
  return {
    mayGuard: (object, service) => !PROTECTED_SERVICES.has(service) || MAY_NAME_THEM.has(object.namespace),
    protects: (address, port) =>
      addresses.has(addressKey(address, port)) || (nodePorts.has(port) && nodeAddresses.has(address)),
    protectsNodePort: (port) => nodePorts.has(port),
    isProtected: (service) => PROTECTED_SERVICES.has(service),
  };
}
