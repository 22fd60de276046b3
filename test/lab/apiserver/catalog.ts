/** The resources served at this moment. CRDs come and go. */
import { builtins } from "./builtins.ts";
import { type Resource, type ResourceName, type ResourceVersion, resourceName } from "./resource.ts";

export interface Served {
  readonly resource: Resource;
  readonly version: ResourceVersion;
}

export class Catalog {
  readonly #resources = new Map<ResourceName, Resource>();

  constructor(resources: readonly Resource[] = builtins) {
    for (const resource of resources) this.put(resource);
  }

  /** Serves `resource`, in place of one of the same name. */
  put(resource: Resource): void {
    this.#resources.set(resourceName(resource), resource);
  }

  delete(name: ResourceName): void {
    this.#resources.delete(name);
  }

  get(name: ResourceName): Resource | undefined {
    return this.#resources.get(name);
  }

  all(): readonly Resource[] {
    return [...this.#resources.values()];
  }

  /** What `/apis/GROUP/VERSION/.../PLURAL` names; undefined if that version of it is not served. */
  find(group: string, version: string, plural: string): Served | undefined {
    const resource = this.#resources.get(resourceName({ group, plural }));
    const served = resource?.versions.find(({ name }) => name === version);
    return resource && served && { resource, version: served };
  }

  /** Group -> versions, preferred first, in the order of first appearance. */
  groups(): Map<string, readonly string[]> {
    const groups = new Map<string, Set<string>>();
    for (const { group, versions } of this.all()) {
      const names = groups.get(group) ?? new Set();
      for (const { name } of versions) names.add(name);
      groups.set(group, names);
    }
    return new Map([...groups].map(([group, versions]) => [group, [...versions]]));
  }
}
