/** In which of the pods' cgroups this process itself runs. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * The directory below `root` that holds the process; undefined if none does. Looked for, not read from /proc/self/cgroup,
 * which a cgroup namespace falsifies. `pid` as this process's PID namespace has it, as `cgroup.procs` then does.
 */
export function ownCgroup(root: string, pid: number = process.pid): string | undefined {
  for (const directory of directories(root)) {
    const path = join(root, directory);
    if (holds(path, pid)) return path;
    const below = ownCgroup(path, pid);
    if (below !== undefined) return below;
  }
  return undefined;
}

function holds(path: string, pid: number): boolean {
  return goneIsEmpty(() => readFileSync(join(path, "cgroup.procs"), "utf8").split("\n")).includes(
    String(pid),
  );
}

function directories(path: string): string[] {
  return goneIsEmpty(() =>
    readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name),
  );
}

/** Pods end while one looks: ENOENT, or ENODEV while the directory is going. A threaded cgroup has no list: EOPNOTSUPP. */
function goneIsEmpty(read: () => string[]): string[] {
  try {
    return read();
  } catch (error) {
    if (["ENOENT", "ENODEV", "ENOTSUP", "EOPNOTSUPP"].includes((error as NodeJS.ErrnoException).code ?? ""))
      return [];
    throw error;
  }
}
