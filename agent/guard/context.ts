/** Splits a guard where its policies tell its addresses apart, so that each part has one verdict for each caller. */
import { type IpAddress, isIpv4 } from "../model/address.ts";
import { type Connection, type Known, UNKNOWN } from "../model/connection.ts";
import type { Identity } from "../model/identity.ts";
import type { DestinationNeeds } from "../policy/placement.ts";
import type { Destination, Guard, GuardContext } from "./guard.ts";
import type { Routes } from "./routes.ts";

export const NO_CONTEXT: GuardContext = { family: UNKNOWN, serverIp: UNKNOWN, serverPort: UNKNOWN };

/** The same addresses, in as many guards as the policies can see differences between them. */
export function splitByContext(guard: Guard, routes: Routes): readonly Guard[] {
  const needs = needsOf(guard, routes);
  if (!needs.family && !needs.serverIp && !needs.serverPort) return [guard];
  const parts = new Map<string, Guard & { destinations: Destination[]; nodePorts: number[] }>();
  const partFor = (context: GuardContext) => {
    const key = `${guard.key}@${context.family}/${context.serverIp}/${context.serverPort}`;
    const part = parts.get(key) ?? { ...guard, key, context, destinations: [], nodePorts: [] };
    parts.set(key, part);
    return part;
  };
  for (const destination of guard.destinations) {
    partFor(contextAt(destination, needs)).destinations.push(destination);
  }
  for (const port of guard.nodePorts) {
    // Any address of any node: only port and family are certain.
    for (const family of needs.family ? ([4, 6] as const) : ([UNKNOWN] as const)) {
      const serverPort = needs.serverPort ? port : UNKNOWN;
      partFor({ family, serverIp: UNKNOWN, serverPort }).nodePorts.push(port);
    }
  }
  return [...parts.values()];
}

function needsOf(guard: Pick<Guard, "policies">, routes: Routes): DestinationNeeds {
  const needs = guard.policies.flatMap(({ object }) => routes.reach(object)?.needs ?? []);
  return {
    family: needs.some(({ family }) => family),
    serverIp: needs.some(({ serverIp }) => serverIp),
    serverPort: needs.some(({ serverPort }) => serverPort),
  };
}

function contextAt({ address, port }: Destination, needs: DestinationNeeds): GuardContext {
  return {
    family: needs.family ? familyOf(address) : UNKNOWN,
    serverIp: needs.serverIp ? address : UNKNOWN,
    serverPort: needs.serverPort ? port : UNKNOWN,
  };
}

/** In which families a guard's node ports are its own. */
export function familiesOf({ family }: Pick<GuardContext, "family">): readonly (4 | 6)[] {
  return family === UNKNOWN ? [4, 6] : [family];
}

export function familyOf(address: IpAddress): 4 | 6 {
  return isIpv4(address) ? 4 : 6;
}

/** What is known of every connection of `identity` to a guard's addresses, before there is one. */
export function connectionAhead(identity: Identity, context: GuardContext): Connection {
  return {
    client: { ip: clientIp(identity, context.family), port: UNKNOWN },
    server: { ip: context.serverIp, port: context.serverPort },
    start: UNKNOWN,
    now: UNKNOWN,
  };
}

/**
 * The pod's address in the destination's family: what it connects from unless it has other interfaces and binds to
 * them. A pod with several of one family, or none yet, and a caller that is no known pod, have no address to go by.
 */
export function clientIp(identity: Identity, family: Known<4 | 6>): Known<IpAddress> {
  if (identity.kind !== "pod") return UNKNOWN;
  const { addresses } = identity.pod;
  const candidates =
    family === UNKNOWN ? addresses : addresses.filter((address) => familyOf(address) === family);
  const [only, ...others] = candidates;
  return only === undefined || others.length > 0 ? UNKNOWN : only;
}
