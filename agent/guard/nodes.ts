/** Which addresses are the nodes': node ports answer on every one of them. */
import type { Snapshot } from "../cluster/snapshot.ts";
import { type IpAddress, isLoopback } from "../model/address.ts";

/**
 * The addresses of every Node object and of this node's own interfaces, sorted. Loopback is left out: inside a pod it
 * is the pod itself, which is never judged.
 */
export function nodeAddresses(
  snapshot: Pick<Snapshot, "nodes">,
  ownInterfaces: readonly IpAddress[],
): IpAddress[] {
  const all = new Set([...snapshot.nodes.flatMap((node) => node.addresses), ...ownInterfaces]);
  return [...all].filter((address) => !isLoopback(address)).sort();
}
