/** From a pod of this node to what a policy may read of it. How the pod was found is decided elsewhere. */
import { type Identity, type PodIdentity, unresolved } from "../model/identity.ts";
import type { LocalPod } from "../model/objects.ts";
import { ANNOTATION_LIMIT, surfaceAnnotations } from "./annotations.ts";

/** Too many annotation bytes cut the annotations only: id, name and namespace are known and stay. */
export function podIdentity(pod: LocalPod, prefixes?: readonly string[]): PodIdentity {
  const { annotations, truncated } = surfaceAnnotations(pod.annotations, prefixes);
  return {
    id: pod.uid,
    name: pod.name,
    namespace: pod.namespace,
    annotations,
    errorCode: truncated ? "ERR_NGROK_28000" : "",
    errorMessage: truncated
      ? `Pod identity metadata too large: annotations take more than ${ANNOTATION_LIMIT} bytes`
      : "",
  };
}

/** `podIdentity`, the same value for the same pod: what is remembered of an identity is then found again. */
export function identityReader(prefixes?: readonly string[]): (pod: LocalPod) => PodIdentity {
  const known = new WeakMap<LocalPod, PodIdentity>();
  return (pod) => {
    const identity = known.get(pod) ?? podIdentity(pod, prefixes);
    known.set(pod, identity);
    return identity;
  };
}

/** The identity of connections from `pod`. A hostNetwork pod shares the node's, so it has none of its own. */
export function callerIdentity(pod: LocalPod, prefixes?: readonly string[]): Identity {
  if (pod.hostNetwork) return unresolved(`pod ${pod.namespace}/${pod.name} uses the network of its node`);
  return { kind: "pod", pod: podIdentity(pod, prefixes) };
}
