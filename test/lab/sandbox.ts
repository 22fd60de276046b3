/** What a pod's containers share: addresses, a network namespace, a cgroup. */
import { join } from "node:path";
import { type AddressPool, NODE_IPV4, NODE_IPV6, type PodAddresses } from "./addresses.ts";
import { destroyCgroup, makeCgroup } from "./cgroup.ts";
import { ensureHostsFile } from "./hosts.ts";
import type { Pod, Service } from "./kube-objects.ts";
import type { Place } from "./launch.ts";
import type { CgroupDriver, LabNames } from "./names.ts";
import { podCgroup } from "./pod-cgroup.ts";
import { makePodMounts, removePodMounts } from "./pod-mounts.ts";
import { makePodNetwork, podNetns, removePodNetwork } from "./pod-network.ts";

/** An annotation on a pod: the IPv4 address it gets, or `IPv4,IPv6`. */
export const WANTED_IP = "lab.podgate.dev/ip";

export interface SandboxHost {
  readonly names: LabNames;
  readonly driver: CgroupDriver;
  readonly addresses: AddressPool;
  /** Those there are now. */
  readonly services: () => readonly Service[];
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
  const { uid = "", namespace = "" } = pod.metadata;
  const cgroup = join(names.cgroup, podCgroup(pod, driver));
  const hostNetwork = pod.spec.hostNetwork === true;
  const pair = hostNetwork ? NODE_ADDRESSES : addresses.take(uid, pod.metadata.annotations?.[WANTED_IP]);
  const close = async () => {
    await destroyCgroup(cgroup);
    await removePodMounts(names, uid);
    await removePodNetwork(names, uid);
    addresses.release(uid);
  };
  try {
    // In kubelet's order: the pod's cgroup exists before its network.
    makeCgroup(cgroup);
    if (!hostNetwork) await makePodNetwork(names, uid, pair);
    const hosts = () => ensureHostsFile(names, host.services(), namespace);
    const mntns = seesCluster(pod) ? { mntns: await makePodMounts(names, uid, hosts()) } : {};
    const place = { netns: hostNetwork ? names.nodeNetns : podNetns(names, uid), ...mntns };
    return { ips: [pair.ipv4, pair.ipv6], cgroup, place, close };
  } catch (error) {
    await close();
    throw error;
  }
}

const NODE_ADDRESSES: PodAddresses = { ipv4: NODE_IPV4, ipv6: NODE_IPV6 };

/** A hostNetwork pod resolves names as the node does, unless it asks for the cluster's; the agent needs the node's mounts. */
function seesCluster({ spec }: Pod): boolean {
  return spec.hostNetwork !== true || spec.dnsPolicy === "ClusterFirstWithHostNet";
}
