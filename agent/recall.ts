/** Decides again what the kernel decided, for what its numbers cannot hold: what `log` actions recorded, and errors in words. */
import { decide, decideConnection } from "./guard/decide.ts";
import type { Guard } from "./guard/guard.ts";
import type { GuardSet } from "./guard/guards.ts";
import { type Place, type Travelled, travel } from "./guard/travel.ts";
import type { Connection } from "./model/connection.ts";
import type { Identity, PodIdentity } from "./model/identity.ts";
import { refKey } from "./model/objects.ts";
import type { Decision, LogMetadata, Reason, Verdict } from "./model/verdict.ts";
import type { Ruling } from "./proxy/tcp-proxy.ts";

/** Why the kernel settled, one way or the other, what it should have left to the proxy. */
const WITHOUT_PROXY: ReadonlySet<Reason> = new Set(["pending", "agent-down", "over-limit"]);

/** A pod may be refused a hundred times a second, and each time the same would have to be found out. */
const decisions = new WeakMap<GuardSet, Map<Guard, Map<PodIdentity | string, Verdict>>>();

/** The verdicts that a connection meets on its way from what was dialled. */
export function recall(guardSet: GuardSet, identity: Identity, from: Place): readonly Verdict[] {
  const ofGuards = entryOf(decisions, guardSet, () => new Map());
  return travel(guardSet.guardAt, from, (guard) => {
    const ofCallers = entryOf(ofGuards, guard, () => new Map());
    const caller = identity.kind === "pod" ? identity.pod : identity.code;
    return entryOf(ofCallers, caller, () => decide(guard, identity, guardSet.routes));
  }).verdicts;
}

function entryOf<Key, Value>(
  map: { get(key: Key): Value | undefined; set(key: Key, value: Value): unknown },
  key: Key,
  make: () => Value,
): Value {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

/** The way of one connection, of which everything is known but what it is at each stop. */
export function recallConnection(
  { guardAt, routes }: GuardSet,
  identity: Identity,
  from: Place,
  connection: Omit<Connection, "server">,
): Travelled {
  return travel(guardAt, from, (guard, { address, port }) =>
    decideConnection(guard, identity, { ...connection, server: { ip: address, port } }, routes),
  );
}

/**
 * Whether `decision` is the one that was made; `made` has no words, and a policy may have changed since. What only the proxy
 * could have decided is refused, or let through, by the kernel where it could not be asked.
 */
export function isSame(
  decision: Decision,
  made: Pick<Decision, "action" | "reason" | "policy" | "rule">,
): boolean {
  const by = (policy: Decision["policy"]) => (policy === undefined ? "" : refKey(policy));
  const unasked = decision.action === "proxy" && WITHOUT_PROXY.has(made.reason);
  return (
    (unasked || (decision.action === made.action && decision.reason === made.reason)) &&
    decision.rule === made.rule &&
    by(decision.policy) === by(made.policy)
  );
}

export function logOf(verdicts: readonly Verdict[]): readonly LogMetadata[] {
  return verdicts.flatMap(({ log }) => log ?? []);
}

/** What is enforced at the end of the way: the first forward if it ends well, else what refused. */
export function rulingOf({ verdicts, end, isLoop }: Travelled): Ruling {
  const first = verdicts[0];
  const last = verdicts.at(-1);
  // Nobody guards it any more.
  if (first === undefined || last === undefined)
    return { action: "allow", reason: "fell-through", ...(end && { target: end }) };
  if (isLoop) return { ...by(last), action: "deny", reason: "loop" };
  if (end === undefined) return { ...by(last), action: "deny", reason: "target-not-routable" };
  if (last.action === "deny") return last;
  if (last.action === "proxy") {
    const { onAgentDown: _, ...undecided } = last;
    return undecided.handshake === undefined ? { ...undecided, action: "deny" } : undecided;
  }
  const endsTls = verdicts.some((verdict) => verdict.endsTls === true);
  return { ...first, ...(endsTls && { endsTls }), target: end };
}

function by({ policy, rule }: Decision): Pick<Verdict, "policy" | "rule"> {
  return { ...(policy && { policy }), ...(rule !== undefined && { rule }) };
}
