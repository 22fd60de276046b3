/**
 * /openapi/v3: tells kubectl which kinds there are, that the server validates fields itself, and for CRDs their
 * schema (`kubectl explain`). The built-in kinds are described by their outline alone.
 */
import type { Catalog } from "./catalog.ts";
import { type JsonObject, objectOr } from "./json.ts";
import { apiVersion, type Resource, type ResourceVersion } from "./resource.ts";

/** The document at `path`; undefined if there is none. */
export function openapiDocument(catalog: Catalog, path: string): JsonObject | undefined {
  const prefix = "/openapi/v3";
  if (path === prefix) return index(catalog);
  if (!path.startsWith(`${prefix}/`)) return undefined;
  const [root, ...rest] = path.slice(prefix.length + 1).split("/");
  const [group = "", version = ""] = root === "api" ? ["", ...rest] : rest;
  if (!catalog.groups().get(group)?.includes(version)) return undefined;
  return groupDocument(catalog, group, version);
}

function index(catalog: Catalog): JsonObject {
  const entries = [...catalog.groups()].flatMap(([group, versions]) =>
    versions.map((version) => {
      const path = rootPath(group, version).slice(1);
      return [path, { serverRelativeURL: `/openapi/v3/${path}` }];
    }),
  );
  return { paths: Object.fromEntries(entries) };
}

function rootPath(group: string, version: string): string {
  return group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
}

function groupDocument(catalog: Catalog, group: string, version: string): JsonObject {
  const paths: JsonObject = {};
  const schemas: JsonObject = {};
  for (const resource of catalog.all().filter((candidate) => candidate.group === group)) {
    const served = resource.versions.find(({ name }) => name === version);
    if (served === undefined) continue;
    const schemaName = `${group === "" ? "core" : group}.${version}.${resource.kind}`;
    schemas[schemaName] = schemaOf(resource, served);
    Object.assign(paths, pathsOf(resource, served, { $ref: `#/components/schemas/${schemaName}` }));
  }
  return {
    openapi: "3.0.0",
    info: { title: "Kubernetes", version: "v1.32.0" },
    paths,
    components: { schemas },
  };
}

function kindOf({ group, kind }: Resource, { name }: ResourceVersion): JsonObject {
  return { group, version: name, kind };
}

const outline: JsonObject = {
  spec: { type: "object", description: "What is wanted.", "x-kubernetes-preserve-unknown-fields": true },
  status: { type: "object", description: "What is.", "x-kubernetes-preserve-unknown-fields": true },
};

function schemaOf(resource: Resource, version: ResourceVersion): JsonObject {
  const own = version.schema ?? { "x-kubernetes-preserve-unknown-fields": true, properties: outline };
  const known: JsonObject = {
    apiVersion: { type: "string", description: `Always ${apiVersion(resource.group, version.name)}.` },
    kind: { type: "string", description: `Always ${resource.kind}.` },
    metadata: {
      type: "object",
      description: "Name, namespace, labels, annotations and what the server adds.",
    },
  };
  return {
    description: `${resource.kind} of ${apiVersion(resource.group, version.name)}.`,
    ...own,
    type: "object",
    properties: { ...objectOr(own.properties), ...known },
    "x-kubernetes-group-version-kind": [kindOf(resource, version)],
  };
}

function pathsOf(resource: Resource, version: ResourceVersion, schema: JsonObject): JsonObject {
  const place = resource.namespaced ? "/namespaces/{namespace}" : "";
  const collection = `${rootPath(resource.group, version.name)}${place}/${resource.plural}`;
  const operation = (action: string, bodyTypes: readonly string[] = []) => ({
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": kindOf(resource, version),
    parameters: bodyTypes.length === 0 ? [] : writeParameters,
    ...(bodyTypes.length === 0 ? {} : { requestBody: { content: contentOf(bodyTypes, schema) } }),
    responses: { "200": { description: "OK", content: contentOf(["application/json"], schema) } },
  });
  return {
    [collection]: {
      get: operation("list"),
      post: operation("post", ["application/json", "application/yaml"]),
    },
    [`${collection}/{name}`]: {
      get: operation("get"),
      put: operation("put", ["application/json", "application/yaml"]),
      // Strategic merge patches are served for built-in kinds, but their list keys are not described here: kubectl
      // then takes those it has compiled in.
      patch: operation("patch", [
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/apply-patch+yaml",
      ]),
      delete: operation("delete"),
    },
  };
}

/** kubectl looks for fieldValidation here before it leaves validation to the server. */
const writeParameters: readonly JsonObject[] = ["dryRun", "fieldManager", "fieldValidation"].map((name) => ({
  name,
  in: "query",
  schema: { type: "string", uniqueItems: true },
}));

function contentOf(types: readonly string[], schema: JsonObject): JsonObject {
  return Object.fromEntries(types.map((type) => [type, { schema }]));
}
