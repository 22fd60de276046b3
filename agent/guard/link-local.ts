/**
 * fe80::/10 reaches pods that share a link with the caller, and nobody announces which pod has which of these
 * addresses: they lead past every guard. So they are refused at the ports of guarded backends. (At node ports the
 * policies decide, as at any other address of the node.)
 */
import type { IpAddress } from "../model/address.ts";
import type { Guard } from "./guard.ts";
import { addressKey, type Services } from "./services.ts";

/** What the kernel looks all of fe80::/10 up as. */
export const LINK_LOCAL: IpAddress = "fe80::";

/** fe80::/10. */
export function isLinkLocal(address: IpAddress): boolean {
  return /^fe[89ab][0-9a-f]:/.test(address);
}

/** Ports of backends that an enforcing policy covers, sorted. Audited policies refuse nothing, here neither. */
export function linkLocalPorts(guards: readonly Guard[], services: Services): readonly number[] {
  const backends = new Set(
    services.doors.flatMap((door) => door.backends.map(({ address, port }) => addressKey(address, port))),
  );
  const ports = guards
    .filter(({ policies, isCrowded }) => isCrowded || policies.some(({ audit }) => !audit))
    .flatMap(({ destinations }) =>
      destinations.filter(({ address, port }) => backends.has(addressKey(address, port))),
    )
    .map(({ port }) => port);
  return [...new Set(ports)].sort((a, b) => a - b);
}
