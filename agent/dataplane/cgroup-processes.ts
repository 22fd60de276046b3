/** Which processes are in a cgroup and those below it, read while pods come and go: what is gone is empty. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The directory and all below it, each before those it holds. One is read when it is asked for. */
export function* cgroupsBelow(directory: string): Generator<string> {
  yield directory;
  const entries = goneIsEmpty(() => readdirSync(directory, { withFileTypes: true }));
  const names = entries.flatMap((entry) => (entry.isDirectory() ? entry.name : []));
  for (const name of names) yield* cgroupsBelow(join(directory, name));
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
