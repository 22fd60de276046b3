/** What a guard decides about a caller: the one meaning that the kernel's entries are made from. */
import type { Connection } from "../model/connection.ts";
import type { Identity } from "../model/identity.ts";
import type { Verdict } from "../model/verdict.ts";
import { subjectScope } from "../policy/placement.ts";
import type { SubjectScope } from "../policy/policy.ts";
import { combine, sameEffect } from "./combine.ts";
import { connectionAhead } from "./context.ts";
import type { Guard } from "./guard.ts";
import { judgeGuardPolicy } from "./judge.ts";
import { chainOf, type Routes } from "./routes.ts";

/** For every connection of the caller to the guard's addresses; "proxy" where they could differ. Never throws. */
export function decide(
  guard: Pick<Guard, "policies" | "context">,
  identity: Identity,
  routes: Routes,
): Verdict {
  return decideConnection(guard, identity, connectionAhead(identity, guard.context), routes);
}

/** For one connection. Audited policies never refuse; what they would have said is in `audited` where it differs. */
export function decideConnection(
  guard: Pick<Guard, "policies">,
  identity: Identity,
  connection: Connection,
  routes: Routes,
): Verdict {
  const caller = { identity, connection };
  const asked = guard.policies.map((policy) => ({
    audit: policy.audit,
    ...judgeGuardPolicy(policy, caller, routes, false),
  }));
  const enforced = combine(asked.filter(({ audit }) => !audit).map(({ decision }) => decision));
  const log = asked.flatMap((judged) => judged.log);
  const verdict = log.length === 0 ? enforced : { ...enforced, log };
  if (!asked.some(({ audit, suppressed }) => audit || suppressed)) return verdict;
  const audited = combine(
    guard.policies.map((policy) => judgeGuardPolicy(policy, caller, routes, true).decision),
  );
  return sameEffect(enforced, audited) ? verdict : { ...verdict, audited };
}

/** How much of a caller the verdict can depend on: the widest of the policies and of all that their forwards lead through. */
export function scopeOf(guard: Pick<Guard, "policies">, routes: Routes): SubjectScope {
  const links = guard.policies.flatMap((policy) => chainOf(policy, routes));
  const readsMore = links.some(
    ({ inForce }) => inForce.kind === "policy" && subjectScope(inForce.policy) === "pod",
  );
  return readsMore ? "pod" : "namespace";
}
