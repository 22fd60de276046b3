/** PATCH: the current object and a patch become the next object, which is then written like any other. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { applyConfiguration } from "./apply.ts";
import { asObject, mediaType, parseJson, parseYamlBody, readBody } from "./body.ts";
import { checkUnknownFields } from "./fields.ts";
import { inVersion } from "./list.ts";
import type { ObjectInput } from "./object.ts";
import { jsonPatch, mergePatch } from "./patch-json.ts";
import { strategicPatch } from "./patch-strategic.ts";
import type { Target } from "./paths.ts";
import { wrongName } from "./preconditions.ts";
import { badRequest, unsupportedMediaType } from "./status.ts";
import type { Store } from "./store.ts";
import { checkKind, newInput, type Reply, withNamespace, writeOptions } from "./write.ts";

const types = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  apply: "application/apply-patch+yaml",
};

export async function patch(
  store: Store,
  target: Target,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Reply> {
  const body = await readBody(request);
  const type = mediaType(request);
  if (type === types.apply) return apply(store, target, parseYamlBody(body), response);
  const current = inVersion(store.get(target.resourceName, target.namespace, target.name), target);
  const patched = asObject(patchWith(type, current, parseJson(body), target));
  checkUnknownFields(target, patched, response);
  const object = store.update(target.resourceName, named(target, patched), writeOptions(target));
  return { code: 200, body: inVersion(object, target) };
}

function patchWith(type: string, current: ObjectInput, body: unknown, { resource }: Target): unknown {
  const supported = Object.values(types).filter((known) => known !== types.strategic || !resource.custom);
  if (!supported.includes(type)) throw unsupportedMediaType(supported);
  if (type === types.json) return jsonPatch(current, body);
  if (type === types.merge) return mergePatch(current, body);
  return strategicPatch(current, body, resource.kind);
}

/** Creates the object if there is none. */
function apply(store: Store, target: Target, body: unknown, response: ServerResponse): Reply {
  const manager = target.query.get("fieldManager");
  if (!manager) throw badRequest("fieldManager is required for apply patch");
  const config = named(target, asObject(body));
  checkKind(target, config);
  if (config.metadata.managedFields) throw badRequest("metadata.managedFields must be nil");
  const found = store.find(target.resourceName, target.namespace, target.name);
  const application = {
    manager,
    force: ["true", "1"].includes(target.query.get("force") ?? ""),
    apiVersion: config.apiVersion ?? "",
    now: store.now(),
    builtin: !target.resource.custom,
  };
  checkUnknownFields(target, config, response);
  const applied = applyConfiguration(
    found === undefined ? emptyLike(config) : inVersion(found, target),
    config,
    application,
  );
  const { resourceName } = target;
  const options = writeOptions(target);
  if (found === undefined) {
    const object = store.create(resourceName, newInput(target, applied), options);
    return { code: 201, body: inVersion(object, target) };
  }
  return { code: 200, body: inVersion(store.update(resourceName, applied, options), target) };
}

function emptyLike({ apiVersion, kind, metadata }: ObjectInput): ObjectInput {
  const { name, namespace } = metadata;
  return {
    ...(apiVersion === undefined ? {} : { apiVersion }),
    ...(kind === undefined ? {} : { kind }),
    metadata: { ...(name === undefined ? {} : { name }), ...(namespace === undefined ? {} : { namespace }) },
  };
}

/** The name and namespace of the URL. Throws 400 if the object has others. */
function named(target: Target, input: ObjectInput): ObjectInput {
  const { name } = input.metadata;
  if (name !== undefined && name !== target.name) {
    throw wrongName(name, target.name);
  }
  return withNamespace(target, { ...input, metadata: { ...input.metadata, name: target.name } });
}
