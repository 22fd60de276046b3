/** In which of the pods' cgroups this process itself runs. */
import { cgroupsBelow, processesIn } from "./cgroup-processes.ts";

/**
 * The directory below `root` that holds the process; undefined if none does. Looked for, not read from /proc/self/cgroup,
 * which a cgroup namespace falsifies. `pid` as this process's PID namespace has it, as `cgroup.procs` then does.
 */
export function ownCgroup(root: string, pid: number = process.pid): string | undefined {
  return cgroupsBelow(root).find((path) => path !== root && processesIn(path).includes(pid));
}
