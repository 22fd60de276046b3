/** The objects themselves and their versions. Every change goes into the history; no rule is known here. */
import type { History } from "./history.ts";
import { clone, freeze } from "./json.ts";
import type { KubeObject } from "./object.ts";
import type { ResourceName } from "./resource.ts";

export class Objects {
  readonly #history: History;
  readonly #byResource = new Map<ResourceName, Map<string, KubeObject>>();

  constructor(history: History) {
    this.#history = history;
  }

  find(resource: ResourceName, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.#byResource.get(resource)?.get(key(namespace, name));
  }

  /** Sorted by namespace and name. At an earlier `version`, throws 410 if it is forgotten. */
  list(resource: ResourceName, namespace?: string, version?: number): KubeObject[] {
    const now = this.#byResource.get(resource) ?? new Map<string, KubeObject>();
    const then = version === undefined ? now : this.#history.rewind(resource, now, keyOf, version);
    const entries = [...then].filter(
      ([, { metadata }]) => namespace === undefined || metadata.namespace === namespace,
    );
    return entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
  }

  hasAnyIn(namespace: string): boolean {
    return [...this.#byResource.values()].some((objects) =>
      objects.values().some(({ metadata }) => metadata.namespace === namespace),
    );
  }

  /** Stores `object`, which belongs to the store from now on, in place of `previous`. */
  put(resource: ResourceName, previous: KubeObject | undefined, object: KubeObject): KubeObject {
    object.metadata.resourceVersion = String(this.#history.next);
    const objects = this.#byResource.get(resource) ?? new Map<string, KubeObject>();
    this.#byResource.set(resource, objects);
    objects.set(keyOf(object), freeze(object));
    if (previous === undefined) this.#history.append({ resource, type: "ADDED", object });
    else this.#history.append({ resource, type: "MODIFIED", object, previous });
    return object;
  }

  /** Takes `previous` out; `last` is the state that watches are told. */
  remove(resource: ResourceName, previous: KubeObject, last = previous): KubeObject {
    const gone = clone(last);
    gone.metadata.resourceVersion = String(this.#history.next);
    this.#byResource.get(resource)?.delete(keyOf(previous));
    this.#history.append({ resource, type: "DELETED", object: freeze(gone), previous });
    return gone;
  }
}

/** Names hold no "/". */
function key(namespace: string | undefined, name: string): string {
  return `${namespace ?? ""}/${name}`;
}

/** What lists are sorted and continued by. */
export function keyOf({ metadata }: KubeObject): string {
  return key(metadata.namespace, metadata.name);
}
