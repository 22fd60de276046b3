/** The lab's node: a network namespace that routes between its pods. The machine's own network stays as it is. */
import { closeSync, mkdirSync, openSync } from "node:fs";
import { NODE_IPV4, NODE_IPV6 } from "./addresses.ts";
import { must } from "./command.ts";
import type { LabNames } from "./names.ts";

/** What every pod sees as its next hop. */
export const GATEWAY_IPV4 = "169.254.1.1";
export const GATEWAY_IPV6 = "fe80::1";

/**
 * The uplink is a veth whose other end nobody reads: the node has a default route, as nodes have (a Service
 * address needs one before it is translated), and what would leave is refused by the ruleset in nft-ruleset.ts.
 */
const SETTINGS = `
set -eu
cd /proc/sys/net
echo 1 > ipv4/ip_forward
# A hostNetwork program may dial 127.0.0.1:<node port>.
echo 1 > ipv4/conf/all/route_localnet
for family in all default; do
  echo 0 > ipv6/conf/$family/disable_ipv6
  echo 0 > ipv6/conf/$family/accept_dad
  echo 0 > ipv4/conf/$family/rp_filter
  echo 0 > ipv4/conf/$family/send_redirects
done
echo 1 > ipv6/conf/all/forwarding
# The gateway's link-local address is the only one a pod's veth needs.
echo 1 > ipv6/conf/default/addr_gen_mode
`;

const LINKS = `
link set lo up
link add eth0 type veth peer name uplink
addr add ${NODE_IPV4}/32 dev eth0
addr add ${NODE_IPV6}/128 dev eth0 nodad
link set eth0 up
link set uplink up
route add default dev eth0 src ${NODE_IPV4}
route add ::/0 dev eth0 src ${NODE_IPV6}
`;

export async function makeNode(names: LabNames): Promise<void> {
  await makeNetns(names.nodeNetns);
  await must(inNetns(names.nodeNetns, ["sh", "-c", SETTINGS]));
  await must(inNetns(names.nodeNetns, ["ip", "-batch", "-"]), { input: LINKS });
}

/** Makes a network namespace and keeps it at `path`. */
export async function makeNetns(path: string): Promise<void> {
  closeSync(openSync(path, "wx"));
  await must(["unshare", `--net=${path}`, "true"]);
}

/** The namespaces' directory: a mount of its own that others never see changes of. */
export async function makeNamespaceDir(names: LabNames): Promise<void> {
  mkdirSync(names.namespaceDir, { recursive: true });
  await must(["mount", "--bind", names.namespaceDir, names.namespaceDir]);
  await must(["mount", "--make-private", names.namespaceDir]);
}

/** `ip netns exec` would hide bpffs behind a new /sys; nsenter changes the network namespace alone. */
export function inNetns(path: string, argv: readonly string[]): string[] {
  return ["nsenter", `--net=${path}`, "--", ...argv];
}
