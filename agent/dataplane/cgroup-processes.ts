/** Which processes are in a cgroup and those below it, read while pods come and go: what is gone is empty. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * The directory and those below it, the upper ones first, so that what a container makes comes after what was made for it;
 * `most` of them. One is read when it is asked for.
 */
export function* cgroupsBelow(directory: string, most = Number.POSITIVE_INFINITY): Generator<string> {
  const queue = [directory];
  for (const path of queue) {
    yield path;
    if (queue.length < most) queue.push(...cgroupsIn(path).slice(0, most - queue.length));
  }
}

/** The directories directly in one. */
export function cgroupsIn(directory: string): string[] {
  const entries = goneIsEmpty(() => readdirSync(directory, { withFileTypes: true }));
  return entries.flatMap((entry) => (entry.isDirectory() ? join(directory, entry.name) : []));
}

/** As this process's PID namespace numbers them; those that it does not show are left out. */
export function processesIn(directory: string): number[] {
  const lines = goneIsEmpty(() => readFileSync(join(directory, "cgroup.procs"), "utf8").split("\n"));
  return lines.map(Number).filter((pid) => pid > 0);
}

/** ENOENT, or ENODEV while the directory is going. A threaded cgroup's processes are listed above it: EOPNOTSUPP. */
function goneIsEmpty<T>(read: () => T[]): T[] {
  try {
    return read();
  } catch (error) {
    if (["ENOENT", "ENODEV", "ENOTSUP", "EOPNOTSUPP"].includes((error as NodeJS.ErrnoException).code ?? ""))
      return [];
    throw error;
  }
}
