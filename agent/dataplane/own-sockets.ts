/** The sockets that this process has, wherever they were made: in a pod's namespace they are the proxy's, not the pod's. */
import { readdirSync, readlinkSync } from "node:fs";

/** Their inodes, as sock_diag shows them. Takes some 2 us for each descriptor. */
export function ownSockets(directory = "/proc/self/fd"): ReadonlySet<bigint> {
  const inodes = new Set<bigint>();
  for (const name of readdirSync(directory)) {
    const [, inode] = /^socket:\[(\d+)\]$/.exec(target(`${directory}/${name}`)) ?? [];
    if (inode !== undefined) inodes.add(BigInt(inode));
  }
  return inodes;
}

/** "" for one that has been closed meanwhile. */
function target(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
