/** POST, PUT and DELETE. PATCH is in patch.ts. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { readObject, readOptions } from "./body.ts";
import { checkUnknownFields } from "./fields.ts";
import { at, type JsonObject, objectOr, stringOr } from "./json.ts";
import { inVersion } from "./list.ts";
import type { KubeObject, ObjectInput } from "./object.ts";
import type { Target } from "./paths.ts";
import { wrongName, wrongNamespace } from "./preconditions.ts";
import { apiVersion, hasSubresource } from "./resource.ts";
import { parseSelectors } from "./selectors.ts";
import { badRequest, conflict } from "./status.ts";
import type { DeleteOptions, Deletion, Store } from "./store.ts";

export interface Reply {
  readonly code: number;
  readonly body: JsonObject;
}

export async function create(
  store: Store,
  target: Target,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Reply> {
  const input = await readObject(request);
  if (target.subresource === "binding") return bind(store, target, input);
  if (target.name !== "")
    throw badRequest("an object is created by a POST to its collection, without its name");
  checkKind(target, input);
  checkUnknownFields(target, input, response);
  if (input.metadata.resourceVersion) {
    throw badRequest("resourceVersion should not be set on objects to be created");
  }
  const object = store.create(target.resourceName, newInput(target, input), writeOptions(target));
  return { code: 201, body: inVersion(object, target) };
}

export async function update(
  store: Store,
  target: Target,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Reply> {
  const input = await readObject(request);
  checkKind(target, input);
  checkUnknownFields(target, input, response);
  const { name } = input.metadata;
  if (name !== undefined && name !== target.name) {
    throw wrongName(name, target.name);
  }
  const named = { ...input, metadata: { ...input.metadata, name: target.name } };
  const object = store.update(target.resourceName, withNamespace(target, named), writeOptions(target));
  return { code: 200, body: inVersion(object, target) };
}

export async function remove(store: Store, target: Target, request: IncomingMessage): Promise<Reply> {
  const options = await deleteOptions(target, request);
  const { resourceName, namespace, name } = target;
  const deletion = store.delete(resourceName, namespace, name, options);
  return { code: 200, body: deletionDocument(target, deletion) };
}

export async function removeCollection(
  store: Store,
  target: Target,
  request: IncomingMessage,
): Promise<Reply> {
  const { gracePeriodSeconds, dryRun } = await deleteOptions(target, request);
  const options = {
    ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
    dryRun: dryRun === true,
  };
  const matches = parseSelectors(target.query, target.resource);
  const doomed = store.list(target.resourceName, target.namespace).filter(matches);
  const items = doomed.map(({ metadata }) => {
    const { object } = store.delete(target.resourceName, metadata.namespace, metadata.name, options);
    return inVersion(object, target);
  });
  const { resource, version } = target;
  const metadata = { resourceVersion: String(store.history.version) };
  return {
    code: 200,
    body: { kind: resource.listKind, apiVersion: apiVersion(resource.group, version.name), metadata, items },
  };
}

export function writeOptions({ query, subresource }: Target): { dryRun: boolean; subresource?: "status" } {
  const dryRun = query.getAll("dryRun").includes("All");
  return subresource === "status" ? { dryRun, subresource } : { dryRun };
}

/** What a client may say of a new object: no uid, and no status where that is written on its own (but of Nodes). */
export function newInput(target: Target, input: ObjectInput): ObjectInput {
  const { uid: _, ...metadata } = input.metadata;
  const { status, ...rest } = withNamespace(target, { ...input, metadata });
  const keeps = !hasSubresource(target.resource, "status") || target.resourceName === "nodes";
  return keeps && status !== undefined ? { ...rest, status } : rest;
}

/** The namespace of the URL. Throws 400 if the object names another. */
export function withNamespace(target: Target, input: ObjectInput): ObjectInput {
  const { namespace } = target;
  if (namespace === undefined) return input;
  const own = input.metadata.namespace;
  if (own && own !== namespace) {
    throw wrongNamespace();
  }
  return { ...input, metadata: { ...input.metadata, namespace } };
}

/** Throws 400 if the body is of another kind than the URL. */
export function checkKind({ resource, version }: Target, input: ObjectInput): void {
  const wanted = apiVersion(resource.group, version.name);
  if ((input.kind ?? resource.kind) !== resource.kind || (input.apiVersion ?? wanted) !== wanted) {
    throw badRequest(
      `${input.apiVersion ?? wanted}, Kind=${input.kind ?? resource.kind} in the body does not match ${wanted}, Kind=${resource.kind} of the URL`,
    );
  }
}

/** What the scheduler does: names the node, once. */
function bind(store: Store, target: Target, input: ObjectInput): Reply {
  const node = stringOr(at(input, "target.name"));
  if (node === "") throw badRequest("target.name is empty: name the node");
  const pod = store.get("pods", target.namespace, target.name);
  const bound = stringOr(at(pod, "spec.nodeName"));
  const subject = { group: "", kind: "pods/binding", name: target.name };
  if (bound !== "") throw conflict(subject, `pod ${target.name} is already assigned to node "${bound}"`);
  store.bindPod(pod, node);
  return {
    code: 201,
    body: { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 },
  };
}

async function deleteOptions({ query }: Target, request: IncomingMessage): Promise<DeleteOptions> {
  const body = await readOptions(request);
  const grace = query.get("gracePeriodSeconds") ?? body.gracePeriodSeconds;
  const preconditions = objectOr(body.preconditions);
  const seconds = grace === null || grace === undefined ? undefined : Number(grace);
  if (seconds !== undefined && !(Number.isInteger(seconds) && seconds >= 0)) {
    throw badRequest("gracePeriodSeconds is not a number of seconds");
  }
  const dryRun = [query.getAll("dryRun"), body.dryRun ?? []].flat().includes("All");
  return {
    dryRun,
    ...(seconds === undefined ? {} : { gracePeriodSeconds: seconds }),
    ...(typeof preconditions.uid === "string" ? { uid: preconditions.uid } : {}),
    ...(typeof preconditions.resourceVersion === "string"
      ? { resourceVersion: preconditions.resourceVersion }
      : {}),
  };
}

/** The object where something waits for its end, else a Status that says what is gone. */
function deletionDocument(target: Target, { object, gone }: Deletion): JsonObject {
  if (!gone) return inVersion(object, target);
  return success(object, target);
}

function success({ metadata }: KubeObject, { resource }: Target): JsonObject {
  const group = resource.group === "" ? {} : { group: resource.group };
  const details = { name: metadata.name, ...group, kind: resource.plural, uid: metadata.uid };
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details };
}
