/** What an object's author is told: the `Accepted` condition. */
import { type Diagnostic, formatDiagnostic } from "../model/diagnostic.ts";
import type { Claim } from "./claims.ts";
import type { Condition, Problem } from "./guard.ts";
import { missingTargets } from "./missing-targets.ts";
import { REFERENCED_PATH, type ResolvedPolicy } from "./policies.ts";
import type { Routes } from "./routes.ts";
import { describePlacement, placementOf } from "./words.ts";

export function conditionOf({ resolved, doors, problems }: Claim, routes: Routes): Condition {
  const { kind, namespace, name, uid, generation } = resolved.object;
  const about = { object: { kind, namespace, name }, uid, generation };
  // What is not about pods is none of ours, whatever its policy says; a reference that leads nowhere could be about pods.
  const all = [...problems, ...policyProblems(resolved.problem, doors !== undefined)];
  const [first] = all;
  if (first !== undefined) {
    const message = all.map((problem) => problem.message).join("; ");
    return { ...about, accepted: false, reason: first.reason, message };
  }
  if (doors === undefined || doors.length === 0) {
    const message =
      "guards nothing: it is not bound to kubernetes, and no policy of it that reads conn.k8s leads to a Service";
    return { ...about, accepted: true, reason: "NotApplicable", message };
  }
  const guarded = doors.map(({ key }) => key).sort();
  const where = placementOf(resolved.object, routes);
  const mode = resolved.object.audit ? "audits" : "guards";
  const placed = where === undefined ? "" : `; ${describePlacement(where)}`;
  const advice = [...resolved.warnings, ...lostForwards(resolved, routes)];
  const warnings = advice.map((warning) => `; warning: ${formatDiagnostic(warning)}`);
  const message = `${mode} ${guarded.join(", ")}${placed}${warnings.join("")}`;
  return { ...about, accepted: true, reason: "Accepted", message };
}

/** Nothing is wrong with the text: what it names may come later, and until then the connection is denied. */
function lostForwards({ object, inForce }: ResolvedPolicy, routes: Routes): readonly Diagnostic[] {
  if (inForce.kind !== "policy") return [];
  const path = object.policy.kind === "inline" ? object.policy.path : REFERENCED_PATH;
  return missingTargets(inForce.policy, object, path, routes);
}

/** `door`: one that the claim guards and at which too much comes together. */
export function crowdedCondition({ resolved }: Claim, { key }: { readonly key: string }): Condition {
  const { kind, namespace, name, uid, generation } = resolved.object;
  const message =
    `at Service ${key} over 100 policies or Services meet, by its own pods or by what its EndpointSlices lead to: ` +
    "every connection to it is denied; remove policies or Services";
  return {
    object: { kind, namespace, name },
    uid,
    generation,
    accepted: false,
    reason: "OverLimit",
    message,
  };
}

function policyProblems(problem: Problem | undefined, guards: boolean): readonly Problem[] {
  if (problem === undefined) return [];
  return guards || problem.reason === "TargetNotFound" ? [problem] : [];
}
