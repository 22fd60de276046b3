/** A Kubernetes object as the API server stores it. */
import type { JsonObject } from "./json.ts";

export interface OwnerReference extends JsonObject {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
}

export interface Metadata {
  name: string;
  /** Absent for objects of the whole cluster. */
  namespace?: string;
  uid: string;
  /** Decimal, increasing over the whole server. */
  resourceVersion: string;
  creationTimestamp: string;
  generation?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: OwnerReference[];
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  managedFields?: JsonObject[];
  generateName?: string;
}

export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: Metadata;
  [field: string]: unknown;
}

/** What a caller writes: the server fills in the rest. */
export interface ObjectInput {
  apiVersion?: string;
  kind?: string;
  metadata: Partial<Metadata>;
  [field: string]: unknown;
}

/** The time as Kubernetes writes it: UTC, whole seconds. */
export function timestamp(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;
}
