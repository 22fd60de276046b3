/** The way of one connection: the destination dialled, its guard's verdict, and on to where that forwards it. */
import { callerAhead, callerOf, decide, decideConnection } from "../guard/decide.ts";
import type { Guard, GuardPolicy } from "../guard/guard.ts";
import { judgeGuardPolicy } from "../guard/judge.ts";
import { isLinkLocal } from "../guard/link-local.ts";
import { follow } from "../guard/travel.ts";
import { placementOf } from "../guard/words.ts";
import { type IpAddress, isLoopback } from "../model/address.ts";
import { refKey } from "../model/objects.ts";
import type { Decision, Verdict } from "../model/verdict.ts";
import { becauseOf } from "./because.ts";
import { connectionTo, identityOf, type Questioner } from "./caller.ts";
import type { DecisionView, GuardPolicyTrace, Outcome, Step } from "./explanation.ts";
import type { Place } from "./place.ts";
import { PolicyWatcher } from "./policy-trace.ts";
import { doorsAt, type World } from "./world.ts";

export interface Stop {
  readonly address: IpAddress;
  readonly port: number;
  /** Undefined: nothing guards it. */
  readonly guard: Guard | undefined;
  readonly verdict: Verdict | undefined;
  readonly note?: string;
}

export interface Journey {
  readonly stops: readonly Stop[];
  readonly outcome: Outcome;
  readonly verdict: Verdict | undefined;
}

/** Every stop is decided by `decide`, as the kernel's entries are; from stop to stop it goes as the connect hook does. */
export function travel(world: World, questioner: Questioner, { address, port }: Place): Journey {
  const stops: Stop[] = [];
  const { end, isLoop } = follow({ address, port }, (at) => {
    const stop = judgeStop(world, questioner, at.address, at.port);
    stops.push(stop);
    return stop.verdict;
  });
  if (end === undefined) return refused(stops, isLoop ? "loop" : "target-not-routable");
  const [first, last] = [stops[0]?.verdict, stops.at(-1)?.verdict];
  if (first === undefined) return { stops, outcome: "not-guarded", verdict: undefined };
  const verdict = last === undefined || last.action === "allow" ? first : last;
  return { stops, outcome: verdict.action, verdict };
}

function refused(stops: readonly Stop[], reason: "loop" | "target-not-routable"): Journey {
  const by = stops.at(-1)?.verdict;
  const verdict: Verdict = { action: "deny", reason, ...(by?.policy && { policy: by.policy }) };
  return { stops, outcome: "deny", verdict };
}

function judgeStop(world: World, questioner: Questioner, address: IpAddress, port: number): Stop {
  const at = { address, port };
  if (isLinkLocal(address) && world.linkLocalPorts.has(port)) {
    const note = "link-local addresses lead past every guard: the ports of guarded pods are refused there";
    return { ...at, guard: undefined, verdict: { action: "deny", reason: "target-not-routable" }, note };
  }
  const { pod } = questioner;
  // Loopback of a pod's own namespace is the pod itself.
  if (isLoopback(address) && pod?.hostNetwork !== true)
    return { ...at, guard: undefined, verdict: undefined };
  const guard = world.guardSet.guardAt(address, port);
  if (guard === undefined) return { ...at, guard, verdict: undefined, ...guardedElsewhere(world, address) };
  const identity = identityOf(world, questioner);
  const connection = connectionTo(questioner, address, port);
  const { routes } = world.guardSet;
  const verdict =
    connection === undefined
      ? decide(guard, identity, routes)
      : decideConnection(guard, identity, connection, routes);
  const own = pod !== undefined && !pod.hostNetwork && pod.ips.includes(address);
  if (own && verdict.action !== "allow") {
    const note = "a pod may always connect to itself";
    return { ...at, guard, verdict: { action: "allow", reason: "fell-through" }, note };
  }
  return { ...at, guard, verdict };
}

/** Who guards a pod may have another port of it in mind than the one that was asked about. */
function guardedElsewhere({ guardSet }: World, address: IpAddress): { note?: string } {
  const here = guardSet.guards.flatMap(({ destinations }) =>
    destinations.filter((each) => each.address === address),
  );
  const ports = [...new Set(here.map(({ port }) => port))].sort((one, other) => one - other);
  if (ports.length === 0) return {};
  return { note: `the address is guarded at port${ports.length > 1 ? "s" : ""} ${ports.join(", ")} alone` };
}

export function describeStop(world: World, questioner: Questioner, stop: Stop): Step {
  const { address, port, guard, verdict, note } = stop;
  const here = doorsAt(world, address, port);
  return {
    address,
    port,
    services: here.map(({ key }) => key),
    policies: guard === undefined ? [] : describePolicies(world, questioner, guard, stop),
    ...(verdict && { verdict: viewOf(verdict) }),
    ...(verdict?.audited && { audited: viewOf(verdict.audited) }),
    ...(verdict?.log && { log: verdict.log }),
    ...(note !== undefined && { note }),
  };
}

function describePolicies(
  world: World,
  questioner: Questioner,
  guard: Guard,
  { address, port }: Stop,
): readonly GuardPolicyTrace[] {
  const identity = identityOf(world, questioner);
  const connection = connectionTo(questioner, address, port);
  const caller = connection === undefined ? callerAhead(guard, identity) : callerOf(identity, connection);
  const here = doorsAt(world, address, port);
  return guard.policies.map((policy) => {
    const { routes, claims } = world.guardSet;
    const watcher = new PolicyWatcher();
    const { decision } = judgeGuardPolicy(policy, caller, routes, { auditedRefuse: policy.audit, watcher });
    const claim = claims.find(({ resolved }) => refKey(resolved.object) === refKey(policy.object));
    const placement = placementOf(policy.object, routes);
    return {
      ...(watcher.trace(world, policy.home) ?? untraced(policy)),
      because: becauseOf(claim, here, address, port),
      ...(placement && { placement }),
      decision: viewOf(decision),
    };
  });
}

function untraced({ object, audit }: GuardPolicy) {
  return { object: refKey(object), audit, rules: [], fallThrough: "" };
}

export function viewOf({ action, reason, policy, rule, forward, error }: Decision): DecisionView {
  return {
    action,
    reason,
    ...(policy && { policy: refKey(policy) }),
    ...(rule !== undefined && { rule }),
    ...(forward && { forward: `${forward.service}:${forward.port}` }),
    ...(error !== undefined && { error }),
  };
}
