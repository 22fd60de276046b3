/**
 * The node's own network namespace, of which nobody gets to see or end anything but what one pod has made: the kernel notes
 * on each socket in which cgroup that was. What is of the node, of the kubelet, of another pod or ours is out of reach.
 */
import { cgroupsBelow, processesIn } from "../dataplane/cgroup-processes.ts";
import type { Native, Netns } from "../dataplane/native.ts";

/** Of one pod. Those that the kubelet and the runtime make come first. */
const MOST_DIRECTORIES = 1024;

export class NodeNamespace {
  readonly netns: Netns;
  readonly #cgroupId: Native["cgroupId"];

  /** @throws Error where this process may not enter namespaces. */
  constructor(native: Pick<Native, "Netns" | "cgroupId">) {
    this.netns = native.Netns.open("/proc/self/ns/net");
    this.#cgroupId = native.cgroupId;
  }

  /** The ids of a pod's directory and of those below it; none of the pod that this process is in. */
  cgroupsOf(directory: string): BigUint64Array {
    const ids: bigint[] = [];
    for (const path of cgroupsBelow(directory, MOST_DIRECTORIES)) {
      if (processesIn(path).includes(process.pid)) return new BigUint64Array();
      try {
        ids.push(this.#cgroupId(path));
      } catch (error) {
        // Gone, while one looks.
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      }
    }
    return BigUint64Array.from(ids);
  }

  close(): void {
    this.netns.close();
  }
}
