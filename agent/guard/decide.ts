/** What a guard decides about a caller: the one meaning that the kernel's entries are made from. */
import { type Connection, UNKNOWN } from "../model/connection.ts";
import type { Identity } from "../model/identity.ts";
import type { Verdict } from "../model/verdict.ts";
import type { SubjectScope } from "../policy/policy.ts";
import { combine, sameEffect } from "./combine.ts";
import { connectionAhead, familyOf } from "./context.ts";
import type { Guard } from "./guard.ts";
import type { Caller } from "./journey.ts";
import { judgeGuardPolicy } from "./judge.ts";
import type { Routes } from "./routes.ts";

/** For every connection of the caller to the guard's addresses; "proxy" where they could differ. Never throws. */
export function decide(
  guard: Pick<Guard, "policies" | "context" | "isCrowded">,
  identity: Identity,
  routes: Routes,
): Verdict {
  return decideCaller(guard, callerAhead(guard, identity), routes);
}

/** For one connection. Never throws. */
export function decideConnection(
  guard: Pick<Guard, "policies" | "isCrowded">,
  identity: Identity,
  connection: Connection,
  routes: Routes,
): Verdict {
  return decideCaller(guard, callerOf(identity, connection), routes);
}

/** Who asks the guard before there is a connection. */
export function callerAhead({ context }: Pick<Guard, "context">, identity: Identity): Caller {
  return { identity, connection: connectionAhead(identity, context), family: context.family };
}

/** Who asks with one connection. */
export function callerOf(identity: Identity, connection: Connection): Caller {
  const { ip } = connection.server;
  return { identity, connection, family: ip === UNKNOWN ? UNKNOWN : familyOf(ip) };
}

/** Audited policies never refuse; what they would have said is in `audited` where it differs. */
function decideCaller(guard: Pick<Guard, "policies" | "isCrowded">, caller: Caller, routes: Routes): Verdict {
  if (guard.isCrowded) return { action: "deny", reason: "over-limit" };
  const meter = { cost: 0 };
  const asked = guard.policies.map((policy) => ({
    audit: policy.audit,
    ...judgeGuardPolicy(policy, caller, routes, { auditedRefuse: false, meter }),
  }));
  const enforced = combine(asked.filter(({ audit }) => !audit).map(({ decision }) => decision));
  const log = asked.flatMap((judged) => judged.log);
  const endsTls = asked.some((judged) => judged.endsTls && !judged.audit);
  const verdict = { ...enforced, ...(log.length > 0 && { log }), ...(endsTls && { endsTls }) };
  if (!asked.some(({ audit, suppressed }) => audit || suppressed)) return verdict;
  const again = { auditedRefuse: true, meter: { cost: 0 } };
  const audited = combine(
    guard.policies.map((policy) => judgeGuardPolicy(policy, caller, routes, again).decision),
  );
  return sameEffect(enforced, audited) ? verdict : { ...verdict, audited };
}

/** How much of a caller the verdict can depend on: the widest of the policies and of all that their forwards lead through. */
export function scopeOf(guard: Pick<Guard, "policies">, routes: Routes): SubjectScope {
  return guard.policies.some(({ object }) => routes.reach(object)?.perPod) ? "pod" : "namespace";
}
