/** What kubelet says of a pod: phase, addresses and conditions from the state of its containers. */
import type { Condition, ContainerStatus, Phase, Pod, PodStatus } from "./kube-objects.ts";
import { qosClass } from "./pod-cgroup.ts";

export interface PodState {
  readonly pod: Pod;
  /** Empty until the pod has a network; kept when the pod has ended. */
  readonly ips: readonly string[];
  readonly hostIps: readonly string[];
  readonly startTime: string;
  readonly initialized: boolean;
  /** Every container has ended for good. */
  readonly finished: boolean;
  readonly containers: readonly ContainerStatus[];
  readonly initContainers: readonly ContainerStatus[];
  /** Condition times are kept from here where nothing changed. */
  readonly before: readonly Condition[];
  readonly now: string;
}

export function podStatus(state: PodState): PodStatus {
  const { ips, hostIps, containers, initContainers } = state;
  const list = (addresses: readonly string[]) => addresses.map((ip) => ({ ip }));
  return {
    phase: phase(state),
    startTime: state.startTime,
    qosClass: qosClass(state.pod),
    hostIP: hostIps[0] ?? "",
    hostIPs: list(hostIps),
    ...(ips[0] === undefined ? {} : { podIP: ips[0], podIPs: list(ips) }),
    conditions: conditions(state),
    containerStatuses: [...containers],
    ...(initContainers.length === 0 ? {} : { initContainerStatuses: [...initContainers] }),
  };
}

function phase({ finished, initialized, containers, initContainers }: PodState): Phase {
  if (finished) {
    const all = [...initContainers, ...containers];
    return all.every(({ state }) => state.terminated?.exitCode === 0) ? "Succeeded" : "Failed";
  }
  const begun = containers.every(
    ({ state, lastState }) => state.waiting === undefined || lastState.terminated,
  );
  return initialized && begun ? "Running" : "Pending";
}

function conditions(state: PodState): Condition[] {
  const ready =
    !state.finished && state.initialized && state.containers.every((container) => container.ready);
  const reason = state.finished ? "PodCompleted" : "ContainersNotReady";
  const build = (type: string, holds: boolean, why: string): Condition => {
    const status = holds ? "True" : "False";
    const before = state.before.find((condition) => condition.type === type && condition.status === status);
    const lastTransitionTime = before?.lastTransitionTime ?? state.now;
    return { type, status, ...(holds ? {} : { reason: why }), lastTransitionTime };
  };
  return [
    build("PodScheduled", true, ""),
    build("Initialized", state.initialized, "ContainersNotInitialized"),
    build("ContainersReady", ready, reason),
    build("Ready", ready, reason),
  ];
}
