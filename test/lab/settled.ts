/** Whether a lab has done everything its objects ask for. */
import type { Store } from "./apiserver/store.ts";
import type { Controllers } from "./controllers.ts";
import type { KubeObject, Pod } from "./kube-objects.ts";
import { READY } from "./readiness.ts";

/** Whatever a job writes changes the store first, so that it has not been seen until it comes back. */
export function isSettled(store: Store, controllers: Controllers): boolean {
  const seen = controllers.hasSeen(
    store.list("pods"),
    store.list("services"),
    store.list("endpointslices.discovery.k8s.io"),
  );
  return seen && controllers.isIdle && store.list("pods").every((pod) => isStable(pod as unknown as Pod));
}

/** Ready, ended, or kept from being ready on purpose. */
export function isStable(pod: Pod): boolean {
  const { phase, conditions = [] } = pod.status ?? {};
  if (pod.metadata.deletionTimestamp !== undefined) return false;
  if (phase === "Succeeded" || phase === "Failed") return true;
  if (phase === "Running" && pod.metadata.annotations?.[READY] === "false") return true;
  return conditions.some(({ type, status }) => type === "Ready" && status === "True");
}

/** For messages: where a pod stands. */
export function podState(object: KubeObject): string {
  const { metadata, status } = object as Pod;
  const states = (status?.containerStatuses ?? []).map(({ name, state, ready }) => {
    const [kind = "", facts] = Object.entries(state)[0] ?? [];
    const { reason = "", message = "" } = (facts ?? {}) as { reason?: string; message?: string };
    return [name, kind, reason, message, ready ? "ready" : "not ready"].filter(Boolean).join(" ");
  });
  return `${metadata.namespace}/${metadata.name} ${status?.phase ?? "Pending"} (${states.join(", ")})`;
}
