/**
 * Whether a connection that was let through would be refused now, and therefore ends. The same look-up as the kernel's
 * and the same `decide`; what is decided by connecting once (chance, when it began) is not asked again.
 */
import { type IpAddress, isLoopback } from "../model/address.ts";
import { type Connection, type Known, UNKNOWN } from "../model/connection.ts";
import type { Identity, PodIdentity } from "../model/identity.ts";
import { type ObjectRef, refKey } from "../model/objects.ts";
import type { TlsSession } from "../model/tls.ts";
import type { Decision } from "../model/verdict.ts";
import { combine } from "./combine.ts";
import { callerAhead, callerOf, decide, decideConnection } from "./decide.ts";
import type { Guard } from "./guard.ts";
import type { Caller } from "./journey.ts";
import { judgeGuardPolicy } from "./judge.ts";
import { isLinkLocal } from "./link-local.ts";
import type { GuardAt } from "./places.ts";
import type { Routes } from "./routes.ts";
import { type Place, travel } from "./travel.ts";

/** A connection that a pod has opened. */
export interface OpenConnection {
  readonly client: { readonly address: Known<IpAddress>; readonly port: number };
  /** What it was dialled with. */
  readonly dialled: Place;
  /** Where it is: the same, unless it was forwarded. */
  readonly remote: Place;
  /** If the proxy has terminated its TLS. */
  readonly tls?: TlsSession;
}

export interface Dialler {
  readonly identity: PodIdentity;
  /** At which the pod is itself: it may always dial those. */
  readonly ownAddresses: readonly IpAddress[];
  /** In the node's namespace. Loopback is not the pod itself there, and nothing can be left to a proxy: that is refused. */
  readonly isOnNode: boolean;
}

export interface Guarded {
  readonly guardAt: GuardAt;
  readonly routes: Routes;
  /** Refused at fe80::/10, where nobody can tell which pod an address is. */
  readonly linkLocalPorts: ReadonlySet<number>;
}

/**
 * The decision that ends the connection, or undefined: it goes on. `now`: ms since 1970. A forwarded connection is
 * judged as what was dialled and as what it reached, since the kernel asks the guards of both. Never throws.
 */
export function revocation(
  connection: OpenConnection,
  dialler: Dialler,
  guarded: Guarded,
  now: number,
): Decision | undefined {
  const { dialled, remote } = connection;
  const seen = new Set<Guard>();
  return (
    journey(dialled, connection, dialler, guarded, now, seen) ??
    journey(remote, connection, dialler, guarded, now, seen)
  );
}

function journey(
  start: Place,
  { client, tls }: OpenConnection,
  { identity: pod, ownAddresses, isOnNode }: Dialler,
  { guardAt, routes, linkLocalPorts }: Guarded,
  now: number,
  seen: Set<Guard>,
): Decision | undefined {
  if (isLinkLocal(start.address) && linkLocalPorts.has(start.port))
    return { action: "deny", reason: "target-not-routable" };
  const identity: Identity = { kind: "pod", pod };
  let here: Guard | undefined;
  const unasked: GuardAt = (address, port) => {
    const isItself = (isLoopback(address) && !isOnNode) || ownAddresses.includes(address);
    const guard = isItself ? undefined : guardAt(address, port);
    here = guard !== undefined && seen.has(guard) ? undefined : guard;
    return here;
  };
  const { verdicts, end, isLoop } = travel(unasked, start, (guard, { address, port }) => {
    seen.add(guard);
    if (isOnNode) return decisionOnNode(guard, identity, routes);
    const server = { ip: address, port };
    const connection = {
      client: { ip: client.address, port: client.port },
      server,
      start: UNKNOWN,
      now,
      ...(tls && { tls: longPast(tls) }),
    } as const;
    return decisionNow(guard, identity, connection, routes);
  });
  const last = verdicts.at(-1);
  if (last?.action === "deny") return last;
  if (isLoop) return { action: "deny", reason: "loop" };
  return end === undefined && last !== undefined && here !== undefined ? notRoutable(here, last) : undefined;
}

/** A new certificate, or other versions, are for new connections. */
function longPast({ settings: _, ...session }: TlsSession): TlsSession {
  return session;
}

/** Of policies that decide at connecting alone only what they allow counts. */
function decisionNow(guard: Guard, identity: Identity, connection: Connection, routes: Routes): Decision {
  const ahead = decide(guard, identity, routes);
  if (ahead.action === "proxy") {
    const decision = decideConnection(guard, identity, connection, routes);
    return decision.action === "deny"
      ? lasting(guard, decision, callerOf(identity, connection), routes)
      : decision;
  }
  if (ahead.action !== "deny") return ahead;
  return lasting(guard, ahead, callerAhead(guard, identity), routes);
}

/** Where there is no proxy to ask. */
function decisionOnNode(guard: Guard, identity: Identity, routes: Routes): Decision {
  const ahead = decide(guard, identity, routes);
  if (ahead.action !== "deny" && ahead.action !== "proxy") return ahead;
  const left = lasting(guard, ahead, callerAhead(guard, identity), routes);
  return left.action === "proxy" ? { ...left, action: "deny", reason: "pending" } : left;
}

/** What is left of a denial without the policies that end no connection. */
function lasting(guard: Guard, denial: Decision, caller: Caller, routes: Routes): Decision {
  // Nobody looks at the policies there.
  if (guard.isCrowded) return denial;
  const enforced = guard.policies.filter(({ audit }) => !audit);
  const meter = { cost: 0 };
  const decisions = enforced.flatMap((policy) => {
    const how = { auditedRefuse: false, connectOnlyRefuse: false, meter };
    const { decision } = judgeGuardPolicy(policy, caller, routes, how);
    return policy.connectOnly && isOf(decision, policy.object) ? [] : [decision];
  });
  return combine(decisions);
}

/** A forward that has no target in the connection's family. */
function notRoutable({ policies }: Guard, decision: Decision): Decision | undefined {
  const spared = policies.some(({ object, connectOnly }) => connectOnly && isOf(decision, object));
  return spared ? undefined : { ...decision, action: "deny", reason: "target-not-routable" };
}

/** Whether the object itself decided, not an endpoint that it forwards to. */
function isOf({ policy }: Decision, object: ObjectRef): boolean {
  return policy === undefined || refKey(policy) === refKey(object);
}
