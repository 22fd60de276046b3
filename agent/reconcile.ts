/**
 * From what the cluster says to what the kernel holds: reads everything, decides, applies the difference. Events
 * only say "look again"; however many come, one run follows, and a run that fails is repeated.
 */
import type { Snapshot } from "./cluster/snapshot.ts";
import type { Applied, Dataplane } from "./dataplane/dataplane.ts";
import type { TaskNetns } from "./dataplane/netns-scan.ts";
import { Turns } from "./dataplane/turns.ts";
import type { Want, WantGuard } from "./dataplane/want.ts";
import { indexPods } from "./guard/backends.ts";
import { familiesOf } from "./guard/context.ts";
import { decide, scopeOf } from "./guard/decide.ts";
import type { Condition } from "./guard/guard.ts";
import { computeGuards, type GuardSet } from "./guard/guards.ts";
import type { LastValid } from "./guard/last-valid.ts";
import { LINK_LOCAL, linkLocalPorts } from "./guard/link-local.ts";
import { policyReader, policyTexts, type ResolvedPolicies, resolvePolicies } from "./guard/policies.ts";
import type { PodCgroup } from "./identity/cgroup-tree.ts";
import { lingeringPods, ownAddressesOf, type Registration, registerPods } from "./identity/local-pods.ts";
import type { IdentityReader } from "./identity/pod-identity.ts";
import type { IpAddress } from "./model/address.ts";
import type { Clock } from "./model/clock.ts";
import type { Identity } from "./model/identity.ts";
import { type LocalPod, refKey } from "./model/objects.ts";
import type { Verdict } from "./model/verdict.ts";
import { rememberingEvaluate } from "./policy/evaluate.ts";

/** Everything a run reads besides the snapshot. */
export interface Sources {
  readonly clock: Clock;
  readonly snapshot: () => Snapshot;
  readonly podCgroups: () => readonly PodCgroup[] | Error;
  readonly taskNetns: () => readonly TaskNetns[];
  readonly cgroupId: (path: string) => bigint;
  readonly ownAddresses: () => readonly IpAddress[];
}

export interface ReconcileOptions {
  readonly trustedNamespaces: ReadonlySet<string>;
  /** The same value for the same pod. */
  readonly identityOf: IdentityReader;
  readonly hostNetworkIdentity: "none" | "cgroup";
  readonly nodeNetnsCookie: bigint;
}

/** Who may have connections that only the proxy can decide. */
export interface Undecided {
  /** UIDs. */
  readonly pods: ReadonlySet<string>;
  /** All of their pods. */
  readonly namespaces: ReadonlySet<string>;
}

/** What one run saw and decided: enough to explain a verdict afterwards. */
export interface Reconciled {
  readonly snapshot: Snapshot;
  readonly policies: ResolvedPolicies;
  readonly guardSet: GuardSet;
  readonly registration: Registration;
  readonly applied: Applied;
  readonly undecided: Undecided;
  /** The guards' conditions, with what the dataplane had to refuse. */
  readonly conditions: readonly Condition[];
}

export class Reconciler {
  readonly #sources: Sources;
  readonly #options: ReconcileOptions;
  readonly #dataplane: Dataplane;
  readonly #lastValid: LastValid;
  readonly #readPolicy = policyReader();
  readonly #evaluate = rememberingEvaluate();
  #lingering: ReadonlyMap<string, LocalPod> = new Map();
  #lastPods: readonly LocalPod[] = [];

  constructor(sources: Sources, options: ReconcileOptions, dataplane: Dataplane, lastValid: LastValid) {
    this.#sources = sources;
    this.#options = options;
    this.#dataplane = dataplane;
    this.#lastValid = lastValid;
  }

  /** @throws Error when the pods' directories cannot be read or the kernel refuses. What is enforced stays. */
  async run(): Promise<Reconciled> {
    await this.#readPolicies();
    const snapshot = this.#sources.snapshot();
    const ownAddresses = this.#sources.ownAddresses();
    const registration = this.#register(snapshot.localPods);
    const policies = resolvePolicies(snapshot, this.#lastValid, this.#readPolicy);
    const { trustedNamespaces } = this.#options;
    const guardSet = computeGuards(snapshot, policies, {
      trustedNamespaces,
      ownAddresses,
      evaluate: this.#evaluate,
    });
    const undecided = { pods: new Set<string>(), namespaces: new Set<string>() };
    const want = this.#want(guardSet, registration, snapshot, undecided);
    const applied = await this.#dataplane.apply(want);
    return {
      snapshot,
      policies,
      guardSet,
      registration,
      applied,
      undecided,
      conditions: withRefused(guardSet, applied.refused),
    };
  }

  /** Compiling takes up to a tenth of a second each; what is read now is only looked up afterwards. */
  async #readPolicies(): Promise<void> {
    const turns = new Turns(this.#sources.clock);
    for (const { value, path } of policyTexts(this.#sources.snapshot())) {
      this.#readPolicy(value, path);
      if (turns.isOver()) await turns.pause();
    }
  }

  #register(localPods: readonly LocalPod[]): Registration {
    const podCgroups = this.#sources.podCgroups();
    if (podCgroups instanceof Error) throw podCgroups;
    const { taskNetns, cgroupId } = this.#sources;
    this.#lingering = lingeringPods([...this.#lastPods, ...this.#lingering.values()], localPods, podCgroups);
    this.#lastPods = localPods;
    const pods = [...localPods, ...this.#lingering.values()];
    return registerPods(pods, podCgroups, taskNetns(), cgroupId, this.#options);
  }

  #want(
    guardSet: GuardSet,
    registration: Registration,
    { namespaces, pods }: Snapshot,
    undecided: { readonly pods: Set<string>; readonly namespaces: Set<string> },
  ): Want {
    const podsByAddress = indexPods(pods);
    const guards = guardSet.guards.map((guard): WantGuard => {
      const { key, destinations } = guard;
      const families = familiesOf(guard.context);
      const nodePorts = guard.nodePorts.flatMap((port) => families.map((family) => ({ port, family })));
      const ask = (identity: Identity) => {
        const verdict = decide(guard, identity, guardSet.routes);
        if (verdict.action === "proxy" && identity.kind === "pod") {
          // Without a UID it stands for all pods of the namespace.
          const { id, namespace } = identity.pod;
          if (id === "") undecided.namespaces.add(namespace);
          else undecided.pods.add(id);
        }
        return verdict;
      };
      return { key, destinations, nodePorts, scope: scopeOf(guard, guardSet.routes), decide: ask };
    });
    return {
      nodeAddresses: [...guardSet.nodeAddresses],
      guards: [...guards, ...linkLocalGuard(guardSet)],
      pods: registration.registered.map(({ pod, cgroupIds, netnsCookies }) => ({
        identity: this.#options.identityOf(pod, namespaces),
        cgroupIds,
        netnsCookies,
        addresses: ownAddressesOf(pod, (address) => podsByAddress.get(address) ?? []),
      })),
    };
  }
}

/** Refuses link-local addresses, where they could lead past a guard. */
function linkLocalGuard({ guards, routes }: GuardSet): readonly WantGuard[] {
  const ports = linkLocalPorts(guards, routes.services);
  if (ports.length === 0) return [];
  const destinations = ports.map((port) => ({ address: LINK_LOCAL, port }));
  const refuse = (): Verdict => ({ action: "deny", reason: "target-not-routable" });
  return [{ key: "link-local", destinations, nodePorts: [], scope: "namespace", decide: refuse }];
}

/** An object one of whose guards found no room is not accepted, whatever else is right about it. */
function withRefused(guardSet: GuardSet, refused: readonly string[]): readonly Condition[] {
  if (refused.length === 0) return guardSet.conditions;
  const keys = new Set(refused);
  const objects = new Set(
    guardSet.guards
      .filter(({ key }) => keys.has(key))
      .flatMap(({ policies }) => policies.map(({ object }) => refKey(object))),
  );
  return guardSet.conditions.map((condition) =>
    objects.has(refKey(condition.object))
      ? {
          ...condition,
          accepted: false,
          reason: "OverLimit" as const,
          message:
            "the kernel's maps are over 90 % full: every connection to it is denied; remove policies or raise the map sizes",
        }
      : condition,
  );
}
