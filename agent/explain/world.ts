/** A snapshot with everything that was decided from it: what questions are asked of. */
import type { Snapshot } from "../cluster/snapshot.ts";
import { computeGuards, type GuardSet } from "../guard/guards.ts";
import { lastValidInMemory } from "../guard/last-valid.ts";
import { linkLocalPorts } from "../guard/link-local.ts";
import { policyReader, type ResolvedPolicies, resolvePolicies } from "../guard/policies.ts";
import type { Door } from "../guard/services.ts";
import type { IpAddress } from "../model/address.ts";

export interface World {
  readonly snapshot: Snapshot;
  /** Without any last valid policies: those are in the memory of agents. */
  readonly policies: ResolvedPolicies;
  readonly guardSet: GuardSet;
  /** Ports that are refused at fe80::/10, where nobody can tell which pod an address is. */
  readonly linkLocalPorts: ReadonlySet<number>;
}

/** `trustedNamespaces`: as the agents have it. */
export function worldOf(snapshot: Snapshot, trustedNamespaces: ReadonlySet<string>): World {
  const policies = resolvePolicies(snapshot, lastValidInMemory(), policyReader());
  const guardSet = computeGuards(snapshot, policies, { trustedNamespaces, ownAddresses: [] });
  return {
    snapshot,
    policies,
    guardSet,
    linkLocalPorts: new Set(linkLocalPorts(guardSet.guards, guardSet.routes.services)),
  };
}

/** The Services at their ports that an address leads to, sorted. */
export function doorsAt({ guardSet }: World, address: IpAddress, port: number): readonly Door[] {
  const { nodeAddresses, routes } = guardSet;
  return routes.services.doors.filter(
    (door) =>
      (door.port === port && door.fronts.includes(address)) ||
      (door.nodePort === port && nodeAddresses.has(address)) ||
      door.backends.some((backend) => backend.address === address && backend.port === port),
  );
}
