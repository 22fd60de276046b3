/**
 * Reads the names that kubelet and the container runtimes give cgroup directories. Names are matched whole: a
 * name that only resembles one says nothing, and below a pod's directory every name is the pod's to choose.
 */
import { parseCgroupMounts } from "./mountinfo.ts";

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
const CONTAINER_DIRECTORY = /^(?:(?<runtime>[a-z][a-z-]*)-)?(?<id>[0-9a-f]{64})(?:\.scope)?$/;

/** The container that a directory name stands for, whatever runtime made it. */
export function containerCgroupOf(
  directoryName: string,
): { readonly id: string; readonly bare: boolean } | undefined {
  const groups = CONTAINER_DIRECTORY.exec(directoryName)?.groups;
  return groups?.id === undefined ? undefined : { id: groups.id, bare: directoryName === groups.id };
}

/** Where a process runs. `podUid` is absent outside pods and in a static pod, whose directory has no UID. */
export type ProcessPlace =
  | { readonly status: "found"; readonly podUid?: string; readonly containerId: string }
  | { readonly status: "none" }
  | { readonly status: "error"; readonly error: Error };

interface Sighting {
  readonly pod?: PodName;
  readonly containerId: string;
}

/**
 * The container of the process whose /proc/PID/cgroup and /proc/PID/mountinfo these are; undefined: not readable.
 * For diagnosis only: verdicts go by cgroup ids. A process can arrange its mounts but not its cgroup, so mountinfo
 * counts only where the cgroup names no place at all (`/` in every hierarchy, as in a private cgroup namespace).
 */
export function parseProcCgroup(cgroup: string | undefined, mountinfo: string | undefined): ProcessPlace {
  // hierarchy:controllers:path, and the path may hold colons.
  const paths = (cgroup ?? "").split("\n").flatMap((line) => /^\d+:[^:]*:(.*)$/.exec(line)?.[1] ?? []);
  if (paths.some((path) => path !== "/")) return combine(paths);
  return combine(parseCgroupMounts(mountinfo ?? "").map((mount) => mount.root));
}

/** Paths that name a pod outrank those that do not; among equals, two answers are an error. */
function combine(paths: readonly string[]): ProcessPlace {
  const sightings = paths.flatMap((path) => readPath(path) ?? []);
  const inPods = sightings.filter(({ pod }) => pod !== undefined);
  const relevant = inPods.length > 0 ? inPods : sightings;
  const pods = new Set(inPods.map(({ pod }) => (pod === undefined ? "" : podKey(pod))));
  const containers = new Set(relevant.map(({ containerId }) => containerId));
  if (pods.size > 1) return conflict("pod UIDs", pods);
  if (containers.size > 1) return conflict("container IDs", containers);
  const [place] = relevant;
  if (place === undefined) return { status: "none" };
  const { pod, containerId } = place;
  return { status: "found", ...(pod !== undefined && "uid" in pod && { podUid: pod.uid }), containerId };
}

function conflict(what: string, found: ReadonlySet<string>): ProcessPlace {
  return {
    status: "error",
    error: new Error(`read the process's cgroup: multiple ${what} found: ${[...found].join(", ")}`),
  };
}

/** Undefined if the path names no container: not even at pod level, where kubelet puts no process. */
function readPath(path: string): Sighting | undefined {
  const names = directoriesOf(path);
  // The outermost pod directory is kubelet's; what lies below may imitate one.
  const level = names.findIndex((name) => podCgroupOf(name) !== undefined);
  const pod = podCgroupOf(names[level] ?? "");
  if (pod === undefined) return readPathOutsidePods(names);
  const container = containerCgroupOf(names[level + 1] ?? "");
  return container && { pod, containerId: container.id };
}

/**
 * Outside pods only the last directory counts, or the `container` that crun makes below it: a process further
 * down belongs to a system that runs in the container, as kubelet does in kind's. A bare id is a container's
 * only where a runtime keeps containers, which is neither the hierarchy's root nor among the pods.
 */
function readPathOutsidePods(names: readonly string[]): Sighting | undefined {
  const end = names.at(-1) === "container" ? -2 : -1;
  const container = containerCgroupOf(names.at(end) ?? "");
  if (container === undefined) return undefined;
  const isKept =
    names.at(end - 1) !== undefined && !names.some((name) => /^kubepods(?:\.slice)?$/.test(name));
  return container.bare && !isKept ? undefined : { containerId: container.id };
}

/**
 * A path's directories, outermost first. `..` stands for those between the reader's cgroup namespace and the
 * process and can only lead; the kernel writes it nowhere else. containerd without systemd names one directory
 * `<pod's slice>:<runtime>:<id>`, which is read as two.
 */
function directoriesOf(path: string): string[] {
  const [root, ...names] = path.split("/");
  const inside = names.findIndex((name) => name !== "..");
  if (root !== "" || names.slice(inside).some((name) => name === ".." || name === "." || name === ""))
    return [];
  return names.flatMap((name) => {
    const [slice, runtime, id, ...more] = name.split(":");
    return slice && runtime && id && more.length === 0 ? [slice, `${runtime}-${id}`] : name;
  });
}
