/** What every cluster has before anybody has made anything. */
import type { Store } from "./store.ts";

export function clusterBasics(store: Store): void {
  for (const name of ["default", "kube-system", "kube-public", "kube-node-lease"]) {
    store.create("namespaces", { metadata: { name } });
  }
  const labels = { component: "apiserver", provider: "kubernetes" };
  store.create("services", {
    metadata: { name: "kubernetes", namespace: "default", labels },
    spec: {
      clusterIP: store.serviceAddresses.ranges[0]?.first,
      ports: [{ name: "https", port: 443, targetPort: 6443 }],
    },
  });
}
