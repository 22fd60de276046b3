/**
 * The objects of the cluster and the rules every write goes through, whoever writes: HTTP handlers and, in the
 * same process, tests. Objects handed out are shared and frozen; change a copy and write it back.
 */
import { Catalog } from "./catalog.ts";
import { History } from "./history.ts";
import { clone, equal, freeze, objectOr } from "./json.ts";
import { kindRules } from "./kinds/rules.ts";
import { ServiceAddresses } from "./kinds/service-addresses.ts";
import { newObject, nextObject, preferredVersion } from "./metadata.ts";
import { type KubeObject, type ObjectInput, timestamp } from "./object.ts";
import type { Resource, ResourceName } from "./resource.ts";
import {
  alreadyExists,
  badRequest,
  conflict,
  forbidden,
  notFound,
  type Subject,
  unknownPath,
} from "./status.ts";

export interface StoreOptions {
  /** Changes remembered for watches; older versions get 410. */
  readonly historySize?: number;
  /** Ranges of cluster IPs, at most one of a family; the first is the default family's. */
  readonly serviceCidrs?: readonly string[];
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

export interface WriteOptions {
  readonly subresource?: "status";
  /** Run every check, write nothing. */
  readonly dryRun?: boolean;
}

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly dryRun?: boolean;
}

/** The object as deletion left it, and whether it is gone or waits for its kubelet or its finalizers. */
export interface Deletion {
  readonly object: KubeObject;
  readonly gone: boolean;
}

export class Store {
  readonly catalog = new Catalog();
  readonly history: History;
  readonly serviceAddresses: ServiceAddresses;
  readonly now: () => number;
  readonly #objects = new Map<ResourceName, Map<string, KubeObject>>();

  constructor(options: StoreOptions = {}) {
    this.history = new History(options.historySize ?? 10_000);
    this.serviceAddresses = new ServiceAddresses(
      options.serviceCidrs ?? ["10.96.0.0/16", "fd00:10:96::/112"],
    );
    this.now = options.now ?? Date.now;
  }

  /** Undefined if there is none. */
  find(name: ResourceName, namespace: string | undefined, objectName: string): KubeObject | undefined {
    return this.#objects.get(name)?.get(key(namespace, objectName));
  }

  /** Throws 404 if there is none. */
  get(name: ResourceName, namespace: string | undefined, objectName: string): KubeObject {
    const found = this.find(name, namespace, objectName);
    if (found === undefined) throw notFound(this.#subject(name, objectName));
    return found;
  }

  /** Sorted by namespace and name, as the real server lists. At an earlier `version`, throws 410 if it is forgotten. */
  list(name: ResourceName, namespace?: string, version?: number): KubeObject[] {
    const now = this.#objects.get(name) ?? new Map<string, KubeObject>();
    const then = version === undefined ? now : this.history.rewind(name, now, keyOf, version);
    const entries = [...then].filter(
      ([, { metadata }]) => namespace === undefined || metadata.namespace === namespace,
    );
    return entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
  }

  /** `uid`: preset, for a caller in this process that has made the pod's cgroup already. */
  create(name: ResourceName, input: ObjectInput, options: WriteOptions & { uid?: string } = {}): KubeObject {
    const resource = this.#resource(name);
    const namespace = resource.namespaced ? input.metadata.namespace || "default" : undefined;
    if (!resource.namespaced && input.metadata.namespace) {
      throw badRequest("namespace is not allowed on this type");
    }
    const uid = options.uid ?? input.metadata.uid;
    const context = { namespace, now: this.now(), ...(uid === undefined ? {} : { uid }) };
    const object = newObject(resource, input, context);
    if (this.find(name, namespace, object.metadata.name))
      throw alreadyExists(this.#subject(name, object.metadata.name));
    this.#checkNamespace(resource, object);
    kindRules(resource).create?.(object, this, resource);
    object.apiVersion = preferredVersion(resource);
    return options.dryRun ? object : this.#commit(name, undefined, object);
  }

  /** Replaces. Throws 409 if `input` carries another resourceVersion than the current one. */
  update(name: ResourceName, input: ObjectInput, options: WriteOptions = {}): KubeObject {
    const resource = this.#resource(name);
    const namespace = resource.namespaced ? input.metadata.namespace || "default" : undefined;
    const current = this.get(name, namespace, input.metadata.name ?? "");
    const next = nextObject(resource, current, input, options.subresource);
    kindRules(resource).update?.(next, current, this, resource, input);
    // Rules saw the version it was written in; it is kept in the preferred one.
    next.apiVersion = current.apiVersion;
    if (equal(next, current)) return current;
    if (options.dryRun) return next;
    const released = isReleased(next) && kindRules(resource).finalizes?.(next, this) !== true;
    return released ? this.#remove(name, current, next) : this.#commit(name, current, next);
  }

  /** Reads, lets `change` edit a copy, writes. */
  modify(
    name: ResourceName,
    namespace: string | undefined,
    objectName: string,
    change: (object: KubeObject) => void,
    options: WriteOptions = {},
  ): KubeObject {
    const copy = clone(this.get(name, namespace, objectName));
    change(copy);
    return this.update(name, copy, options);
  }

  /** Puts a pod that has no node on one. No update of the pod itself can. */
  bindPod(pod: KubeObject, nodeName: string): KubeObject {
    const bound = clone(pod);
    bound.spec = { ...objectOr(bound.spec), nodeName };
    return this.#commit("pods", pod, bound);
  }

  delete(
    name: ResourceName,
    namespace: string | undefined,
    objectName: string,
    options: DeleteOptions = {},
  ): Deletion {
    const resource = this.#resource(name);
    const current = this.get(name, namespace, objectName);
    this.#checkPreconditions(name, current, options);
    const rules = kindRules(resource);
    rules.delete?.(current, this, resource);
    const grace = rules.gracePeriod?.(current, options.gracePeriodSeconds) ?? 0;
    const waits =
      grace > 0 ||
      (current.metadata.finalizers ?? []).length > 0 ||
      rules.finalizes?.(current, this) === true;
    if (options.dryRun) return { object: current, gone: !waits };
    if (!waits) return { object: this.#remove(name, current, clone(current)), gone: true };
    const object = this.#markDeleted(name, current, grace);
    rules.deletionMarked?.(object, this, resource);
    const left = this.find(name, namespace, objectName);
    return { object: left ?? object, gone: left === undefined };
  }

  /** Removes an object whose deletion was marked and that nothing holds any more. */
  release(name: ResourceName, object: KubeObject): void {
    this.#remove(name, object, clone(object));
  }

  #markDeleted(name: ResourceName, current: KubeObject, grace: number): KubeObject {
    const previous = current.metadata.deletionGracePeriodSeconds;
    // A second delete may shorten the grace period, never lengthen it.
    if (previous !== undefined && previous <= grace) return current;
    const marked = clone(current);
    marked.metadata.deletionTimestamp = timestamp(this.now() + grace * 1000);
    marked.metadata.deletionGracePeriodSeconds = grace;
    if (marked.metadata.generation !== undefined) marked.metadata.generation++;
    return this.#commit(name, current, marked);
  }

  #commit(name: ResourceName, previous: KubeObject | undefined, object: KubeObject): KubeObject {
    object.metadata.resourceVersion = String(this.history.next);
    const objects = this.#objects.get(name) ?? new Map<string, KubeObject>();
    this.#objects.set(name, objects);
    objects.set(keyOf(object), freeze(object));
    const change =
      previous === undefined ? { type: "ADDED" as const } : { type: "MODIFIED" as const, previous };
    this.history.append({ resource: name, object, ...change });
    kindRules(this.#resource(name)).committed?.(object, this);
    return object;
  }

  #remove(name: ResourceName, previous: KubeObject, last: KubeObject): KubeObject {
    const resource = this.#resource(name);
    last.metadata.resourceVersion = String(this.history.next);
    this.#objects.get(name)?.delete(keyOf(previous));
    this.history.append({ resource: name, type: "DELETED", object: freeze(last), previous });
    kindRules(resource).removed?.(last, this, resource);
    const { namespace } = last.metadata;
    if (namespace !== undefined) this.#releaseNamespace(namespace);
    return last;
  }

  /** A namespace that is being deleted goes with the last object in it. */
  #releaseNamespace(name: string): void {
    const namespace = this.find("namespaces", undefined, name);
    if (namespace?.metadata.deletionTimestamp !== undefined && !this.hasObjectsIn(name)) {
      this.release("namespaces", namespace);
    }
  }

  hasObjectsIn(namespace: string): boolean {
    return [...this.#objects.values()].some((objects) =>
      [...objects.values()].some(({ metadata }) => metadata.namespace === namespace),
    );
  }

  #checkNamespace(resource: Resource, object: KubeObject): void {
    const { namespace, name } = object.metadata;
    if (namespace === undefined) return;
    const found = this.get("namespaces", undefined, namespace);
    if (found.metadata.deletionTimestamp === undefined) return;
    const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
    throw forbidden({ group: resource.group, kind: resource.plural, name }, why);
  }

  #checkPreconditions(name: ResourceName, { metadata }: KubeObject, options: DeleteOptions): void {
    const subject = this.#subject(name, metadata.name);
    if (options.uid !== undefined && options.uid !== metadata.uid) {
      throw conflict(
        subject,
        `Precondition failed: UID in precondition: ${options.uid}, UID in object meta: ${metadata.uid}`,
      );
    }
    if (options.resourceVersion !== undefined && options.resourceVersion !== metadata.resourceVersion) {
      throw conflict(subject, "Precondition failed: ResourceVersion in precondition does not match");
    }
  }

  #resource(name: ResourceName): Resource {
    const resource = this.catalog.get(name);
    if (resource === undefined) throw unknownPath();
    return resource;
  }

  #subject(name: ResourceName, objectName: string): Subject {
    const { group, plural } = this.#resource(name);
    return { group, kind: plural, name: objectName };
  }
}

/** Marked for deletion, and neither a finalizer nor a grace period holds it any more. */
function isReleased({ metadata }: KubeObject): boolean {
  const held = (metadata.finalizers ?? []).length > 0 || (metadata.deletionGracePeriodSeconds ?? 0) > 0;
  return metadata.deletionTimestamp !== undefined && !held;
}

/** Names hold no "/". */
export function key(namespace: string | undefined, name: string): string {
  return `${namespace ?? ""}/${name}`;
}

export function keyOf({ metadata }: KubeObject): string {
  return key(metadata.namespace, metadata.name);
}
