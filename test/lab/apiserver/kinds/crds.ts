/** CustomResourceDefinitions: what they define is served from the moment they are there. */
import { arrayOr, at, clone, isObject, type JsonObject, objectOr, stringOr } from "../json.ts";
import { type KubeObject, timestamp } from "../object.ts";
import type { PrinterColumn, Resource, ResourceVersion } from "../resource.ts";
import { type Cause, invalid, invalidValue, required } from "../status.ts";
import type { Store } from "../store.ts";
import type { KindRules } from "./rules.ts";

export const crdRules: KindRules = {
  create(object, store) {
    defaultNames(object);
    check(object, store);
    object.status = established(object, store.now());
  },
  update(next, _current, store) {
    defaultNames(next);
    check(next, store);
  },
  finalizes: (object, store) => instances(object, store).length > 0,
  deletionMarked(object, store) {
    const name = object.metadata.name;
    for (const { metadata } of instances(object, store))
      store.delete(name, metadata.namespace, metadata.name);
  },
  committed(object, store) {
    store.catalog.put(definedResource(object));
  },
  removed(object, store) {
    store.catalog.delete(object.metadata.name);
  },
};

function instances(object: KubeObject, store: Store): KubeObject[] {
  return store.list(object.metadata.name);
}

function defaultNames(object: KubeObject): void {
  const names = objectOr(at(object, "spec.names"));
  const kind = stringOr(names.kind);
  const spec = { conversion: { strategy: "None" }, ...objectOr(object.spec) };
  object.spec = { ...spec, names: { listKind: `${kind}List`, singular: kind.toLowerCase(), ...names } };
}

function check(object: KubeObject, store: Store): void {
  const { name } = object.metadata;
  const text = (path: string) => stringOr(at(object, path));
  const causes: Cause[] = ["spec.group", "spec.scope", "spec.names.plural", "spec.names.kind"]
    .filter((field) => text(field) === "")
    .map((field) => required(field));
  const wanted = `${text("spec.names.plural")}.${text("spec.group")}`;
  if (causes.length === 0 && name !== wanted) {
    causes.push(invalidValue("metadata.name", name, `must be spec.names.plural+"."+spec.group`));
  }
  if (store.catalog.get(name)?.custom === false) {
    causes.push(invalidValue("metadata.name", name, "the server serves this kind itself"));
  }
  causes.push(...versionCauses(arrayOr(at(object, "spec.versions"))));
  if (causes.length === 0) return;
  throw invalid({ group: "apiextensions.k8s.io", kind: "CustomResourceDefinition", name }, causes);
}

function versionCauses(versions: readonly unknown[]): Cause[] {
  if (versions.length === 0) return [required("spec.versions")];
  const stored = versions.filter((version) => at(version, "storage") === true).length;
  const one = "must have exactly one version marked as storage version";
  const causes = stored === 1 ? [] : [invalidValue("spec.versions", stored, one)];
  for (const [index, version] of versions.entries()) {
    const path = `spec.versions[${index}].schema.openAPIV3Schema`;
    const schema = at(version, "schema.openAPIV3Schema");
    if (isObject(schema)) causes.push(...patternCauses(schema, path));
    else causes.push(required(path, "schemas are required"));
  }
  return causes;
}

/** A pattern that does not compile would refuse every object later, without saying why. */
function patternCauses(schema: JsonObject, path: string): Cause[] {
  return Object.entries(schema).flatMap(([field, value]) => {
    const here = `${path}.${field}`;
    if (field === "pattern" && typeof value === "string")
      return compiles(value) ? [] : [invalidValue(here, value, "must be a valid regular expression")];
    const parts = Array.isArray(value) ? value : [value];
    return parts.filter(isObject).flatMap((part) => patternCauses(part, here));
  });
}

function compiles(pattern: string): boolean {
  try {
    new RegExp(pattern, "u");
    return true;
  } catch {
    return false;
  }
}

function established(object: KubeObject, now: number): JsonObject {
  const condition = (type: string, reason: string, message: string) => ({
    type,
    status: "True",
    lastTransitionTime: timestamp(now),
    reason,
    message,
  });
  const stored = arrayOr(at(object, "spec.versions")).filter((version) => at(version, "storage") === true);
  return {
    conditions: [
      condition("NamesAccepted", "NoConflicts", "no conflicts found"),
      condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    ],
    acceptedNames: clone(at(object, "spec.names")),
    storedVersions: stored.map((version) => at(version, "name")),
  };
}

function definedResource(object: KubeObject): Resource {
  const names = objectOr(at(object, "spec.names"));
  const strings = (value: unknown) => arrayOr(value).map(String);
  const versions = arrayOr(at(object, "spec.versions")).filter((version) => at(version, "served") !== false);
  return {
    group: stringOr(at(object, "spec.group")),
    plural: stringOr(names.plural),
    singular: stringOr(names.singular),
    kind: stringOr(names.kind),
    listKind: stringOr(names.listKind),
    shortNames: strings(names.shortNames),
    categories: strings(names.categories),
    namespaced: at(object, "spec.scope") === "Namespaced",
    versions: versions.map(definedVersion),
    generation: true,
    custom: true,
    selectableFields: [],
  };
}

function definedVersion(version: unknown): ResourceVersion {
  const columns = at(version, "additionalPrinterColumns");
  return {
    name: stringOr(at(version, "name")),
    subresources: isObject(at(version, "subresources.status")) ? ["status"] : [],
    schema: objectOr(at(version, "schema.openAPIV3Schema")),
    ...(Array.isArray(columns) ? { columns: columns as readonly PrinterColumn[] } : {}),
  };
}
