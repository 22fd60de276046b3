/**
 * What the verdicts of each policy hang on, together with all the policies that its forwards lead through. Worked out
 * for all at once: objects may refer to each other in any way, and every reference is followed a few times at most.
 */
import { type ObjectRef, refKey } from "../model/objects.ts";
import {
  type DestinationNeeds,
  destinationNeeds,
  type Placement,
  placement,
  subjectScope,
} from "../policy/placement.ts";
import type { ResolvedPolicies, ResolvedPolicy } from "./policies.ts";

export interface Reach {
  /** More of a caller than its namespace matters. */
  readonly perPod: boolean;
  readonly needs: DestinationNeeds;
  /** The widest on the way, and whose it is; undefined where no policy can be run. */
  readonly placement: (Placement & { readonly object: ObjectRef }) | undefined;
}

const WIDTH = { "kernel, per namespace": 0, "kernel, per pod": 1, proxy: 2 } as const;

/** `next`: the objects that an object's forwards can lead to. By `refKey`. */
export function reachOfAll(
  policies: ResolvedPolicies,
  next: (resolved: ResolvedPolicy) => Iterable<ObjectRef>,
): ReadonlyMap<string, Reach> {
  const reach = new Map<string, Reach>();
  const sendersTo = new Map<string, string[]>();
  for (const [key, resolved] of policies) {
    reach.set(key, ownReach(resolved));
    for (const object of next(resolved)) {
      const target = refKey(object);
      const senders = sendersTo.get(target);
      if (senders === undefined) sendersTo.set(target, [key]);
      else senders.push(key);
    }
  }
  // What changes is looked at again. A reach only grows, and in a handful of steps.
  const changed = new Set(reach.keys());
  for (const key of changed) {
    changed.delete(key);
    const onward = reach.get(key);
    for (const sender of sendersTo.get(key) ?? []) {
      const before = reach.get(sender);
      if (onward === undefined || before === undefined) continue;
      const after = union(before, onward);
      if (after === before) continue;
      reach.set(sender, after);
      changed.add(sender);
    }
  }
  return reach;
}

function ownReach({ object, inForce }: ResolvedPolicy): Reach {
  if (inForce.kind !== "policy") {
    return {
      perPod: false,
      needs: { family: false, serverIp: false, serverPort: false },
      placement: undefined,
    };
  }
  const { policy } = inForce;
  const { kind, namespace, name } = object;
  return {
    perPod: subjectScope(policy) === "pod",
    needs: destinationNeeds(policy),
    placement: { ...placement(policy), object: { kind, namespace, name } },
  };
}

/** `a` itself if `b` adds nothing. */
function union(a: Reach, b: Reach): Reach {
  const wider =
    b.placement !== undefined &&
    (a.placement === undefined || WIDTH[b.placement.where] > WIDTH[a.placement.where]);
  const adds =
    wider ||
    (b.perPod && !a.perPod) ||
    (b.needs.family && !a.needs.family) ||
    (b.needs.serverIp && !a.needs.serverIp) ||
    (b.needs.serverPort && !a.needs.serverPort);
  if (!adds) return a;
  return {
    perPod: a.perPod || b.perPod,
    needs: {
      family: a.needs.family || b.needs.family,
      serverIp: a.needs.serverIp || b.needs.serverIp,
      serverPort: a.needs.serverPort || b.needs.serverPort,
    },
    placement: wider ? b.placement : a.placement,
  };
}
