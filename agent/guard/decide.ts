/** What a guard decides about a caller: the one meaning that the kernel's entries are made from. */
import type { Identity } from "../model/identity.ts";
import type { Verdict } from "../model/verdict.ts";
import type { Scope } from "../policy/policy.ts";
import { combine, sameEffect } from "./combine.ts";
import type { Guard } from "./guard.ts";
import { judgeGuardPolicy } from "./judge.ts";
import type { Routes } from "./routes.ts";

/** Never throws. Audited policies never refuse; what they would have said is in `audited` where it differs. */
export function decide(
  guard: Pick<Guard, "policies" | "isCrowded">,
  identity: Identity,
  routes: Routes,
): Verdict {
  if (guard.isCrowded) return { action: "deny", reason: "over-limit" };
  const enforcing = guard.policies.filter(({ audit }) => !audit);
  const judged = enforcing.map((policy) => judgeGuardPolicy(policy, identity, routes, false));
  const enforced = combine(judged.map(({ decision }) => decision));
  const nothingAudited =
    enforcing.length === guard.policies.length && !judged.some(({ suppressed }) => suppressed);
  if (nothingAudited) return enforced;
  const audited = combine(
    guard.policies.map((policy) => judgeGuardPolicy(policy, identity, routes, true).decision),
  );
  return sameEffect(enforced, audited) ? enforced : { ...enforced, audited };
}

/** How much of a caller the verdict can depend on: the widest of the policies and of all that their forwards lead through. */
export function scopeOf(guard: Pick<Guard, "policies">, routes: Routes): Scope {
  return guard.policies.some(({ object }) => routes.isPerPod(object)) ? "pod" : "namespace";
}
