/** What has to hold before an object is made, changed or deleted, whatever its kind. */
import type { KubeObject, ObjectInput } from "./object.ts";
import { badRequest, conflict, forbidden, type Subject } from "./status.ts";

/** Throws 409 or 400 unless `input` is meant for `current` and was made from its present state. */
export function checkUpdate(subject: Subject, { metadata: current }: KubeObject, input: ObjectInput): void {
  const { name, namespace, uid, resourceVersion } = input.metadata;
  if (name !== undefined && name !== current.name) throw wrongName(name, current.name);
  if (namespace && namespace !== current.namespace) throw wrongNamespace();
  if (uid && uid !== current.uid) throw conflict(subject, unmet("UID", uid, current.uid));
  if (resourceVersion && resourceVersion !== current.resourceVersion) throw conflict(subject);
}

/** Throws 409 unless the object is the one, and in the state, that is to be deleted. */
export function checkDelete(
  subject: Subject,
  { metadata }: KubeObject,
  wanted: { readonly uid?: string; readonly resourceVersion?: string },
): void {
  const { uid, resourceVersion } = wanted;
  if (uid !== undefined && uid !== metadata.uid) throw conflict(subject, unmet("UID", uid, metadata.uid));
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
    throw conflict(subject, unmet("ResourceVersion", resourceVersion, metadata.resourceVersion));
  }
}

/** Throws 403 in a namespace that is being deleted. */
export function checkNamespace(subject: Subject, { metadata }: KubeObject): void {
  if (metadata.deletionTimestamp === undefined) return;
  const why = `unable to create new content in namespace ${metadata.name} because it is being terminated`;
  throw forbidden(subject, why);
}

function unmet(what: string, wanted: string, found: string): string {
  return `Precondition failed: ${what} in precondition: ${wanted}, ${what} in object meta: ${found}`;
}

export function wrongName(name: string, ofUrl: string): Error {
  return badRequest(`the name of the object (${name}) does not match the name on the URL (${ofUrl})`);
}

export function wrongNamespace(): Error {
  return badRequest("the namespace of the provided object does not match the namespace sent on the request");
}
