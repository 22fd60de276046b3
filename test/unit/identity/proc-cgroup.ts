/**
 * Which container a process is in, by the names alone: how the corpus asks whether the agent knows the directories of
 * each runtime. The agent itself goes by the cgroup's id, and looks at the tree.
 */
import { containerCgroupOf, type PodName, podCgroupOf, podKey } from "../../../agent/identity/cgroup-path.ts";
import { parseCgroupMounts } from "../../../agent/identity/mountinfo.ts";

/** Where a process runs. `podUid` is absent outside pods and in a static pod, whose directory has no UID. */
type ProcessPlace =
  | { readonly status: "found"; readonly podUid?: string; readonly containerId: string }
  | { readonly status: "none" }
  | { readonly status: "error"; readonly error: Error };

interface Sighting {
  readonly pod?: PodName;
  readonly containerId: string;
}

/**
 * The container of the process whose /proc/PID/cgroup and /proc/PID/mountinfo these are; undefined: not readable.
 * A process can arrange its mounts but not its cgroup, so mountinfo counts only where the cgroup names no place at all (`/`
 * in every hierarchy, as in a private cgroup namespace).
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
  return container === undefined ? undefined : { pod, containerId: container };
}

/**
 * Outside pods only the last directory counts, or the `container` that crun makes below it: a process further
 * down belongs to a system that runs in the container, as kubelet does in kind's. A bare id is a container's
 * only where a runtime keeps containers, which is neither the hierarchy's root nor among the pods.
 */
function readPathOutsidePods(names: readonly string[]): Sighting | undefined {
  const end = names.at(-1) === "container" ? -2 : -1;
  const name = names.at(end);
  const container = containerCgroupOf(name ?? "");
  if (container === undefined) return undefined;
  const isKept =
    names.at(end - 1) !== undefined && !names.some((name) => /^kubepods(?:\.slice)?$/.test(name));
  return name === container && !isKept ? undefined : { containerId: container };
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
