/** Which Service an address belongs to: for people, who do not think in addresses. */
import type { IpAddress } from "../model/address.ts";
import { addressKey, type Services } from "./services.ts";

/** `namespace/name`, or undefined if the address leads to no Service. A Service's own address goes before its backends'. */
export type ServiceNames = (address: IpAddress, port: number) => string | undefined;

export function serviceNames(services: Services, nodeAddresses: ReadonlySet<IpAddress>): ServiceNames {
  const fronts = new Map<string, string>();
  const backends = new Map<string, string>();
  const nodePorts = new Map<number, string>();
  for (const door of services.doors) {
    for (const address of door.fronts) fronts.set(addressKey(address, door.port), door.service);
    if (door.nodePort !== 0) nodePorts.set(door.nodePort, door.service);
    for (const { address, port } of door.backends) {
      const key = addressKey(address, port);
      if (!backends.has(key)) backends.set(key, door.service);
    }
  }
  return (address, port) => {
    const key = addressKey(address, port);
    const own = fronts.get(key) ?? backends.get(key);
    return own ?? (nodeAddresses.has(address) ? nodePorts.get(port) : undefined);
  };
}
