/** What the server knows of a kind it serves. */
import type { JsonObject } from "./json.ts";

export type Subresource = "status" | "log" | "binding";

/** A printer column of a CRD. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: string;
  readonly format?: string;
  readonly description?: string;
  readonly priority?: number;
  readonly jsonPath: string;
}

/** One served version of a resource. */
export interface ResourceVersion {
  readonly name: string;
  readonly subresources: readonly Subresource[];
  /** openAPIV3Schema; only CRDs have one. */
  readonly schema?: JsonObject;
  readonly columns?: readonly PrinterColumn[];
}

export interface Resource {
  readonly group: string;
  readonly plural: string;
  readonly singular: string;
  readonly kind: string;
  readonly listKind: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  /** Preferred first. Objects of all versions are the same objects under another apiVersion. */
  readonly versions: readonly ResourceVersion[];
  /** Whether metadata.generation counts changes of what is neither metadata nor status. */
  readonly generation: boolean;
  /** From a CRD: patched without knowledge of list keys, and only updated with a resourceVersion. */
  readonly custom: boolean;
  /** Paths a fieldSelector may name beside metadata.name and metadata.namespace. */
  readonly selectableFields: readonly string[];
}

/** How a resource is named wherever a string stands for it: `pods`, `endpointslices.discovery.k8s.io`. */
export type ResourceName = string;

export function resourceName(resource: { readonly group: string; readonly plural: string }): ResourceName {
  return resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`;
}

/** `v1` or `group/v1`. */
export function apiVersion(group: string, version: string): string {
  return group === "" ? version : `${group}/${version}`;
}

export function hasSubresource(resource: Resource, subresource: Subresource): boolean {
  return resource.versions.some((version) => version.subresources.includes(subresource));
}
