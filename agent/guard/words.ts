/** Outcomes and placements in words, for logs and conditions. */
import { type ObjectRef, refKey } from "../model/objects.ts";
import { isOfConnection, type Placement } from "../policy/placement.ts";
import type { Outcome } from "../policy/policy.ts";
import { TERMINATE_TLS } from "../policy/terminate-tls-action.ts";
import { CHANCE } from "../policy/variables.ts";
import type { Routes } from "./routes.ts";

/** What went wrong or is missing; undefined where a rule simply decided. */
export function describeOutcome(outcome: Outcome): string | undefined {
  if (outcome.kind === "undecided") {
    if (outcome.needs.includes(TERMINATE_TLS)) return "it terminates TLS: the proxy decides";
    const needs = outcome.needs.map((name) => (name === CHANCE ? "chance" : name)).join(", ");
    return outcome.needs.some(isOfConnection)
      ? `it hangs on ${needs}, which only a connection knows: the proxy decides`
      : `it hangs on ${needs}, which is not known of this caller`;
  }
  if (outcome.kind !== "deny" || outcome.reason !== "expression-error") return undefined;
  return outcome.action === undefined ? outcome.error : `action ${outcome.action}: ${outcome.error}`;
}

/** Where the verdicts of an object's policy, and of all that its forwards lead through, can be made. */
export function placementOf(object: ObjectRef, routes: Routes): Placement | undefined {
  const placed = routes.reach(object)?.placement;
  if (placed === undefined) return undefined;
  const key = refKey(placed.object);
  return { where: placed.where, why: key === refKey(object) ? placed.why : `${placed.why} in ${key}` };
}

/** A sentence for a condition's message. */
export function describePlacement({ where, why }: Placement): string {
  return `decided in the ${where}: ${why}`;
}
