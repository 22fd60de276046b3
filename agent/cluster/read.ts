/** One look at a cluster: every resource listed once, for commands that ask a question and end. */
import type { LocalPod } from "../model/objects.ts";
import type { Api } from "./api.ts";
import { ApiError } from "./api-error.ts";
import { isRecord } from "./fields.ts";
import { list } from "./list.ts";
import { readMetadata } from "./metadata.ts";
import { parseLocalPod } from "./parse-pod.ts";
import type { Resource } from "./reflector.ts";
import * as resources from "./resources.ts";
import type { Snapshot } from "./snapshot.ts";

/** Every pod counts as one of this node: whoever asks may ask about any of them. @throws ApiError */
export async function readSnapshot(api: Api): Promise<Snapshot> {
  const read = <T>(resource: Resource<T>) => readAll(api, resource);
  const [
    pods,
    nodes,
    namespaces,
    services,
    endpointSlices,
    referenceGrants,
    agents,
    clouds,
    policies,
    texts,
  ] = await Promise.all([
    read<LocalPod>({ ...resources.pods, parse: parseLocalPod }),
    read(resources.nodes),
    read(resources.namespaces),
    read(resources.services),
    read(resources.endpointSlices),
    read(resources.referenceGrants),
    read(resources.agentEndpoints),
    read(resources.cloudEndpoints),
    read(resources.connectionPolicies),
    read(resources.trafficPolicies),
  ]);
  return {
    pods,
    localPods: pods,
    nodes,
    namespaces: new Map(namespaces.map((each) => [each.name, each])),
    services,
    endpointSlices,
    referenceGrants,
    endpoints: [...agents, ...clouds],
    connectionPolicies: policies,
    trafficPolicies: texts,
  };
}

/** Empty where the server does not have a custom resource under any of its paths. */
async function readAll<T>(
  api: Api,
  { name, paths, custom, query, parse }: Resource<T>,
): Promise<readonly T[]> {
  const { signal } = new AbortController();
  for (const path of paths) {
    try {
      const request = { action: `list ${name}`, path, query: query ?? {}, signal };
      const { collected } = await list(api, request, () => {
        const collected: T[] = [];
        const add = (item: unknown) => {
          const metadata = readMetadata(item);
          const value = metadata && isRecord(item) ? parse(item, metadata, () => {}) : undefined;
          if (value !== undefined) collected.push(value);
        };
        return { collected, add };
      });
      return collected;
    } catch (error) {
      if (!custom || !(error instanceof ApiError) || error.status !== 404) throw error;
    }
  }
  return [];
}
