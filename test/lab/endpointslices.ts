/** Keeps the EndpointSlices of Services with selectors as they should be; others' slices are left alone. */
import { isDeepStrictEqual } from "node:util";
import { type ApiClient, isStatus } from "./api-client.ts";
import { type EndpointSlice, keyOf, type Pod, type Service } from "./kube-objects.ts";
import { desiredSlices, MANAGED_BY } from "./slices.ts";

const LABEL = "endpointslice.kubernetes.io/managed-by";

export async function syncEndpointSlices(
  client: ApiClient,
  services: readonly Service[],
  pods: readonly Pod[],
  existing: readonly EndpointSlice[],
): Promise<void> {
  const have = new Map(existing.filter(isOurs).map((slice) => [keyOf(slice), slice]));
  const want = new Map(desiredSlices(services, pods).map((slice) => [keyOf(slice), slice]));
  for (const [key, slice] of want) await put(client, slice, have.get(key));
  for (const [key, slice] of have) if (!want.has(key)) await remove(client, slice);
}

function isOurs({ metadata }: EndpointSlice): boolean {
  return metadata.labels?.[LABEL] === MANAGED_BY;
}

async function put(client: ApiClient, want: EndpointSlice, have: EndpointSlice | undefined): Promise<void> {
  if (have !== undefined && isSame(want, have)) return;
  try {
    if (have === undefined) await client.create(collection(want), want);
    else await client.replace(`${collection(want)}/${want.metadata.name}`, want);
  } catch (error) {
    // Created, deleted or its namespace gone since we looked: the event of that brings us here again.
    if (!isStatus(error, 403, 404, 409)) throw error;
  }
}

async function remove(client: ApiClient, { metadata, ...slice }: EndpointSlice): Promise<void> {
  const { uid = "" } = metadata;
  try {
    await client.delete(`${collection({ metadata, ...slice })}/${metadata.name}`, { uid });
  } catch (error) {
    if (!isStatus(error, 404, 409)) throw error;
  }
}

function isSame(want: EndpointSlice, have: EndpointSlice): boolean {
  return (
    isDeepStrictEqual(want.endpoints ?? [], have.endpoints ?? []) &&
    isDeepStrictEqual(want.ports ?? [], have.ports ?? []) &&
    isDeepStrictEqual(want.metadata.labels, have.metadata.labels)
  );
}

function collection({ metadata }: Pick<EndpointSlice, "metadata">): string {
  return `/apis/discovery.k8s.io/v1/namespaces/${metadata.namespace}/endpointslices`;
}
