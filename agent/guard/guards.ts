/** From a snapshot and its policies to guards: the combined rules of every guarded address. */
import type { Snapshot } from "../cluster/snapshot.ts";
import type { IpAddress } from "../model/address.ts";
import { refKey } from "../model/objects.ts";
import { type Evaluate, evaluate } from "../policy/evaluate.ts";
import { type Claim, claimOf } from "./claims.ts";
import { conditionOf, crowdedCondition } from "./conditions.ts";
import { NO_CONTEXT, splitByContext } from "./context.ts";
import { type Cover, coverageOf, placeKey, placesOf } from "./coverage.ts";
import { failsafe } from "./failsafe.ts";
import type { Condition, Destination, Guard, GuardPolicy, ServiceRef } from "./guard.ts";
import { nodeAddresses } from "./nodes.ts";
import { ownership } from "./ownership.ts";
import { type GuardAt, guardPlaces } from "./places.ts";
import type { ResolvedPolicies } from "./policies.ts";
import { indexRoutes, type Routes } from "./routes.ts";
import { type Door, indexServices } from "./services.ts";

export interface GuardOptions {
  /** Namespaces whose objects guard every namespace's Services. */
  readonly trustedNamespaces: ReadonlySet<string>;
  /** Addresses of this node's own interfaces. */
  readonly ownAddresses: readonly IpAddress[];
  /** `evaluate`, or one that remembers. */
  readonly evaluate?: Evaluate;
}

export interface GuardSet {
  /** Sorted by key. No two have an address in common. */
  readonly guards: readonly Guard[];
  readonly guardAt: GuardAt;
  readonly nodeAddresses: ReadonlySet<IpAddress>;
  /** One for every endpoint and ConnectionPolicy, sorted by object. */
  readonly conditions: readonly Condition[];
  /** What `decide` follows forwards with. */
  readonly routes: Routes;
  /** What each object asked for and was given, sorted by object: for who explains a guard. */
  readonly claims: readonly Claim[];
}

/** A pure function: the same objects in any order give the same guards. */
export function computeGuards(
  snapshot: Snapshot,
  policies: ResolvedPolicies,
  options: GuardOptions,
): GuardSet {
  const nodes = new Set(nodeAddresses(snapshot, options.ownAddresses));
  const services = indexServices(snapshot, nodes, options.ownAddresses);
  const routes = indexRoutes(
    snapshot,
    policies,
    services,
    options.trustedNamespaces,
    options.evaluate ?? evaluate,
  );
  const failsafeOfCluster = failsafe(services, nodes);
  const realm = {
    routes,
    mayGuard: ownership(snapshot, options.trustedNamespaces),
    failsafe: failsafeOfCluster,
  };
  const claims: Claim[] = [];
  for (const object of [...snapshot.endpoints, ...snapshot.connectionPolicies]) {
    const resolved = policies.get(refKey(object));
    if (resolved !== undefined) claims.push(claimOf(object, resolved, realm));
  }
  claims.sort((a, b) => compare(refKey(a.resolved.object), refKey(b.resolved.object)));
  const covers = coverageOf(claims, services, failsafeOfCluster, nodes);
  const guards = groupCovers(covers, claims)
    .flatMap((guard) => splitByContext(guard, routes))
    .sort((a, b) => compare(a.key, b.key));
  const crowded = new Set(covers.filter(({ isCrowded }) => isCrowded).map(placeKey));
  const conditions = claims.map((claim) => {
    const door = claim.doors?.find((each) => placesOf(each).some((place) => crowded.has(placeKey(place))));
    return door === undefined ? conditionOf(claim, routes) : crowdedCondition(claim, door);
  });
  const guardAt = guardPlaces(guards, nodes);
  return { guards, guardAt, nodeAddresses: nodes, conditions, routes, claims };
}

/** Addresses with the same policies, seen as the same Services, share one guard. */
function groupCovers(covers: readonly Cover[], claims: readonly Claim[]): readonly Guard[] {
  const claimsByKey = new Map(claims.map((claim) => [refKey(claim.resolved.object), claim]));
  const groups = Map.groupBy(covers, guardKey);
  return [...groups].map(([key, places]) => guardOf(key, places, claimsByKey));
}

function guardOf(key: string, places: readonly Cover[], claims: ReadonlyMap<string, Claim>): Guard {
  const [first] = places;
  const policies = first === undefined ? [] : sortedPolicies(first);
  return {
    key,
    destinations: places
      .flatMap(({ address, port }): Destination[] =>
        address === undefined ? [] : [{ address, port, protocol: "TCP" }],
      )
      .sort((a, b) => compare(a.address, b.address) || a.port - b.port),
    nodePorts: places
      .filter(({ address }) => address === undefined)
      .map(({ port }) => port)
      .sort((a, b) => a - b),
    ...(first?.isCrowded && { isCrowded: true }),
    policies: policies.flatMap(([policy, home]): GuardPolicy[] => {
      const claim = claims.get(policy);
      return claim === undefined ? [] : [guardPolicy(claim, home)];
    }),
    context: NO_CONTEXT,
  };
}

function guardPolicy({ resolved, fallThrough, endpoint }: Claim, home: readonly Door[]): GuardPolicy {
  const { kind, namespace, name, audit, connectOnly, onAgentDown } = resolved.object;
  return {
    object: { kind, namespace, name },
    inForce: resolved.inForce,
    audit,
    connectOnly,
    ...(onAgentDown && { onAgentDown }),
    fallThrough,
    home: home.map(({ service, port }): ServiceRef => ({ service, port })),
    endpoint,
  };
}

/** "/" separates what a Kubernetes name cannot hold; so do ">", "," and "|". */
function guardKey(cover: Cover): string {
  if (cover.isCrowded) return "crowded";
  return sortedPolicies(cover)
    .map(([policy, home]) => `${policy}>${home.map(({ key }) => key).join(",")}`)
    .join("|");
}

/** Each policy with its home: the doors that the place stands for, and those that brought the policy there. */
function sortedPolicies({ policies, doors }: Cover): [string, Door[]][] {
  return [...policies]
    .map(([policy, origins]): [string, Door[]] => [
      policy,
      [...new Set([...doors, ...origins])].sort((a, b) => compare(a.key, b.key)),
    ])
    .sort(([a], [b]) => compare(a, b));
}

function compare(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
