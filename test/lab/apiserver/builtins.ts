/** The kinds every server of the lab has from the start. */
import type { Resource, Subresource } from "./resource.ts";

interface Description {
  group?: string;
  versions?: readonly string[];
  plural: string;
  kind: string;
  shortNames?: readonly string[];
  categories?: readonly string[];
  clusterWide?: boolean;
  subresources?: readonly Subresource[];
  noGeneration?: boolean;
  fields?: readonly string[];
}

const descriptions: readonly Description[] = [
  {
    plural: "pods",
    kind: "Pod",
    shortNames: ["po"],
    categories: ["all"],
    subresources: ["status", "log", "binding"],
    fields: ["spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "spec.hostNetwork"].concat([
      "status.phase",
      "status.podIP",
    ]),
  },
  {
    plural: "services",
    kind: "Service",
    shortNames: ["svc"],
    categories: ["all"],
    subresources: ["status"],
    fields: ["spec.clusterIP", "spec.type"],
  },
  {
    plural: "namespaces",
    kind: "Namespace",
    shortNames: ["ns"],
    clusterWide: true,
    subresources: ["status"],
    fields: ["status.phase"],
  },
  {
    plural: "nodes",
    kind: "Node",
    shortNames: ["no"],
    clusterWide: true,
    subresources: ["status"],
    fields: ["spec.unschedulable"],
  },
  { plural: "configmaps", kind: "ConfigMap", shortNames: ["cm"], noGeneration: true },
  { plural: "secrets", kind: "Secret", noGeneration: true, fields: ["type"] },
  { plural: "serviceaccounts", kind: "ServiceAccount", shortNames: ["sa"], noGeneration: true },
  {
    plural: "events",
    kind: "Event",
    shortNames: ["ev"],
    noGeneration: true,
    fields: ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"]
      .map((field) => `involvedObject.${field}`)
      .concat("reason", "reportingComponent", "source", "type"),
  },
  { group: "discovery.k8s.io", plural: "endpointslices", kind: "EndpointSlice" },
  {
    group: "gateway.networking.k8s.io",
    versions: ["v1beta1", "v1"],
    plural: "referencegrants",
    kind: "ReferenceGrant",
    shortNames: ["refgrant"],
    categories: ["gateway-api"],
  },
  {
    group: "apiextensions.k8s.io",
    plural: "customresourcedefinitions",
    kind: "CustomResourceDefinition",
    shortNames: ["crd", "crds"],
    categories: ["api-extensions"],
    clusterWide: true,
    subresources: ["status"],
  },
];

export const builtins: readonly Resource[] = descriptions.map((description) => ({
  group: description.group ?? "",
  plural: description.plural,
  singular: description.kind.toLowerCase(),
  kind: description.kind,
  listKind: `${description.kind}List`,
  shortNames: description.shortNames ?? [],
  categories: description.categories ?? [],
  namespaced: description.clusterWide !== true,
  versions: (description.versions ?? ["v1"]).map((name) => ({
    name,
    subresources: description.subresources ?? [],
  })),
  generation: description.noGeneration !== true,
  custom: false,
  selectableFields: description.fields ?? [],
}));
