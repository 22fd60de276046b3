/** In which namespaces the proxy has to listen. */
import type { PodPlace } from "./proxy/listeners.ts";
import type { Reconciled } from "./reconcile.ts";

/**
 * The namespaces of pods that may have undecided connections. In those that a pod made within itself there is no listener.
 * `current`: where a pod has one already. It stays there for as long as that can be: what a pod's tasks are in is only a
 * glance, and a container that is just being started may not have entered the pod's namespace yet.
 */
export function placesOf(
  { registration, undecided }: Pick<Reconciled, "registration" | "undecided">,
  root: string,
  current: (podUid: string) => bigint | undefined,
): PodPlace[] {
  return registration.registered.flatMap(({ pod, netnsCookies, cgroupPaths: [path] }) => {
    const needed = undecided.pods.has(pod.uid) || undecided.namespaces.has(pod.namespace);
    const before = current(pod.uid);
    const stays = before !== undefined && (netnsCookies.length === 0 || netnsCookies.includes(before));
    const cookie = stays ? before : netnsCookies[0];
    if (!needed || pod.hostNetwork || cookie === undefined || path === undefined) return [];
    return [{ podUid: pod.uid, cookie, cgroup: path.slice(root.length + 1) }];
  });
}
