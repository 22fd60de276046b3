/** Which verdicts of a policy the kernel may hold: for whom one has to be made, and who shares it. */
import type { PodIdentity } from "../model/identity.ts";
import type { SubjectScope } from "./policy.ts";

/** Someone a verdict is made for; `identity` is what to evaluate with. */
export type Subject =
  | { readonly kind: "namespace"; readonly namespace: string; readonly identity: PodIdentity }
  | { readonly kind: "pod"; readonly identity: PodIdentity };

/**
 * The verdicts that answer for all of `pods`. A pod's own goes before its namespace's: under scope "namespace" a pod
 * whose annotations are too large differs from the rest of its namespace, by its error_code.
 */
export function subjects(scope: SubjectScope, pods: readonly PodIdentity[]): readonly Subject[] {
  const own = scope === "pod" ? pods : pods.filter((pod) => pod.errorCode !== "");
  const shared = scope === "pod" ? [] : pods.filter((pod) => pod.errorCode === "");
  const samples = new Map(shared.map((pod) => [pod.namespace, pod]));
  return [
    ...Array.from(samples, ([namespace, sample]) => ({
      kind: "namespace" as const,
      namespace,
      identity: anyPodOf(sample),
    })),
    ...own.map((identity) => ({ kind: "pod" as const, identity })),
  ];
}

/** What `sample` has in common with every pod of its namespace on this node. */
function anyPodOf({ namespace, namespaceLabels, nodeName }: PodIdentity): PodIdentity {
  return {
    id: "",
    name: "",
    namespace,
    annotations: new Map(),
    labels: new Map(),
    serviceAccount: "",
    nodeName,
    namespaceLabels,
    addresses: [],
    errorCode: "",
    errorMessage: "",
  };
}
