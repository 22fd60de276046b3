/** Objects that name a Service on the way and do not guard it, or not as they say: what their authors were told. */
import type { Claim } from "../guard/claims.ts";
import { wishesOf } from "../guard/wishes.ts";
import { nameKey, type PolicyObject, refKey } from "../model/objects.ts";
import type { ObjectProblem } from "./explanation.ts";
import type { World } from "./world.ts";

/** `services`: keys `namespace/service:port` of the Services on the way. */
export function problemsAbout(
  { snapshot, guardSet }: World,
  services: readonly string[],
): readonly ObjectProblem[] {
  const names = new Set(services.map((key) => key.slice(0, key.lastIndexOf(":"))));
  const objects = new Map(
    [...snapshot.endpoints, ...snapshot.connectionPolicies].map((each) => [refKey(each), each]),
  );
  return guardSet.claims.flatMap((claim): readonly ObjectProblem[] => {
    const object = objects.get(refKey(claim.resolved.object));
    if (object === undefined || !isAbout(claim, object, names, guardSet)) return [];
    const { problem } = claim.resolved;
    const all = [...claim.problems, ...(problem === undefined ? [] : [problem])];
    return all.map(({ reason, message }) => ({ object: refKey(object), reason, message }));
  });
}

function isAbout(
  claim: Claim,
  object: Parameters<typeof wishesOf>[0] & PolicyObject,
  names: ReadonlySet<string>,
  { routes }: World["guardSet"],
): boolean {
  const wishes = wishesOf(object, claim.resolved, routes) ?? [];
  return wishes.some((wish) => "namespace" in wish && names.has(nameKey(wish)));
}
