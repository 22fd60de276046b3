/** What a pod's containers share: addresses, a network namespace, a cgroup. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type AddressPool, NODE_IPV4, NODE_IPV6 } from "./addresses.ts";
import { destroyCgroup, makeCgroup } from "./cgroup.ts";
import { ensureHostsFile } from "./hosts.ts";
import type { Pod } from "./kube-objects.ts";
import type { Place } from "./launch.ts";
import type { CgroupDriver, LabNames } from "./names.ts";
import { podCgroup } from "./pod-cgroup.ts";
import { makePodNetwork, podNetns, removePodNetwork } from "./pod-network.ts";

/** An annotation on a pod: the IPv4 address it gets, or `IPv4,IPv6`. */
export const WANTED_IP = "lab.podgate.dev/ip";

export interface SandboxHost {
  readonly names: LabNames;
  readonly driver: CgroupDriver;
  readonly addresses: AddressPool;
}

/** Owns the pod's cgroup, network namespace and addresses until `close`. */
export interface Sandbox {
  readonly ips: readonly string[];
  /** The pod's directory in the cgroup2 tree. */
  readonly cgroup: string;
  readonly place: Omit<Place, "cgroup">;
  close(): Promise<void>;
}

/** Throws while another pod has the address that this one asks for. */
export async function openSandbox(host: SandboxHost, pod: Pod): Promise<Sandbox> {
  const { names, driver, addresses } = host;
  const uid = pod.metadata.uid ?? "";
  const cgroup = join(names.cgroup, podCgroup(pod, driver));
  if (pod.spec.hostNetwork) {
    makeCgroup(cgroup);
    const place = { netns: names.nodeNetns, ...viewOf(names, pod) };
    return { ips: [NODE_IPV4, NODE_IPV6], cgroup, place, close: () => destroyCgroup(cgroup) };
  }
  const pair = addresses.take(uid, pod.metadata.annotations?.[WANTED_IP]);
  const close = async () => {
    await destroyCgroup(cgroup);
    await removePodNetwork(names, uid);
    addresses.release(uid);
  };
  try {
    // In kubelet's order: the pod's cgroup exists before its network.
    makeCgroup(cgroup);
    await makePodNetwork(names, uid, pair);
  } catch (error) {
    await close();
    throw error;
  }
  const place = { netns: podNetns(names, uid), ...viewOf(names, pod) };
  return { ips: [pair.ipv4, pair.ipv6], cgroup, place, close };
}

/** The mounts a pod sees. A hostNetwork pod resolves names as the node does, unless it asks for the cluster's. */
function viewOf(names: LabNames, pod: Pod): Pick<Place, "hosts" | "hide"> {
  if (pod.spec.hostNetwork && pod.spec.dnsPolicy !== "ClusterFirstWithHostNet") return { hide: [] };
  mkdirSync(names.hostsDir, { recursive: true });
  const hosts = ensureHostsFile(names, pod.metadata.namespace ?? "");
  return { hosts, hide: [names.netnsDir, names.pinDir] };
}
