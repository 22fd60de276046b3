/** The names of everything a lab makes on the machine. All of it carries the lab's name, so it can be found and removed. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export const DEFAULT_LAB = "podgate-lab";

/** How kubelet arranges pods' cgroups; its `--cgroup-driver`. */
export type CgroupDriver = "systemd" | "cgroupfs";
export const DEFAULT_DRIVER: CgroupDriver = "systemd";

export interface LabNames {
  /** `podgate-lab` or `podgate-lab-<suffix>`. */
  readonly name: string;
  /** Holds every file and mount of the lab. */
  readonly runDir: string;
  /** Network and mount namespaces, bind-mounted as files. A mount itself, so that a pod can let go of all at once. */
  readonly namespaceDir: string;
  readonly nodeNetns: string;
  /** A bpffs of the lab's own; the agent's `--pin-path`. */
  readonly pinDir: string;
  /** The agent's `--state-dir`. */
  readonly stateDir: string;
  /** The agent's `--broker-socket`. */
  readonly brokerSocket: string;
  readonly logDir: string;
  /** One record a running pod, `<namespace>/<name>.json`: what `exec` needs. */
  readonly podDir: string;
  /** One hosts file a namespace: how pods resolve Services. */
  readonly hostsDir: string;
  readonly kubeconfig: string;
  /** Who runs the lab; see lock.ts. */
  readonly ownerFile: string;
  readonly daemonLog: string;
  /** The lab's directory under the cgroup2 mount. */
  readonly cgroup: string;
  /** The nftables table in the node's namespace. */
  readonly table: string;
}

/** `name` is a whole lab name or what follows `podgate-lab-`. */
export function labNames(name: string = DEFAULT_LAB, cgroup2: string = cgroup2Mount()): LabNames {
  const full = name === DEFAULT_LAB || name.startsWith(`${DEFAULT_LAB}-`) ? name : `${DEFAULT_LAB}-${name}`;
  // The name becomes a directory that `down` removes: nothing but a lab's own can be meant.
  if (!isLabName(full)) {
    throw new Error(
      `name a lab ${JSON.stringify(name)}: use lower-case letters, digits and single dashes, 36 at most`,
    );
  }
  const runDir = `/run/${full}`;
  return {
    name: full,
    runDir,
    namespaceDir: join(runDir, "ns"),
    nodeNetns: join(runDir, "ns", "node.net"),
    pinDir: join(runDir, "bpf"),
    stateDir: join(runDir, "state"),
    brokerSocket: join(runDir, "broker.sock"),
    logDir: join(runDir, "logs"),
    podDir: join(runDir, "pods"),
    hostsDir: join(runDir, "hosts"),
    kubeconfig: join(runDir, "kubeconfig"),
    ownerFile: join(runDir, "owner.json"),
    daemonLog: join(runDir, "daemon.log"),
    cgroup: join(cgroup2, full),
    table: full,
  };
}

export function isLabName(name: string): boolean {
  return /^podgate-lab(-[a-z0-9]+)*$/.test(name) && name.length <= 48;
}

/** Where cgroup v2 is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified beside v1. */
export function cgroup2Mount(mountinfo: string = readFileSync("/proc/self/mountinfo", "utf8")): string {
  for (const line of mountinfo.split("\n")) {
    const [mount, filesystem] = line.split(" - ");
    if (filesystem?.startsWith("cgroup2 ")) return mount?.split(" ")[4] ?? "";
  }
  throw new Error(
    "find cgroup v2: no cgroup2 file system is mounted; boot with systemd.unified_cgroup_hierarchy=1",
  );
}
