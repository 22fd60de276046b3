/** Whether a lab has done everything its objects ask for. */
import type { Store } from "./apiserver/store.ts";
import type { Controllers } from "./controllers.ts";
import type { KubeObject, Pod } from "./kube-objects.ts";
import { READY } from "./readiness.ts";

export async function isSettled(store: Store, controllers: Controllers): Promise<boolean> {
  const seen = () =>
    controllers.hasSeen(
      store.list("pods") as KubeObject[],
      store.list("services") as KubeObject[],
      store.list("endpointslices.discovery.k8s.io") as KubeObject[],
    );
  if (!store.list("pods").every((pod) => isStable(pod as unknown as Pod)) || !seen()) return false;
  await controllers.idle();
  // Whatever the jobs have just written must have come back to them too.
  return seen();
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
