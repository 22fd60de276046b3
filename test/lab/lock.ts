/** Who runs a lab: one process at a time. */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import type { LabNames } from "./names.ts";

export interface Owner {
  readonly pid: number;
  /** Clock ticks since boot at which it started: the pid may be another process's by now. */
  readonly startTime: string;
  /** Set by `up`: others may send it SIGTERM. */
  readonly daemon: boolean;
  /** Options of `up` that hold from the start to the end. */
  readonly flags?: readonly string[];
  readonly url?: string;
}

/** The process that runs the lab now; undefined if none does, though it may have left things behind. */
export function liveOwner(names: LabNames): Owner | undefined {
  const owner = readOwner(names);
  return owner !== undefined && isAlive(owner) ? owner : undefined;
}

/** Whether that very process still runs, though its lab may be gone. */
export function isAlive({ pid, startTime: started }: Owner): boolean {
  return startTime(pid) === started;
}

export function claim(names: LabNames, facts: Omit<Owner, "pid" | "startTime">): void {
  const owner: Owner = { pid: process.pid, startTime: startTime(process.pid) ?? "", ...facts };
  // Never half written: who cannot read it takes the lab for dead.
  writeFileSync(`${names.ownerFile}.new`, JSON.stringify(owner), { mode: 0o600 });
  renameSync(`${names.ownerFile}.new`, names.ownerFile);
}

function readOwner(names: LabNames): Owner | undefined {
  try {
    return JSON.parse(readFileSync(names.ownerFile, "utf8")) as Owner;
  } catch {
    return undefined;
  }
}

/** Field 22 of /proc/PID/stat; the second field, a name in brackets, may hold anything. Undefined if there is no such process. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // A zombie has ended; its parent has not looked yet.
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
