/** Objects of CRDs: pruned, defaulted and checked by the schema of the version they were written in. */
import { objectOr } from "../json.ts";
import type { KubeObject } from "../object.ts";
import { prune, withDefaults } from "../prune.ts";
import { apiVersion, type Resource, resourceName } from "../resource.ts";
import { validate } from "../schema.ts";
import { invalid, required } from "../status.ts";
import type { KindRules } from "./rules.ts";

export const customRules: KindRules = {
  create(object, _store, resource) {
    conform(object, resource);
  },
  update(next, _current, _store, resource, written) {
    if (!written.metadata.resourceVersion) {
      const why = "must be specified for an update";
      const subject = { group: resource.group, kind: resource.kind, name: next.metadata.name };
      throw invalid(subject, [required("metadata.resourceVersion", why)]);
    }
    conform(next, resource);
  },
  removed(_object, store, resource) {
    // A CRD that is being deleted goes with the last of its objects.
    store.releaseIfFree("customresourcedefinitions.apiextensions.k8s.io", undefined, resourceName(resource));
  },
};

function conform(object: KubeObject, resource: Resource): void {
  const version = resource.versions.find(
    ({ name }) => apiVersion(resource.group, name) === object.apiVersion,
  );
  const schema = (version ?? resource.versions[0])?.schema;
  if (schema === undefined) return;
  const conforming = objectOr(withDefaults(schema, prune(schema, object).value));
  const causes = validate(schema, conforming);
  const subject = { group: resource.group, kind: resource.kind, name: object.metadata.name };
  if (causes.length > 0) throw invalid(subject, causes);
  for (const field of Object.keys(object)) if (!Object.hasOwn(conforming, field)) delete object[field];
  Object.assign(object, conforming);
}
