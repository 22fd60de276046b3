/** May this caller connect there, and why: the verdict is `decide`'s, and everything else here is about it. */
import { type Questioner, viewOfCaller } from "./caller.ts";
import type { Explanation } from "./explanation.ts";
import { describeStop, travel, viewOf } from "./journey.ts";
import type { Place } from "./place.ts";
import { problemsAbout } from "./problems.ts";
import { adviceFor, findRemedies } from "./remedies.ts";
import type { World } from "./world.ts";

export function explain(world: World, questioner: Questioner, place: Place): Explanation {
  const journey = travel(world, questioner, place);
  const steps = journey.stops.map((stop) => describeStop(world, questioner, stop));
  const denied = journey.outcome === "deny";
  const remedies = denied ? findRemedies(world, questioner, place, journey) : [];
  return {
    from: viewOfCaller(world, questioner),
    to: place.text,
    outcome: journey.outcome,
    ...(journey.verdict && { verdict: viewOf(journey.verdict) }),
    steps,
    remedies,
    ...(denied && remedies.length === 0 && { advice: adviceFor(world, questioner, journey) }),
    problems: problemsAbout(
      world,
      steps.flatMap(({ services }) => services),
    ),
  };
}
