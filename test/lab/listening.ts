/** Which TCP ports somebody listens on in a network namespace, without connecting to them. */
import { readFileSync, statSync } from "node:fs";

const LISTEN = "0A";

/** `pid` is a process that is in the namespace at `netns`, or on its way there: then nothing listens yet. */
export function listeningPorts(pid: number, netns: string): ReadonlySet<number> {
  if (!isInside(pid, netns)) return new Set();
  return new Set(["tcp", "tcp6"].flatMap((table) => listeningIn(readTable(pid, table))));
}

/** Lines are `slot: local:port remote:port state ...` in hexadecimal. */
function listeningIn(table: string): number[] {
  return table
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[3] === LISTEN)
    .map((columns) => Number.parseInt(columns[1]?.split(":")[1] ?? "", 16));
}

function isInside(pid: number, netns: string): boolean {
  try {
    return statSync(`/proc/${pid}/ns/net`).ino === statSync(netns).ino;
  } catch {
    return false;
  }
}

/** Of a process that has ended: nothing listens. */
function readTable(pid: number, table: string): string {
  try {
    return readFileSync(`/proc/${pid}/net/${table}`, "utf8");
  } catch {
    return "";
  }
}
