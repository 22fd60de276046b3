/** Gives every pod that has no node the only one there is. */
import { NODE_NAME } from "./addresses.ts";
import { type ApiClient, isStatus } from "./api-client.ts";
import type { Pod } from "./kube-objects.ts";

export async function schedule(client: ApiClient, pods: readonly Pod[]): Promise<void> {
  const waiting = pods.filter(
    ({ spec, metadata }) => !spec.nodeName && metadata.deletionTimestamp === undefined,
  );
  for (const { metadata } of waiting) {
    const { name, namespace } = metadata;
    const target = { apiVersion: "v1", kind: "Node", name: NODE_NAME };
    try {
      const path = `/api/v1/namespaces/${namespace}/pods/${name}/binding`;
      await client.create(path, { apiVersion: "v1", kind: "Binding", metadata: { name, namespace }, target });
    } catch (error) {
      // Bound or deleted meanwhile.
      if (!isStatus(error, 404, 409)) throw error;
    }
  }
}
