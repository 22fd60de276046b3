/** meta.k8s.io/v1 Table: what `kubectl get` prints. */
import { arrayOr, at, isObject, type JsonObject, objectOr, stringOr } from "../json.ts";
import type { KubeObject } from "../object.ts";
import type { PrinterColumn, Resource, ResourceName, ResourceVersion } from "../resource.ts";
import { resourceName } from "../resource.ts";
import { age, ageColumn, type Column, column, nameColumn } from "./column.ts";
import { eventColumns } from "./event-columns.ts";
import { readPath } from "./json-path.ts";
import { nodeColumns } from "./node-columns.ts";
import { podColumns } from "./pod-columns.ts";
import { endpointSliceColumns, serviceColumns } from "./service-columns.ts";

const dataColumn = column("Data", (object) => Object.keys(objectOr(object.data)).length, { type: "integer" });

const builtinColumns: ReadonlyMap<ResourceName, readonly Column[]> = new Map([
  ["pods", podColumns],
  ["services", serviceColumns],
  ["nodes", nodeColumns],
  ["events", eventColumns],
  ["endpointslices.discovery.k8s.io", endpointSliceColumns],
  ["namespaces", [nameColumn, column("Status", (namespace) => at(namespace, "status.phase")), ageColumn]],
  ["configmaps", [nameColumn, dataColumn, ageColumn]],
  [
    "secrets",
    [nameColumn, column("Type", (secret) => stringOr(secret.type) || "Opaque"), dataColumn, ageColumn],
  ],
  [
    "serviceaccounts",
    [
      nameColumn,
      column("Secrets", (account) => arrayOr(account.secrets).length, { type: "integer" }),
      ageColumn,
    ],
  ],
  [
    "customresourcedefinitions.apiextensions.k8s.io",
    [nameColumn, column("Created At", ({ metadata }) => metadata.creationTimestamp)],
  ],
]);

/** `includeObject`: what of each object goes along with its row; kubectl sorts and watches by it. */
export function tableOf(
  resource: Resource,
  version: ResourceVersion,
  objects: readonly KubeObject[],
  options: { now: number; includeObject: string; metadata: JsonObject },
): JsonObject {
  const columns = columnsOf(resource, version);
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: options.metadata,
    columnDefinitions: columns.map(({ name, type, format, description, priority }) => ({
      name,
      type,
      format,
      description,
      priority,
    })),
    rows: objects.map((object) => ({
      cells: columns.map((entry) => entry.cell(object, options.now)),
      ...included(object, options.includeObject),
    })),
  };
}

function included(object: KubeObject, what: string): JsonObject {
  if (what === "None") return {};
  if (what === "Object") return { object };
  const { metadata } = object;
  return { object: { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata } };
}

function columnsOf(resource: Resource, version: ResourceVersion): readonly Column[] {
  if (version.columns !== undefined) return [nameColumn, ...version.columns.map(customColumn)];
  return builtinColumns.get(resourceName(resource)) ?? [nameColumn, ageColumn];
}

function customColumn({
  name,
  type,
  format = "",
  description = "",
  priority = 0,
  jsonPath,
}: PrinterColumn): Column {
  // A date is written as its age, which is a string.
  const shown = type === "date" ? "string" : (type as Column["type"]);
  return column(name, (object, now) => customCell(object, jsonPath, type, now), {
    type: shown,
    format,
    description,
    priority,
  });
}

function customCell(object: KubeObject, jsonPath: string, type: string, now: number): unknown {
  const [value, ...more] = readPath(object, jsonPath.startsWith(".") ? jsonPath : `.${jsonPath}`) ?? [];
  if (value === undefined || value === null) return type === "string" ? "" : null;
  if (type === "date") return age(value, now);
  if (type !== "string") return value;
  return [value, ...more]
    .map((part) => (isObject(part) || Array.isArray(part) ? JSON.stringify(part) : String(part)))
    .join(",");
}

/** Whether the client asks for a Table; else it gets the objects. */
export function wantsTable(accept: string | undefined): boolean {
  const first = (accept ?? "").split(",").find((type) => type.includes("application/json")) ?? "";
  return /;\s*as=Table/.test(first) && /;\s*g=meta\.k8s\.io/.test(first) && /;\s*v=v1(beta1)?\b/.test(first);
}
