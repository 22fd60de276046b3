/** What one change of the caller would let it in: found by asking again, never by reading the policy's mind. */
import { chainOf } from "../guard/routes.ts";
import { nameKey } from "../model/objects.ts";
import type { Policy } from "../policy/policy.ts";
import type { Questioner } from "./caller.ts";
import { candidates, type Written } from "./candidates.ts";
import type { Remedy } from "./explanation.ts";
import { type Journey, travel } from "./journey.ts";
import type { Place } from "./place.ts";
import type { World } from "./world.ts";

/** Asking costs as much as deciding does; nobody reads more than a few. */
const MOST_CANDIDATES = 500;
const MOST_REMEDIES = 5;

export function findRemedies(
  world: World,
  questioner: Questioner,
  place: Place,
  journey: Journey,
): readonly Remedy[] {
  const found = new Map<string, Remedy>();
  let asked = 0;
  for (const { pod, ...remedy } of candidates(world, questioner.pod, textsOn(world, journey))) {
    if (found.size === MOST_REMEDIES || asked++ === MOST_CANDIDATES) break;
    if (found.has(remedy.change)) continue;
    const { outcome } = travel(world, { ...questioner, pod }, place);
    if (outcome === "allow" || outcome === "forward") found.set(remedy.change, remedy);
  }
  return [...found.values()];
}

/** Of every policy that was asked, or that a forward of one can lead to. */
function textsOn({ guardSet }: World, { stops }: Journey): readonly Written[] {
  const links = stops
    .flatMap(({ guard }) => guard?.policies ?? [])
    .flatMap((policy) => chainOf(policy, guardSet.routes));
  const policies = links.flatMap(({ inForce }) => (inForce.kind === "policy" ? [inForce.policy] : []));
  return textsOf([...new Set(policies)]);
}

/** What the policies' rules compare with. */
export function textsOf(policies: readonly Policy[]): readonly Written[] {
  return policies.flatMap((policy) => [
    ...policy.rules.flatMap((rule) => rule.expressions),
    // What an expression compares with may have been set as a variable before.
    ...policy.rules.flatMap(({ actions }) =>
      actions.flatMap((action) =>
        action.type === "set-vars"
          ? action.vars.map(({ value }) => ({
              text: literalText(value.constant?.value),
              reads: policy.reads,
            }))
          : [],
      ),
    ),
  ]);
}

/** Every text in a value, as CEL literals. */
function literalText(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (value instanceof Map) return [...value.values()].map(literalText).join(" ");
  return Array.isArray(value) ? value.map(literalText).join(" ") : "";
}

/** Where nothing about the caller helps: what somebody would have to change. */
export function adviceFor(world: World, { pod }: Questioner, { verdict }: Journey): string {
  const object = verdict?.policy;
  const name = object === undefined ? "the policy" : `${object.kind} ${nameKey(object)}`;
  const rule = verdict?.rule === undefined ? name : `rule ${verdict.rule} of ${name}`;
  const key = object === undefined ? "" : `${object.kind}/${nameKey(object)}`;
  const problem = world.policies.get(key)?.problem?.message;
  if (problem !== undefined) return `mend ${name}: ${problem}`;
  switch (verdict?.reason) {
    case "rule":
    case "expression-error":
      return pod === undefined ? `change ${rule}` : `no single change of the pod lets it in: change ${rule}`;
    case "conflict":
      return `let all policies forward to the same target: ${name} and another differ`;
    case "loop":
      return `break the loop of forwards that begins with ${rule}`;
    case "target-not-found":
      return `create what ${rule} forwards to, or change its url`;
    case "target-not-routable":
      return `give what ${rule} forwards to an address of the family dialled, and the port of its url`;
    default:
      return `change ${rule}`;
  }
}
