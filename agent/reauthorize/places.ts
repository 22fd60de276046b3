/** Where the open connections of a pod are. */
import type { RegisteredPod } from "../identity/local-pods.ts";
import type { Place } from "../proxy/broker-protocol.ts";

export interface Surroundings {
  /** Of the node's own namespace; 0n: unknown. */
  readonly nodeNetnsCookie: bigint;
  /** A pod's cgroup directory, relative to the pods' cgroup. */
  readonly cgroupOf: (path: string) => string;
}

/** Its own namespaces; of a pod on its node's network the node's, for each directory in which it may have made sockets. */
export function placesOf(
  { pod, cgroupPaths, netnsCookies }: RegisteredPod,
  { nodeNetnsCookie, cgroupOf }: Surroundings,
): readonly Place[] {
  const cgroups = cgroupPaths.map(cgroupOf);
  if (!pod.hostNetwork)
    return cgroups.slice(0, 1).flatMap((cgroup) => netnsCookies.map((cookie) => ({ cgroup, cookie })));
  return nodeNetnsCookie === 0n ? [] : cgroups.map((cgroup) => ({ cgroup, cookie: nodeNetnsCookie }));
}
