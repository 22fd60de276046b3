/** The part of metadata that the server alone decides. */
import { randomUUID } from "node:crypto";
import { clone, equal, omit } from "./json.ts";
import { type KubeObject, type Metadata, type ObjectInput, timestamp } from "./object.ts";
import { apiVersion, hasSubresource, type Resource } from "./resource.ts";
import { type Cause, invalid, invalidValue, required } from "./status.ts";

/** A new object from what its writer sent: nothing it says about times, versions or deletion is believed. */
export function newObject(
  resource: Resource,
  input: ObjectInput,
  namespace: string | undefined,
  now: number,
): KubeObject {
  const { metadata, ...rest } = clone(input);
  const name = metadata.name || (metadata.generateName ? metadata.generateName + suffix() : "");
  const causes = checkName(resource, name);
  if (causes.length > 0) throw invalid({ group: resource.group, kind: resource.kind, name }, causes);
  const stamped: Metadata = {
    ...metadata,
    name,
    ...(namespace === undefined ? {} : { namespace }),
    uid: metadata.uid || randomUUID(),
    creationTimestamp: timestamp(now),
    resourceVersion: "",
    ...(resource.generation ? { generation: 1 } : {}),
  };
  delete stamped.deletionTimestamp;
  delete stamped.deletionGracePeriodSeconds;
  return { ...rest, apiVersion: writtenVersion(resource, input), kind: resource.kind, metadata: stamped };
}

export function preferredVersion(resource: Resource): string {
  return apiVersion(resource.group, resource.versions[0]?.name ?? "");
}

function writtenVersion(resource: Resource, { apiVersion: written }: ObjectInput): string {
  const served = resource.versions.map(({ name }) => apiVersion(resource.group, name));
  return served.find((version) => version === written) ?? preferredVersion(resource);
}

/** Five characters that spell no words, as generateName appends them. */
function suffix(): string {
  const alphabet = "bcdfghjklmnpqrstvwxz2456789";
  return Array.from({ length: 5 }, () => alphabet[Math.floor(Math.random() * alphabet.length)]).join("");
}

const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

function checkName(resource: Resource, name: string): Cause[] {
  if (name === "") return [required("metadata.name", "name or generateName is required")];
  const isLabel = resource.plural === "services" || resource.plural === "namespaces";
  if (isLabel ? label.test(name) && name.length <= 63 : subdomain.test(name) && name.length <= 253) return [];
  const what = isLabel ? "RFC 1123 label" : "RFC 1123 subdomain";
  const why = `a lowercase ${what} must consist of lower case alphanumeric characters, '-'${isLabel ? "" : " or '.'"}`;
  return [
    invalidValue("metadata.name", name, `${why}, and must start and end with an alphanumeric character`),
  ];
}

/**
 * `input` as the next state of `current`. A write to the status subresource changes nothing but the status, any
 * other nothing of it.
 */
export function nextObject(
  resource: Resource,
  current: KubeObject,
  input: ObjectInput,
  subresource: "status" | undefined,
): KubeObject {
  if (subresource === "status") return withStatus(clone(current), input.status);
  const next = clone(input);
  const { metadata } = next;
  const kept: Partial<Metadata> = omit(
    { ...current.metadata },
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
  );
  const merged: Metadata = { ...current.metadata, ...metadata, ...kept };
  for (const field of ["labels", "annotations", "finalizers", "ownerReferences"] as const) {
    if (metadata[field] === undefined) delete merged[field];
  }
  if (metadata.managedFields !== undefined) merged.managedFields = metadata.managedFields;
  const object: KubeObject = {
    ...next,
    apiVersion: current.apiVersion,
    kind: current.kind,
    metadata: merged,
  };
  const own = hasSubresource(resource, "status") ? withStatus(object, current.status) : object;
  if (resource.generation && !equal(desired(own), desired(current))) {
    own.metadata.generation = (current.metadata.generation ?? 0) + 1;
  }
  return own;
}

function withStatus(object: KubeObject, status: unknown): KubeObject {
  if (status === undefined) delete object.status;
  else object.status = clone(status);
  return object;
}

function desired(object: KubeObject): unknown {
  return omit(object, "apiVersion", "metadata", "status");
}
