/** What every cluster has before anybody has made anything. */
import type { Store } from "./store.ts";

export function clusterBasics(store: Store): void {
  for (const name of ["default", "kube-system", "kube-public", "kube-node-lease"]) {
    store.create("namespaces", { metadata: { name } });
  }
}
