/** A guard is everything that applies to one destination address, combined. These are the words of this folder. */
import type { IpAddress } from "../model/address.ts";
import type { EndpointFacts, Known } from "../model/connection.ts";
import type { ObjectRef } from "../model/objects.ts";
import type { Policy } from "../policy/policy.ts";

/** A Service at one of its TCP ports. */
export interface ServiceRef {
  /** `namespace/name`. */
  readonly service: string;
  readonly port: number;
}

export interface Destination {
  readonly address: IpAddress;
  readonly port: number;
  readonly protocol: "TCP";
}

/** What an object enforces: rules, or a denial of everything because there are none that can be run. */
export type InForce =
  | { readonly kind: "policy"; readonly policy: Policy }
  | { readonly kind: "refusal"; readonly reason: "policy-invalid" | "target-not-found" };

/** What becomes of a connection about which no rule says anything. */
export type FallThrough =
  | { readonly kind: "allow" }
  | { readonly kind: "upstream"; readonly url: string }
  /** A policy that must terminate and did not. */
  | { readonly kind: "refuse" };

export interface GuardPolicy {
  readonly object: ObjectRef;
  readonly inForce: InForce;
  readonly audit: boolean;
  /** It ends no connection that is open. */
  readonly connectOnly: boolean;
  /** Absent: what only the agent can decide is refused while there is none. */
  readonly onAgentDown?: "allow";
  readonly fallThrough: FallThrough;
  /** The Services that the guard's addresses stand for, as this policy sees it: a forward to one of them is an allow. */
  readonly home: readonly ServiceRef[];
  readonly endpoint: EndpointFacts;
}

/**
 * What is the same for all connections to a guard's addresses. Only what some policy of it reads is ever known here:
 * addresses that no policy tells apart share a guard.
 */
export interface GuardContext {
  readonly family: Known<4 | 6>;
  readonly serverIp: Known<IpAddress>;
  readonly serverPort: Known<number>;
}

export interface Guard {
  /**
   * Which objects guard, and as which Services; and, where a policy reads it, at which address, port or family.
   * Changes with a policy's text only when that begins or ceases to read one of those.
   */
  readonly key: string;
  readonly destinations: readonly Destination[];
  /** Ports guarded at every address of every node, of the family in `context`. */
  readonly nodePorts: readonly number[];
  /** In the order of their objects' keys: the first that denies is the one reported. */
  readonly policies: readonly GuardPolicy[];
  readonly context: GuardContext;
  /** More policies meet at these addresses than are looked at: everybody is refused. */
  readonly isCrowded?: true;
}

export type ConditionReason =
  | "Accepted"
  | "NotApplicable"
  | "Invalid"
  | "TargetNotFound"
  | "RefNotPermitted"
  /** The dataplane had no room for it, or too many policies meet at its Service. */
  | "OverLimit";

/** Something about an object that keeps it, or a part of it, from having the effect its author meant. */
export interface Problem {
  readonly reason: Exclude<ConditionReason, "Accepted" | "NotApplicable" | "OverLimit">;
  /** Lower-case, and what to do about it. */
  readonly message: string;
}

/** The `Accepted` condition of one object. */
export interface Condition {
  readonly object: ObjectRef;
  readonly uid: string;
  /** The generation that was judged: becomes `observedGeneration`. */
  readonly generation: number;
  readonly accepted: boolean;
  readonly reason: ConditionReason;
  readonly message: string;
}
