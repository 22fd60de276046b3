/** What a reconcile run says, of a pod or two and some policies. */
import type { Snapshot } from "../../../agent/cluster/snapshot.ts";
import { computeGuards } from "../../../agent/guard/guards.ts";
import { lastValidInMemory } from "../../../agent/guard/last-valid.ts";
import { policyReader, resolvePolicies } from "../../../agent/guard/policies.ts";
import type { LocalPod } from "../../../agent/model/objects.ts";
import type { Reconciled } from "../../../agent/reconcile.ts";
import { OPTIONS, service, snapshot } from "../guard/builders.ts";

export function localPod(key: string, parts: Partial<LocalPod> = {}): LocalPod {
  const [namespace = "", name = ""] = key.split("/");
  return {
    uid: `uid-of-${key}`,
    namespace,
    name,
    nodeName: "node-1",
    ips: ["203.0.113.5"],
    hostNetwork: false,
    completed: false,
    annotations: new Map(),
    labels: new Map(),
    serviceAccount: "default",
    ...parts,
  };
}

const services = [service("payments/ledger", ["192.0.2.10", "2001:db8::10"], [80])];

/** Runs one after another, with one memory for policies. Pods are in namespaces of cookie 1, 2 and so on. */
export function runs(): (parts: Partial<Snapshot>, changes?: number) => Reconciled {
  const [read, lastValid] = [policyReader(), lastValidInMemory()];
  return (parts, changes = 0) => {
    const view = snapshot({ services, ...parts });
    const policies = resolvePolicies(view, lastValid, read);
    return {
      snapshot: view,
      policies,
      guardSet: computeGuards(view, policies, OPTIONS),
      registration: {
        registered: view.localPods.map((pod, index) => ({
          pod,
          cgroupIds: [BigInt(index + 100)],
          cgroupPaths: [`/kubepods/pod${pod.uid}`],
          netnsCookies: pod.hostNetwork ? [] : [BigInt(index + 1)],
        })),
        unresolved: [],
      },
      applied: { refused: [], pressure: [], unguarded: 0, changes },
      conditions: [],
      undecided: { pods: new Set(), namespaces: new Set() },
    };
  };
}
