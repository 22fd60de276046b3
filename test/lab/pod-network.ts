/** A pod's network: a namespace, a veth pair whose other end is in the node's, addresses and routes. */
import { createHash } from "node:crypto";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { NODE_IPV4, NODE_IPV6, type PodAddresses } from "./addresses.ts";
import { must, run } from "./command.ts";
import type { LabNames } from "./names.ts";
import { GATEWAY_IPV4, GATEWAY_IPV6, inNetns, makeNetns } from "./node.ts";

export function podNetns(names: LabNames, uid: string): string {
  return join(names.namespaceDir, `${uid}.net`);
}

/** The veth's name in the node's namespace: the same for a pod's whole life, as interface names allow (15 bytes). */
export function hostVeth(uid: string): string {
  return `veth${createHash("sha256").update(uid).digest("hex").slice(0, 10)}`;
}

/**
 * Each pod hangs on a point-to-point link, with a /32 and a /128 and a route for each: every packet between two
 * pods is routed by the node, so that translated Service addresses are translated back, and passes both veths.
 */
export async function makePodNetwork(
  names: LabNames,
  uid: string,
  { ipv4, ipv6 }: PodAddresses,
): Promise<void> {
  const netns = podNetns(names, uid);
  const veth = hostVeth(uid);
  await makeNetns(netns);
  await must(inNetns(netns, ["sh", "-c", POD_SETTINGS]));
  await must(inNetns(names.nodeNetns, ["ip", "-batch", "-"]), {
    input: `
link add ${veth} type veth peer name eth0 netns ${netns}
addr add ${GATEWAY_IPV4}/32 dev ${veth} scope link
addr add ${GATEWAY_IPV6}/64 dev ${veth} nodad
link set ${veth} up
route add ${ipv4}/32 dev ${veth} src ${NODE_IPV4}
route add ${ipv6}/128 dev ${veth} src ${NODE_IPV6}
`,
  });
  await must(inNetns(netns, ["ip", "-batch", "-"]), {
    input: `
link set lo up
addr add ${ipv4}/32 dev eth0
addr add ${ipv6}/128 dev eth0 nodad
link set eth0 up
route add ${GATEWAY_IPV4}/32 dev eth0 scope link
route add default via ${GATEWAY_IPV4} dev eth0
route add default via ${GATEWAY_IPV6} dev eth0
`,
  });
}

const POD_SETTINGS = `
set -eu
cd /proc/sys/net/ipv6/conf
for family in all default; do echo 0 > $family/disable_ipv6; echo 0 > $family/accept_dad; done
`;

/** Removes the veth at once and lets go of the namespace; a process still in it keeps it alive, cut off. */
export async function removePodNetwork(names: LabNames, uid: string): Promise<void> {
  const netns = podNetns(names, uid);
  if (!existsSync(netns)) return;
  await run(inNetns(names.nodeNetns, ["ip", "link", "delete", hostVeth(uid)]));
  await run(["umount", "--lazy", netns]);
  rmSync(netns, { force: true });
}
