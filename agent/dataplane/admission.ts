/** Which guards the maps have room for, and what becomes of the others. */
import type { SubjectScope } from "../policy/policy.ts";
import type { Place } from "./address-tables.ts";
import { Budget, CLOSE, type Demand, type Pressure, REFUSE } from "./capacity.ts";
import type { WantGuard } from "./want.ts";

/** Key of the guard that stands in for those that were refused. */
export const OVER_LIMIT_KEY = "over-limit";

/** What is in the maps, and what they hold. */
export interface Room {
  readonly capacity: Demand;
  readonly used: Demand;
  readonly exists: (guard: WantGuard) => boolean;
  readonly has: (place: Place) => boolean;
  /** Verdicts that a guard of the scope needs. */
  readonly subjects: (scope: SubjectScope) => number;
}

export interface Admission {
  /** The guards to write, and one that refuses everybody at the addresses of the others. */
  readonly admitted: readonly WantGuard[];
  /** Keys of the others. */
  readonly refused: readonly string[];
  /** Addresses for which even that found no room. */
  readonly unguarded: number;
  readonly pressure: readonly Pressure[];
}

/** Guards that exist have the last tenth of the maps to themselves, those that grow least first. */
export function admit(guards: readonly WantGuard[], room: Room): Admission {
  const budget = new Budget(room.capacity);
  budget.take(room.used);
  const all = guards.map((guard) => demandOf(guard, room));
  // The usual case: there would be room for all of it even if none were there yet.
  if (all.every((demand) => budget.admit(demand, REFUSE))) return everything(guards, room);
  return select(guards, room);
}

function everything(guards: readonly WantGuard[], { capacity, used }: Room): Admission {
  const budget = new Budget(capacity);
  budget.take(used);
  return { admitted: guards, refused: [], unguarded: 0, pressure: budget.pressure() };
}

function select(guards: readonly WantGuard[], room: Room): Admission {
  const budget = new Budget(room.capacity);
  budget.take(room.used);
  const refused = new Set<WantGuard>();
  const growing = guards
    .filter(room.exists)
    .map((guard) => ({ guard, growth: growthOf(placesOf(guard), room) }))
    .sort((a, b) => a.growth.destinations - b.growth.destinations);
  for (const { guard, growth } of growing) if (!budget.admit(growth, 1)) refused.add(guard);
  for (const guard of guards) {
    if (!room.exists(guard) && !budget.admit(demandOf(guard, room), REFUSE)) refused.add(guard);
  }
  if (refused.size === 0) return { admitted: guards, refused: [], unguarded: 0, pressure: budget.pressure() };
  const places = [...refused].flatMap(placesOf);
  const closed = places.filter((place) => budget.admit(growthOf([place], room), CLOSE));
  return {
    admitted: [...guards.filter((guard) => !refused.has(guard)), overLimit(closed)],
    refused: Array.from(refused, ({ key }) => key),
    unguarded: places.length - closed.length,
    pressure: budget.pressure(),
  };
}

function demandOf(guard: WantGuard, { subjects }: Room): Demand {
  return {
    destinations: guard.destinations.length,
    node_ports: guard.nodePorts.length,
    guards: 1,
    verdicts: subjects(guard.scope),
  };
}

/** What of the places is not in the maps yet. */
function growthOf(places: readonly Place[], { has }: Room): Demand {
  const missing = places.filter((place) => !has(place));
  const destinations = missing.filter((place) => "address" in place).length;
  return { destinations, node_ports: missing.length - destinations, guards: 0, verdicts: 0 };
}

function placesOf({ destinations, nodePorts }: WantGuard): Place[] {
  return [...destinations, ...nodePorts];
}

/** What stands in for guards that there is no room for: an address that was to be guarded must not be open. */
function overLimit(places: readonly Place[]): WantGuard {
  return {
    key: OVER_LIMIT_KEY,
    destinations: places.filter((place) => "address" in place),
    nodePorts: places.filter((place) => "family" in place),
    scope: "namespace",
    decide: () => ({ action: "deny", reason: "over-limit" }),
  };
}
