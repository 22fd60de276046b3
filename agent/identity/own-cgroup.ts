/** In which cgroup below the pods' this process is. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ReadDirectory } from "./cgroup-tree.ts";

/** The processes in a cgroup, as this process numbers them; 0 for those that it cannot see. */
export type ReadProcesses = (path: string) => readonly number[];

/** How far below the pods' root: a QoS directory, the pod, its container, and what a runtime puts between. */
const DEEPEST = 6;

export const readProcesses: ReadProcesses = (path) => {
  try {
    return readFileSync(join(path, "cgroup.procs"), "utf8").split("\n").filter(Boolean).map(Number);
  } catch {
    // Gone meanwhile, or a threaded one, whose processes are listed above it.
    return [];
  }
};

/**
 * The directory, or undefined: it is elsewhere. Looked for by process number, since within a cgroup namespace
 * /proc/self/cgroup does not say where that lies.
 */
export function findOwnCgroup(
  root: string,
  pid: number,
  read: ReadDirectory,
  processes: ReadProcesses = readProcesses,
  depth = DEEPEST,
): string | undefined {
  const names = read(root);
  if (depth === 0 || names instanceof Error) return undefined;
  for (const name of names) {
    const path = join(root, name);
    if (processes(path).includes(pid)) return path;
    const below = findOwnCgroup(path, pid, read, processes, depth - 1);
    if (below !== undefined) return below;
  }
  return undefined;
}
