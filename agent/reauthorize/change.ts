/** What can have turned an allowed connection into a denied one: a reconcile run, or time. */
import type { ResolvedPolicy } from "../guard/policies.ts";
import type { IdentityReader } from "../identity/pod-identity.ts";
import type { Reconciled } from "../reconcile.ts";

/**
 * Verdicts in the kernel are not all: where only a connection decides they stay `proxy` whatever changes. `before`
 * undefined: this is the first run.
 */
export function mayRevoke(
  before: Reconciled | undefined,
  after: Reconciled,
  identityOf: IdentityReader,
): boolean {
  if (after.guardSet.guards.length === 0) return false;
  if (before === undefined || after.applied.changes > 0) return true;
  return policiesDiffer(before, after) || callersDiffer(before, after, identityOf);
}

/** Whether time alone can do that. */
export function hangsOnTime({ guardSet, policies }: Pick<Reconciled, "guardSet" | "policies">): boolean {
  return (
    guardSet.guards.length > 0 &&
    [...policies.values()].some(
      ({ inForce }) => inForce.kind === "policy" && inForce.policy.reads.has("time.now"),
    )
  );
}

function policiesDiffer({ policies: before }: Reconciled, { policies: after }: Reconciled): boolean {
  if (before.size !== after.size) return true;
  return [...after].some(([key, policy]) => !isSame(before.get(key), policy));
}

/** A policy's text that has not changed is the same value. */
function isSame(before: ResolvedPolicy | undefined, after: ResolvedPolicy): boolean {
  if (before === undefined || before.inForce.kind !== after.inForce.kind) return false;
  const [a, b] = [before.object, after.object];
  return (
    a.audit === b.audit &&
    a.connectOnly === b.connectOnly &&
    (before.inForce.kind === "policy" && after.inForce.kind === "policy"
      ? before.inForce.policy === after.inForce.policy
      : true)
  );
}

/** `identityOf` gives the same value for the same pod. */
function callersDiffer(before: Reconciled, after: Reconciled, identityOf: IdentityReader): boolean {
  const identities = ({ registration, snapshot }: Reconciled) =>
    new Map(registration.registered.map(({ pod }) => [pod.uid, identityOf(pod, snapshot.namespaces)]));
  const [old, current] = [identities(before), identities(after)];
  return [...current].some(([uid, identity]) => old.get(uid) !== identity);
}
