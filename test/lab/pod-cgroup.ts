/** The paths kubelet and containerd give a pod's cgroups. */
import { join } from "node:path";
import type { Container, Pod } from "./kube-objects.ts";
import type { CgroupDriver } from "./names.ts";

export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";

/** The directory that holds the pods' directories, relative to the lab's; the agent's `--cgroup-root`. */
export function kubepodsRoot(driver: CgroupDriver): string {
  return driver === "systemd" ? "kubepods.slice" : "kubepods";
}

/** The pod's own directory, relative to the lab's. */
export function podCgroup(pod: Pod, driver: CgroupDriver): string {
  const id = cgroupId(pod);
  const tier = qosClass(pod) === "Guaranteed" ? "" : qosClass(pod).toLowerCase();
  if (driver === "cgroupfs") return join(kubepodsRoot(driver), tier, `pod${id}`);
  // systemd reads a dash in a slice's name as a step down the tree.
  const escaped = id.replaceAll("-", "_");
  const prefix = tier === "" ? "kubepods" : `kubepods-${tier}`;
  return join(kubepodsRoot(driver), tier === "" ? "" : `${prefix}.slice`, `${prefix}-pod${escaped}.slice`);
}

/** A container's directory inside the pod's. */
export function containerCgroup(containerId: string, driver: CgroupDriver): string {
  return driver === "systemd" ? `cri-containerd-${containerId}.scope` : containerId;
}

/** A static pod's cgroup is named by the hash of its file, since kubelet starts it before it has a UID. */
function cgroupId(pod: Pod): string {
  return pod.metadata.annotations?.["kubernetes.io/config.hash"] ?? pod.metadata.uid ?? "";
}

export function qosClass(pod: Pod): QosClass {
  const containers = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  if (containers.every((container) => amounts(container).length === 0)) return "BestEffort";
  return containers.every(isGuaranteed) ? "Guaranteed" : "Burstable";
}

const COUNTED = ["cpu", "memory"] as const;

function amounts({ resources }: Container): (string | number)[] {
  return COUNTED.flatMap((name) => [resources?.requests?.[name], resources?.limits?.[name]]).filter(
    (amount) => amount !== undefined,
  );
}

function isGuaranteed({ resources }: Container): boolean {
  return COUNTED.every((name) => {
    const limit = resources?.limits?.[name];
    const request = resources?.requests?.[name] ?? limit;
    return limit !== undefined && String(request) === String(limit);
  });
}
