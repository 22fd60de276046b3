/** Namespaces: active until deleted, then terminating until nothing is left in them. */
import { clone, objectOr } from "../json.ts";
import type { KubeObject } from "../object.ts";
import { resourceName } from "../resource.ts";
import { forbidden } from "../status.ts";
import type { Store } from "../store.ts";
import type { KindRules } from "./rules.ts";

const immortal = ["default", "kube-system", "kube-public"];

export const namespaceRules: KindRules = {
  create(object) {
    const { metadata } = object;
    metadata.labels = { ...metadata.labels, "kubernetes.io/metadata.name": metadata.name };
    object.spec = { finalizers: ["kubernetes"], ...objectOr(object.spec) };
    object.status = { phase: "Active" };
  },
  delete({ metadata }) {
    if (immortal.includes(metadata.name)) {
      throw forbidden(
        { group: "", kind: "namespaces", name: metadata.name },
        "this namespace may not be deleted",
      );
    }
  },
  finalizes: (object, store) => store.hasObjectsIn(object.metadata.name),
  deletionMarked(object, store) {
    terminate(object, store);
    const { name } = object.metadata;
    for (const resource of store.catalog.all().filter(({ namespaced }) => namespaced)) {
      const plural = resourceName(resource);
      for (const { metadata } of store.list(plural, name)) store.delete(plural, name, metadata.name);
    }
  },
};

function terminate(object: KubeObject, store: Store): void {
  const terminating = clone(object);
  terminating.status = { ...objectOr(terminating.status), phase: "Terminating" };
  store.update("namespaces", terminating, { subresource: "status" });
}
