/** Which groups, versions and resources there are: what kubectl asks before anything else. */
import type { Catalog } from "./catalog.ts";
import type { JsonObject } from "./json.ts";
import { apiVersion, type Resource, type Subresource } from "./resource.ts";

/** The document at `path`; undefined if it is not about the API itself. */
export function discoveryDocument(catalog: Catalog, path: string): JsonObject | undefined {
  const segments = path.split("/").filter(Boolean);
  const [root, group = "", version = ""] = segments;
  if (path === "/version") return versionDocument();
  if (root === "api") {
    if (segments.length === 1)
      return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [] };
    return segments.length === 2 ? resourceList(catalog, "", group) : undefined;
  }
  if (root !== "apis" || segments.length > 3) return undefined;
  if (segments.length === 3) return resourceList(catalog, group, version);
  const groups = [...catalog.groups()].filter(([name]) => name !== "");
  if (segments.length === 1) {
    return {
      kind: "APIGroupList",
      apiVersion: "v1",
      groups: groups.map(([name, versions]) => groupOf(name, versions)),
    };
  }
  const found = groups.find(([name]) => name === group);
  return found && { kind: "APIGroup", apiVersion: "v1", ...groupOf(...found) };
}

/** Of the newest Kubernetes whose behaviour this server follows. */
function versionDocument(): JsonObject {
  return { major: "1", minor: "32", gitVersion: "v1.32.0-podgate-lab", platform: "linux/amd64" };
}

function groupOf(name: string, versions: readonly string[]): JsonObject {
  const entries = versions.map((version) => ({ groupVersion: apiVersion(name, version), version }));
  return { name, versions: entries, preferredVersion: entries[0] };
}

function resourceList(catalog: Catalog, group: string, version: string): JsonObject | undefined {
  if (!catalog.groups().get(group)?.includes(version)) return undefined;
  const resources = catalog
    .all()
    .filter((resource) => resource.group === group)
    .flatMap((resource) => resourceEntries(resource, version));
  return { kind: "APIResourceList", apiVersion: "v1", groupVersion: apiVersion(group, version), resources };
}

function resourceEntries(resource: Resource, version: string): JsonObject[] {
  const served = resource.versions.find(({ name }) => name === version);
  if (served === undefined) return [];
  const { plural, singular, namespaced, kind, shortNames, categories } = resource;
  const main = {
    name: plural,
    singularName: singular,
    namespaced,
    kind,
    verbs: ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
  };
  const subresources = served.subresources.map((subresource) => ({
    name: `${plural}/${subresource}`,
    singularName: "",
    namespaced,
    kind: subresource === "binding" ? "Binding" : kind,
    verbs: subresourceVerbs[subresource],
  }));
  return [main, ...subresources];
}

const subresourceVerbs: Readonly<Record<Subresource, readonly string[]>> = {
  status: ["get", "patch", "update"],
  log: ["get"],
  binding: ["create"],
};
