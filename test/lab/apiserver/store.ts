/**
 * The objects of the cluster and the rules every write goes through, whoever writes: HTTP handlers and, in the
 * same process, tests. Objects handed out are shared and frozen; change a copy and write it back.
 */
import { Catalog } from "./catalog.ts";
import { History } from "./history.ts";
import { arrayOr, clone, equal, objectOr } from "./json.ts";
import { kindRules } from "./kinds/rules.ts";
import { newObject, nextObject, preferredVersion } from "./metadata.ts";
import { type KubeObject, type ObjectInput, timestamp } from "./object.ts";
import { Objects } from "./objects.ts";
import { checkDelete, checkNamespace, checkUpdate } from "./preconditions.ts";
import type { Resource, ResourceName } from "./resource.ts";
import { ServiceAddresses } from "./service-addresses.ts";
import { alreadyExists, badRequest, notFound, type Subject, unknownPath } from "./status.ts";

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
  readonly #objects: Objects;

  constructor(options: StoreOptions = {}) {
    this.history = new History(options.historySize ?? 10_000);
    this.#objects = new Objects(this.history);
    const cidrs = options.serviceCidrs ?? ["10.96.0.0/16", "fd00:10:96::/112"];
    this.serviceAddresses = new ServiceAddresses(cidrs);
    this.now = options.now ?? Date.now;
  }

  /** Undefined if there is none. */
  find(name: ResourceName, namespace: string | undefined, objectName: string): KubeObject | undefined {
    return this.#objects.find(name, namespace, objectName);
  }

  /** Throws 404 if there is none. */
  get(name: ResourceName, namespace: string | undefined, objectName: string): KubeObject {
    const found = this.find(name, namespace, objectName);
    if (found === undefined) throw notFound(subjectOf(this.#resource(name), objectName));
    return found;
  }

  /** Sorted by namespace and name, as the real server lists. At an earlier `version`, throws 410 if it is forgotten. */
  list(name: ResourceName, namespace?: string, version?: number): KubeObject[] {
    return this.#objects.list(name, namespace, version);
  }

  hasObjectsIn(namespace: string): boolean {
    return this.#objects.hasAnyIn(namespace);
  }

  /** `uid` (or a preset metadata.uid): for a caller in this process that has made the pod's cgroup already. */
  create(name: ResourceName, input: ObjectInput, options: WriteOptions & { uid?: string } = {}): KubeObject {
    const resource = this.#resource(name);
    if (!resource.namespaced && input.metadata.namespace) {
      throw badRequest("namespace is not allowed on this type");
    }
    const namespace = namespaceOf(resource, input);
    const object = newObject(resource, input, namespace, this.now());
    if (options.uid !== undefined) object.metadata.uid = options.uid;
    const subject = subjectOf(resource, object.metadata.name);
    if (this.find(name, namespace, object.metadata.name)) throw alreadyExists(subject);
    if (namespace !== undefined) checkNamespace(subject, this.get("namespaces", undefined, namespace));
    kindRules(resource).create?.(object, this, resource);
    object.apiVersion = preferredVersion(resource);
    return options.dryRun ? object : this.#commit(name, undefined, object);
  }

  /** Replaces. Throws 409 if `input` carries another resourceVersion than the current one. */
  update(name: ResourceName, input: ObjectInput, options: WriteOptions = {}): KubeObject {
    const resource = this.#resource(name);
    const current = this.get(name, namespaceOf(resource, input), input.metadata.name ?? "");
    checkUpdate(subjectOf(resource, current.metadata.name), current, input);
    const next = nextObject(resource, current, input, options.subresource);
    kindRules(resource).update?.(next, current, this, resource, input);
    // Rules saw the version it was written in; it is kept in the preferred one.
    next.apiVersion = current.apiVersion;
    if (equal(next, current)) return current;
    if (options.dryRun) return next;
    return this.#isFree(name, next) ? this.#remove(name, current, next) : this.#commit(name, current, next);
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
    const condition = { type: "PodScheduled", status: "True", lastTransitionTime: timestamp(this.now()) };
    const status = objectOr(bound.status);
    bound.spec = { ...objectOr(bound.spec), nodeName };
    bound.status = { ...status, conditions: [...arrayOr(status.conditions), condition] };
    return this.#commit("pods", pod, bound);
  }

  /** Removes the object, or marks it where somebody has to let go of it first. */
  delete(
    name: ResourceName,
    namespace: string | undefined,
    objectName: string,
    options: DeleteOptions = {},
  ): Deletion {
    const resource = this.#resource(name);
    const current = this.get(name, namespace, objectName);
    checkDelete(subjectOf(resource, objectName), current, options);
    const rules = kindRules(resource);
    rules.delete?.(current, this, resource);
    const grace = rules.gracePeriod?.(current, options.gracePeriodSeconds) ?? 0;
    const held = (current.metadata.finalizers ?? []).length > 0 || rules.finalizes?.(current, this) === true;
    if (options.dryRun) return { object: current, gone: grace === 0 && !held };
    if (grace === 0 && !held) return { object: this.#remove(name, current), gone: true };
    const object = this.#markDeleted(name, current, grace);
    rules.deletionMarked?.(object, this, resource);
    const left = this.find(name, namespace, objectName);
    return { object: left ?? object, gone: left === undefined };
  }

  /** Removes an object that is marked for deletion and that nothing holds any more. */
  releaseIfFree(name: ResourceName, namespace: string | undefined, objectName: string): void {
    const object = this.find(name, namespace, objectName);
    if (object !== undefined && this.#isFree(name, object)) this.#remove(name, object);
  }

  #isFree(name: ResourceName, object: KubeObject): boolean {
    const { metadata } = object;
    const held = (metadata.finalizers ?? []).length > 0 || (metadata.deletionGracePeriodSeconds ?? 0) > 0;
    if (metadata.deletionTimestamp === undefined || held) return false;
    return kindRules(this.#resource(name)).finalizes?.(object, this) !== true;
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
    const stored = this.#objects.put(name, previous, object);
    kindRules(this.#resource(name)).committed?.(stored, this);
    return stored;
  }

  #remove(name: ResourceName, previous: KubeObject, last?: KubeObject): KubeObject {
    const resource = this.#resource(name);
    const gone = this.#objects.remove(name, previous, last);
    kindRules(resource).removed?.(gone, this, resource);
    const { namespace } = gone.metadata;
    // A namespace that is being deleted goes with the last object in it.
    if (namespace !== undefined) this.releaseIfFree("namespaces", undefined, namespace);
    return gone;
  }

  #resource(name: ResourceName): Resource {
    const resource = this.catalog.get(name);
    if (resource === undefined) throw unknownPath();
    return resource;
  }
}

function namespaceOf(resource: Resource, { metadata }: ObjectInput): string | undefined {
  return resource.namespaced ? metadata.namespace || "default" : undefined;
}

function subjectOf({ group, plural }: Resource, name: string): Subject {
  return { group, kind: plural, name };
}
