/** Why a policy applies at an address: it guards what the address belongs to, or what the address leads to. */
import type { Claim } from "../guard/claims.ts";
import type { Door } from "../guard/services.ts";
import type { IpAddress } from "../model/address.ts";

/** `here`: the Services at their ports that the address leads to. */
export function becauseOf(
  claim: Claim | undefined,
  here: readonly Door[],
  address: IpAddress,
  port: number,
): string {
  const guarded = claim?.doors ?? [];
  const own = guarded.find((door) => here.some(({ key }) => key === door.key));
  if (own !== undefined) {
    const front = own.port === port && own.fronts.includes(address);
    if (front) return `it guards Service ${own.key}`;
    if (isBackend(own, address, port)) return `it guards Service ${own.key}, and this is a pod behind it`;
    return `it guards Service ${own.key}, and this is its node port`;
  }
  for (const door of here) {
    for (const backend of door.backends) {
      const through = guarded.find((each) => leadsTo(each, backend.address, backend.port));
      if (through === undefined) continue;
      const place = backend.address.includes(":") ? `[${backend.address}]` : backend.address;
      return `it guards Service ${through.key}, whose backend ${place}:${backend.port} Service ${door.key} leads to as well`;
    }
  }
  const all = guarded.map(({ key }) => key).join(", ");
  return `it guards ${all || "a Service"}, which this address leads to through other Services`;
}

function leadsTo(door: Door, address: IpAddress, port: number): boolean {
  return isBackend(door, address, port) || (door.port === port && door.fronts.includes(address));
}

function isBackend(door: Door, address: IpAddress, port: number): boolean {
  return door.backends.some((backend) => backend.address === address && backend.port === port);
}
