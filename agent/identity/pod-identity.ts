/** From a pod of this node to what a policy may read of it. How the pod was found is decided elsewhere. */
import { type Known, UNKNOWN } from "../model/connection.ts";
import { type Identity, type PodIdentity, unresolved } from "../model/identity.ts";
import type { LocalPod, Namespace } from "../model/objects.ts";
import { ANNOTATION_LIMIT, surfaceAnnotations } from "./annotations.ts";

/** Bytes of all labels together, in UTF-8: what reading them may cost is bounded. */
const LABEL_LIMIT = 4096;

type Labels = ReadonlyMap<string, string>;
type Namespaces = ReadonlyMap<string, Namespace>;

/** Too many annotation bytes cut the annotations only: id, name and namespace are known and stay. */
export function podIdentity(
  pod: LocalPod,
  prefixes?: readonly string[],
  namespaces: Namespaces = new Map(),
): PodIdentity {
  const { annotations, truncated } = surfaceAnnotations(pod.annotations, prefixes);
  return {
    id: pod.uid,
    name: pod.name,
    namespace: pod.namespace,
    annotations,
    labels: bounded(pod.labels),
    serviceAccount: pod.serviceAccount,
    nodeName: pod.nodeName,
    namespaceLabels: bounded(namespaces.get(pod.namespace)?.labels),
    // A process on the node's network may connect from any address of the node.
    addresses: pod.hostNetwork ? [] : pod.ips,
    errorCode: truncated ? "ERR_NGROK_28000" : "",
    errorMessage: truncated
      ? `Pod identity metadata too large: annotations take more than ${ANNOTATION_LIMIT} bytes`
      : "",
  };
}

/** Labels are not cut: what is missing would read as "has no such label". */
function bounded(labels: Labels | undefined): Known<Labels> {
  if (labels === undefined) return UNKNOWN;
  let size = 0;
  for (const [key, value] of labels) size += Buffer.byteLength(key) + Buffer.byteLength(value);
  return size > LABEL_LIMIT ? UNKNOWN : labels;
}

export type IdentityReader = (pod: LocalPod, namespaces?: Namespaces) => PodIdentity;

/** `podIdentity`, the same value for the same pod and namespace: what is remembered of an identity is then found again. */
export function identityReader(prefixes?: readonly string[]): IdentityReader {
  const known = new WeakMap<LocalPod, { readonly labels: unknown; readonly identity: PodIdentity }>();
  return (pod, namespaces) => {
    const labels = namespaces?.get(pod.namespace);
    const before = known.get(pod);
    if (before !== undefined && before.labels === labels) return before.identity;
    const identity = podIdentity(pod, prefixes, namespaces);
    known.set(pod, { labels, identity });
    return identity;
  };
}

/** The identity of connections from `pod`. A hostNetwork pod shares the node's, so it has none of its own. */
export function callerIdentity(
  pod: LocalPod,
  prefixes?: readonly string[],
  namespaces?: Namespaces,
): Identity {
  if (pod.hostNetwork) return unresolved(`pod ${pod.namespace}/${pod.name} uses the network of its node`);
  return { kind: "pod", pod: podIdentity(pod, prefixes, namespaces) };
}
