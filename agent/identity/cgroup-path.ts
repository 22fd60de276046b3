/**
 * Reads the names that kubelet and the container runtimes give cgroup directories. Names are matched whole: a
 * name that only resembles one says nothing, and below a pod's directory every name is the pod's to choose.
 */

/** What a directory at pod level says of its pod: the UID, or for a static pod the hash of its manifest. */
export type PodName = { readonly uid: string } | { readonly configHash: string };

const POD_ID =
  /^(?:(?<uid>[0-9a-f]{8}([-_])[0-9a-f]{4}\2[0-9a-f]{4}\2[0-9a-f]{4}\2[0-9a-f]{12})|(?<configHash>[0-9a-f]{32}))$/;

/**
 * `pod<id>` is what the cgroupfs driver writes, `[<path>-]kubepods[-<QoS>]-pod<id>.slice` the systemd driver,
 * where `<path>` is kubelet's --cgroup-root (kind's is `kubelet`).
 */
const POD_DIRECTORY =
  /^(?:(?:[\w.]+-)*kubepods(?:-besteffort|-burstable)?-pod(?<slice>[0-9a-f_-]+)\.slice|pod(?<plain>[0-9a-f_-]+))$/;

/** The pod that the name of a directory at pod level stands for; undefined if it is no pod directory's name. */
export function podCgroupOf(directoryName: string): PodName | undefined {
  const directory = POD_DIRECTORY.exec(directoryName)?.groups;
  const id = POD_ID.exec(directory?.slice ?? directory?.plain ?? "")?.groups;
  // A slice's name cannot hold the UID's dashes (each is a step down systemd's tree), so kubelet writes underscores.
  if (id?.uid !== undefined) return { uid: id.uid.replaceAll("_", "-") };
  return id?.configHash === undefined ? undefined : { configHash: id.configHash };
}

/** The UID or the hash: they cannot be equal, since only a UID has dashes. */
export function podKey(pod: PodName): string {
  return "uid" in pod ? pod.uid : pod.configHash;
}

/** `<id>`, `<runtime>-<id>` or `<runtime>-<id>.scope`. */
const CONTAINER_DIRECTORY = /^(?:[a-z][a-z-]*-)?(?<id>[0-9a-f]{64})(?:\.scope)?$/;

/** The id of the container that a directory name stands for, whatever runtime made it; undefined if it stands for none. */
export function containerCgroupOf(directoryName: string): string | undefined {
  return CONTAINER_DIRECTORY.exec(directoryName)?.groups?.id;
}
