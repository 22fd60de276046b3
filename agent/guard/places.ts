/** Which guard stands at an address: the kernel's own lookup, for who asks again what it did. */
import { type IpAddress, isIpv4, isLoopback } from "../model/address.ts";
import { familiesOf, familyOf } from "./context.ts";
import type { Guard } from "./guard.ts";
import { isLinkLocal } from "./link-local.ts";
import { addressKey } from "./services.ts";

/** Undefined: the place is not guarded. */
export type GuardAt = (address: IpAddress, port: number) => Guard | undefined;

/** Looks at the guards when it is first asked. */
export function guardPlaces(guards: readonly Guard[], nodeAddresses: ReadonlySet<IpAddress>): GuardAt {
  let index: ReturnType<typeof indexGuards> | undefined;
  return (address, port) => {
    index ??= indexGuards(guards);
    const own = index.places.get(addressKey(lookedUpAs(address), port));
    // Loopback that the kernel judges is the node's, and leads where the node's other addresses do.
    const onNode = nodeAddresses.has(address) || isLinkLocal(address) || isLoopback(address);
    return own ?? (onNode ? index.nodePorts.get(`${familyOf(address)} ${port}`) : undefined);
  };
}

/** All of loopback leads to the same. */
function lookedUpAs(address: IpAddress): IpAddress {
  if (!isLoopback(address)) return address;
  return isIpv4(address) ? "127.0.0.1" : "::1";
}

function indexGuards(guards: readonly Guard[]) {
  const places = new Map<string, Guard>();
  const nodePorts = new Map<string, Guard>();
  for (const guard of guards) {
    for (const { address, port } of guard.destinations) places.set(addressKey(address, port), guard);
    for (const family of familiesOf(guard.context))
      for (const port of guard.nodePorts) nodePorts.set(`${family} ${port}`, guard);
  }
  return { places, nodePorts };
}
