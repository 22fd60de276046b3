/** What each policy object asks to guard, and which part of that it may. */
import type { EndpointFacts } from "../model/connection.ts";
import type { ConnectionPolicy, Endpoint, ObjectRef } from "../model/objects.ts";
import { refKey } from "../model/objects.ts";
import { endpointFacts } from "./endpoint-facts.ts";
import type { Failsafe } from "./failsafe.ts";
import type { FallThrough, Problem } from "./guard.ts";
import type { Ownership } from "./ownership.ts";
import type { ResolvedPolicy } from "./policies.ts";
import { endpointFallThrough, type Routes } from "./routes.ts";
import { type Door, tcpPorts } from "./services.ts";
import { isBound, type Wish, wishesOf } from "./wishes.ts";

export interface Claim {
  readonly resolved: ResolvedPolicy;
  readonly fallThrough: FallThrough;
  readonly endpoint: EndpointFacts;
  /** Undefined: the object is not about connections inside the cluster. */
  readonly doors: readonly Door[] | undefined;
  readonly problems: readonly Problem[];
}

export interface Realm {
  readonly routes: Routes;
  readonly mayGuard: Ownership;
  readonly failsafe: Failsafe;
}

export function claimOf(object: Endpoint | ConnectionPolicy, resolved: ResolvedPolicy, realm: Realm): Claim {
  // An endpoint reached by its url sends on what falls through. One that guards its upstream is already there.
  const fallThrough: FallThrough = isBound(object) ? endpointFallThrough(object) : { kind: "allow" };
  const wishes = wishesOf(object, resolved, realm.routes);
  const claim = { resolved, fallThrough, endpoint: endpointFacts(object) };
  if (wishes === undefined) return { ...claim, doors: undefined, problems: [] };
  const doors = new Map<string, Door>();
  const problems: Problem[] = [];
  for (const wish of wishes) {
    const granted = "reason" in wish ? wish : grant(object, wish, realm);
    if ("reason" in granted) problems.push(granted);
    else for (const door of granted) doors.set(door.key, door);
  }
  return { ...claim, doors: [...doors.values()], problems };
}

function grant(object: ObjectRef, wish: Wish, realm: Realm): readonly Door[] | Problem {
  const key = `${wish.namespace}/${wish.name}`;
  const refused = refusal(object, wish, key, realm);
  // Asked before existence: nobody learns here which Services another namespace has.
  if (refused !== undefined) return { reason: "RefNotPermitted", message: refused };
  const services = realm.routes.services;
  const service = services.get(key);
  if (service === undefined) {
    return notFound(wish, `Service ${key} does not exist: create it or change the name`);
  }
  if (service.type === "ExternalName") {
    return notFound(wish, `Service ${key} is an ExternalName: it has no address to guard`);
  }
  const all = services.doorsOf(key);
  const ports = tcpPorts(service);
  const wanted = new Set(ports.filter((port) => wish.wants(port, ports)).map(({ port }) => port));
  const doors = all.filter(({ port }) => wanted.has(port));
  if (doors.length > 0) return doors;
  const offered = ports.map(({ name, port }) => (name === "" ? `${port}` : `${port} (${name})`)).join(", ");
  return notFound(wish, `Service ${key} has no such TCP port: use one of ${offered || "none that it has"}`);
}

function refusal(
  object: ObjectRef,
  wish: Wish,
  key: string,
  { mayGuard, failsafe }: Realm,
): string | undefined {
  if (!mayGuard(object, wish)) {
    return (
      `${wish.path}: ${refKey(object)} may not guard Service ${key}: move it to namespace ${wish.namespace}, ` +
      "or permit it there by a ReferenceGrant"
    );
  }
  if (!failsafe.mayGuard(object, key)) {
    return `${wish.path}: Service ${key} keeps the cluster alive: guard it from kube-system or default`;
  }
  return undefined;
}

function notFound(wish: Wish, message: string): Problem {
  return { reason: "TargetNotFound", message: `${wish.path}: ${message}` };
}
