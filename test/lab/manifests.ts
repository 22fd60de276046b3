/** Reads Kubernetes objects from YAML files and puts them into the cluster. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { type ApiClient, ApiError } from "./api-client.ts";
import type { KubeObject } from "./kube-objects.ts";

/** Files that another folder of theirs need not be named for: a directory stands for the YAML files in it. */
export function readManifests(paths: readonly string[]): KubeObject[] {
  return paths.flatMap(filesOf).flatMap((file) => parseManifests(readFileSync(file, "utf8"), file));
}

/** `source` is named in errors. Lists are taken apart, empty documents left out. */
export function parseManifests(text: string, source = "manifest"): KubeObject[] {
  return parseAllDocuments(text).flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw new Error(`read ${source}: ${error.message}`);
    const value = document.toJS() as (KubeObject & { items?: KubeObject[] }) | null;
    if (value === null) return [];
    const objects = value.kind?.endsWith("List") && Array.isArray(value.items) ? value.items : [value];
    for (const object of objects) {
      const { apiVersion, kind, metadata } = object;
      if (!apiVersion || !kind || !metadata?.name) {
        throw new Error(
          `read ${source}: an object without apiVersion, kind or metadata.name: ${JSON.stringify(object).slice(0, 80)}`,
        );
      }
    }
    return objects;
  });
}

function filesOf(path: string): string[] {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw new Error(`read ${path}: no such file or directory`);
  if (!found.isDirectory()) return [path];
  const names = readdirSync(path).filter((name) => /\.(ya?ml|json)$/.test(name));
  if (names.length === 0) throw new Error(`read ${path}: no .yaml, .yml or .json files in it`);
  return names.sort().map((name) => join(path, name));
}

/** What others are made in or read by comes first; otherwise the order is as written. */
const FIRST = ["Namespace", "CustomResourceDefinition"];

/** Creates or updates them, by server-side apply. Missing namespaces are made. Throws for the first that is refused. */
export async function applyObjects(client: ApiClient, objects: readonly KubeObject[]): Promise<void> {
  const rank = ({ kind }: KubeObject) => (FIRST.includes(kind) ? FIRST.indexOf(kind) : FIRST.length);
  for (const object of objects.toSorted((a, b) => rank(a) - rank(b))) await applyObject(client, object);
}

async function applyObject(client: ApiClient, object: KubeObject): Promise<void> {
  const { apiVersion, kind, metadata } = object;
  const what = `${kind} ${metadata.namespace === undefined ? "" : `${metadata.namespace}/`}${metadata.name}`;
  try {
    const { path, namespace } = await objectPath(client, object);
    if (namespace !== undefined) await ensureNamespace(client, namespace);
    await client.apply(path, object);
  } catch (error) {
    const reason =
      error instanceof ApiError && error.reason === "NoKind"
        ? `the lab has no kind ${kind} in ${apiVersion}; what it runs are Pods`
        : error;
    throw new Error(`apply ${what}: ${reason instanceof Error ? reason.message : reason}`, { cause: error });
  }
}

async function ensureNamespace(client: ApiClient, name: string): Promise<void> {
  try {
    await client.create("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 409)) throw error;
  }
}

interface ResourceList {
  readonly resources: readonly {
    readonly name: string;
    readonly kind: string;
    readonly namespaced: boolean;
  }[];
}

/** Where the object lives, by what the server says it serves. `namespace` is undefined for a cluster-wide kind. */
export async function objectPath(
  client: ApiClient,
  { apiVersion, kind, metadata }: KubeObject,
): Promise<{ path: string; namespace?: string }> {
  const base = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const found = await client.json(base).catch((error: unknown) => {
    if (error instanceof ApiError && error.status === 404) return { resources: [] };
    throw error;
  });
  const { resources } = found as ResourceList;
  const resource = resources.find((each) => each.kind === kind && !each.name.includes("/"));
  if (resource === undefined) throw new ApiError(404, "NoKind", `no kind ${kind} in ${apiVersion}`);
  if (!resource.namespaced) return { path: `${base}/${resource.name}/${metadata.name}` };
  const namespace = metadata.namespace ?? "default";
  return { path: `${base}/namespaces/${namespace}/${resource.name}/${metadata.name}`, namespace };
}
