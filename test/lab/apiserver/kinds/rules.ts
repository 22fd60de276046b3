/** What is particular to one kind: its defaults, checks, allocations and what its deletion waits for. */
import type { KubeObject, ObjectInput } from "../object.ts";
import { type Resource, resourceName } from "../resource.ts";
import type { Store } from "../store.ts";
import { crdRules } from "./crds.ts";
import { customRules } from "./custom.ts";
import { namespaceRules } from "./namespaces.ts";
import { podRules } from "./pods.ts";
import { secretRules } from "./secrets.ts";
import { serviceRules } from "./services.ts";

export interface KindRules {
  /** Defaults and checks a new object; may change it, throws ApiError. */
  create?(object: KubeObject, store: Store, resource: Resource): void;
  /** `written`: as it was sent, before what only the server decides was filled in. */
  update?(
    next: KubeObject,
    current: KubeObject,
    store: Store,
    resource: Resource,
    written: ObjectInput,
  ): void;
  /** Throws if `object` must not be deleted. */
  delete?(object: KubeObject, store: Store, resource: Resource): void;
  /** Seconds that somebody else (kubelet) needs to stop it; 0: nobody has to. */
  gracePeriod?(object: KubeObject, asked: number | undefined): number;
  /** Whether the server itself has something to clear away before the object goes. */
  finalizes?(object: KubeObject, store: Store): boolean;
  /** Clears it away. */
  deletionMarked?(object: KubeObject, store: Store, resource: Resource): void;
  committed?(object: KubeObject, store: Store): void;
  removed?(object: KubeObject, store: Store, resource: Resource): void;
}

const rules: ReadonlyMap<string, KindRules> = new Map([
  ["namespaces", namespaceRules],
  ["pods", podRules],
  ["secrets", secretRules],
  ["services", serviceRules],
  ["customresourcedefinitions.apiextensions.k8s.io", crdRules],
]);

const none: KindRules = {};

export function kindRules(resource: Resource): KindRules {
  return rules.get(resourceName(resource)) ?? (resource.custom ? customRules : none);
}
