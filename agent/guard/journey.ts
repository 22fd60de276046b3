/** A decision on its way: who asks, which policies have been run, and how far that may go. */
import type { Connection, EndpointFacts, Known } from "../model/connection.ts";
import type { Identity } from "../model/identity.ts";
import { type ObjectRef, refKey } from "../model/objects.ts";
import type { LogMetadata } from "../model/verdict.ts";
import type { Outcome } from "../policy/policy.ts";
import type { Observer } from "../policy/run.ts";
import type { FallThrough, InForce, ServiceRef } from "./guard.ts";
import type { Route, Routes } from "./routes.ts";

/** Endpoints that one forward may lead through, one after another. */
const MAX_CHAIN = 4;
/** Policies run for one decision. Many endpoints under one url, chained, would otherwise multiply. */
const MAX_POLICIES = 64;

export interface Caller {
  readonly identity: Identity;
  readonly connection: Connection;
  /** Of the addresses between which it connects. */
  readonly family: Known<4 | 6>;
}

export interface Judged {
  readonly object: ObjectRef;
  readonly inForce: InForce;
  readonly fallThrough: FallThrough;
  readonly endpoint: EndpointFacts;
  readonly onAgentDown?: "allow";
}

export interface Journey {
  readonly caller: Caller;
  readonly routes: Routes;
  /** The Services dialled. */
  readonly home: readonly ServiceRef[];
  /** Whether an audited endpoint on the way may refuse: asked to learn what it would have said. */
  readonly auditedRefuse: boolean;
  /** Whether an endpoint that is `connectOnly` may refuse: not when an open connection is judged. */
  readonly connectOnlyRefuse: boolean;
  /** Keys of the objects on the way here, the guarding one first. */
  readonly path: readonly string[];
  readonly trail: Trail;
  readonly meter: Meter;
  readonly watcher: Watcher | undefined;
}

/** What the policies that a decision has asked may have cost, in units of cel/cost.ts: all of a guard's together. */
export interface Meter {
  cost: number;
}

/** What one decision did so far, on all branches. */
export interface Trail {
  policiesRun: number;
  /** An audited endpoint on the way would have refused. */
  suppressed: boolean;
  /** A policy on the way has terminated TLS. */
  endsTls: boolean;
  readonly log: LogMetadata[];
}

/** Sees every policy that is asked on the way, for who explains the decision. */
export interface Watcher {
  /** `depth`: how many endpoints led here. */
  asked(judged: Judged, depth: number): Observer | undefined;
  /** Undefined: there are no rules that can be run. */
  answered(judged: Judged, outcome: Outcome | undefined): void;
}

/** Whether a forward of `object` to the route comes back to where it was, or leads too far. */
export function isLoop({ endpoints }: Route, object: ObjectRef, { path, trail }: Journey): boolean {
  const here = [...path, refKey(object)];
  const looped = endpoints.some((next) => here.includes(refKey(next.object)));
  const exhausted = trail.policiesRun + endpoints.length > MAX_POLICIES;
  return looped || exhausted || here.length > MAX_CHAIN;
}
