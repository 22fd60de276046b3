/** `kubectl get pods`. */
import { arrayOr, at, isObject, stringOr } from "../json.ts";
import type { KubeObject } from "../object.ts";
import { age, ageColumn, type Column, column, nameColumn, wide } from "./column.ts";

export const podColumns: readonly Column[] = [
  nameColumn,
  column("Ready", ready),
  column("Status", status),
  column("Restarts", restarts),
  ageColumn,
  wide("IP", (pod) => stringOr(at(pod, "status.podIP")) || "<none>"),
  wide("Node", (pod) => stringOr(at(pod, "spec.nodeName")) || "<none>"),
  wide("Nominated Node", (pod) => stringOr(at(pod, "status.nominatedNodeName")) || "<none>"),
  wide("Readiness Gates", () => "<none>"),
];

const containerStatuses = (pod: KubeObject) => arrayOr(at(pod, "status.containerStatuses"));

function ready(pod: KubeObject): string {
  const count = containerStatuses(pod).filter((container) => at(container, "ready") === true).length;
  return `${count}/${arrayOr(at(pod, "spec.containers")).length}`;
}

/** The most telling of phase, reason and what the containers wait for or ended with. */
function status(pod: KubeObject): string {
  const phase = stringOr(at(pod, "status.reason")) || stringOr(at(pod, "status.phase")) || "Unknown";
  if (pod.metadata.deletionTimestamp !== undefined) return "Terminating";
  const initialising = arrayOr(at(pod, "status.initContainerStatuses")).findIndex(
    (container) => at(container, "state.terminated.exitCode") !== 0,
  );
  if (initialising >= 0) {
    return `Init:${initialising}/${arrayOr(at(pod, "spec.initContainers")).length}`;
  }
  const reasons = containerStatuses(pod).map(containerReason);
  const reason = reasons.find((text) => text !== "") ?? "";
  // A container that completed beside one that runs does not make the pod completed.
  const runs = containerStatuses(pod).some((container) => isObject(at(container, "state.running")));
  return reason === "" || (reason === "Completed" && runs) ? phase : reason;
}

function containerReason(container: unknown): string {
  const waiting = stringOr(at(container, "state.waiting.reason"));
  if (waiting !== "") return waiting;
  const terminated = at(container, "state.terminated");
  if (!isObject(terminated)) return "";
  const signal = terminated.signal;
  return stringOr(terminated.reason) || (signal ? `Signal:${signal}` : `ExitCode:${terminated.exitCode}`);
}

function restarts(pod: KubeObject, now: number): string {
  const counts = containerStatuses(pod).map((container) => Number(at(container, "restartCount") ?? 0));
  const total = counts.reduce((sum, count) => sum + count, 0);
  const ends = containerStatuses(pod).map((container) =>
    stringOr(at(container, "lastState.terminated.finishedAt")),
  );
  const last = ends
    .filter((time) => time !== "")
    .sort()
    .at(-1);
  return total > 0 && last !== undefined ? `${total} (${age(last, now)} ago)` : String(total);
}
