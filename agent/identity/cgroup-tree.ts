/** Finds, in the cgroup v2 tree, the directory that holds the pods' directories, and those of the pods. */
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { containerCgroupOf, type PodName, podCgroupOf } from "./cgroup-path.ts";

/** The names of the directories in a directory, in any order; an Error with the errno's name as `code`. */
export type ReadDirectory = (path: string) => readonly string[] | Error;

export const readDirectory: ReadDirectory = (path) => {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? entry.name : [],
    );
  } catch (error) {
    return error as Error;
  }
};

export interface KubepodsRoot {
  readonly path: string;
  readonly driver: "systemd" | "cgroupfs";
}

export type PodCgroup = PodName & { readonly path: string; readonly name: string };

/** kubelet's --cgroup-root: none, kind's `/kubelet`, a runtime slice of its own, Docker Desktop's. */
const LAYOUTS = [
  "kubepods.slice",
  "kubepods",
  "kubelet.slice/kubelet-kubepods.slice",
  "kubelet/kubepods",
  "podruntime.slice/podruntime-kubepods.slice",
  "podruntime/kubepods",
  "kubepods/kubepods",
];

/** Where container engines put kind's and minikube's nodes. Not below user.slice: users make directories there. */
const CONTAINER_PARENTS = ["docker", "libpod_parent", "system.slice", "machine.slice"];

/**
 * The kubepods root below a cgroup v2 mount. A node that is itself a container is looked for only where the tree
 * has no root of its own. Of several, the only one with pods in it is meant (a change of kubelet's driver leaves
 * the other behind); which of two with pods is not guessed.
 */
export function findKubepodsRoot(cgroupMount: string, read: ReadDirectory): KubepodsRoot | Error {
  for (const search of [[cgroupMount], nodeContainers(cgroupMount, read)]) {
    const roots: { readonly path: string; readonly isUsed: boolean }[] = [];
    for (const path of search.flatMap((base) => LAYOUTS.map((layout) => join(base, layout)))) {
      const pods = listPodCgroups(path, read);
      if (!(pods instanceof Error)) roots.push({ path, isUsed: pods.length > 0 });
      else if (!isMissing(pods))
        return new Error(`find the kubepods cgroup: ${pods.message}`, { cause: pods });
    }
    const used = roots.filter(({ isUsed }) => isUsed);
    const [root, ...rivals] = used.length > 0 ? used : withoutOuter(roots);
    if (root !== undefined && rivals.length === 0) return { path: root.path, driver: driverOf(root.path) };
    if (root !== undefined) {
      return failed(`${[root, ...rivals].map(({ path }) => path).join(" and ")} may each be it`);
    }
  }
  return failed(`${cgroupMount} has none of ${LAYOUTS.join(", ")}, nor has a container below it`);
}

/** The directories of pods directly under the root or under its QoS directories. Deeper ones are the pods' own. */
export function listPodCgroups(root: string, read: ReadDirectory): readonly PodCgroup[] | Error {
  const pods: PodCgroup[] = [];
  for (const parent of [root, ...qosDirectories(root)]) {
    const names = read(parent);
    if (names instanceof Error) {
      // kubelet makes the QoS directories when it starts; before that there is nothing in them.
      if (parent !== root && isMissing(names)) continue;
      return new Error(`list pods in ${parent}: ${errorName(names)}`, { cause: names });
    }
    for (const name of names) {
      const pod = podCgroupOf(name);
      if (pod !== undefined && isChildName(parent, name))
        pods.push({ ...pod, path: join(parent, name), name });
    }
  }
  return pods;
}

function qosDirectories(root: string): string[] {
  const names = ["besteffort", "burstable"];
  const stem = sliceStem(root);
  return names.map((name) => join(root, stem === undefined ? name : `${stem}-${name}.slice`));
}

/** systemd names a slice by its way down the tree, so a slice of another parent's name is not kubelet's. */
function isChildName(parent: string, name: string): boolean {
  const stem = sliceStem(parent);
  return stem === undefined || !name.endsWith(".slice") || name.startsWith(`${stem}-pod`);
}

function sliceStem(path: string): string | undefined {
  return /^(.+)\.slice$/.exec(basename(path))?.[1];
}

function driverOf(root: string): KubepodsRoot["driver"] {
  return sliceStem(root) === undefined ? "cgroupfs" : "systemd";
}

/** Directories of containers that can be nodes. What vanishes or cannot be read is no node's. */
function nodeContainers(cgroupMount: string, read: ReadDirectory): string[] {
  return CONTAINER_PARENTS.flatMap((parent) => {
    const names = read(join(cgroupMount, parent));
    const containers =
      names instanceof Error ? [] : names.filter((name) => containerCgroupOf(name) !== undefined);
    // crun makes a `container` below the directory that podman asked for.
    return containers.flatMap((name) => [
      join(cgroupMount, parent, name),
      join(cgroupMount, parent, name, "container"),
    ]);
  });
}

/** Docker Desktop's root is within a directory that has a root's name itself. */
function withoutOuter<T extends { readonly path: string }>(roots: readonly T[]): T[] {
  return roots.filter(({ path }) => !roots.some((inner) => inner.path.startsWith(`${path}/`)));
}

function failed(why: string): Error {
  return new Error(
    `find the kubepods cgroup: ${why}: pass --cgroup-root with the directory that holds the pods' directories`,
  );
}

function isMissing(error: Error): boolean {
  const code = errorName(error);
  return code === "ENOENT" || code === "ENOTDIR";
}

/** The errno's name, of the error or of its cause. */
function errorName(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  return code ?? (error.cause instanceof Error ? errorName(error.cause) : error.message);
}
