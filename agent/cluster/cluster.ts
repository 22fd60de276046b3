/** All that the agent knows of the cluster: one reflector for each resource, together an immutable snapshot. */
import type { Clock } from "../model/clock.ts";
import type { Namespace } from "../model/objects.ts";
import type { Api } from "./api.ts";
import type { Condition } from "./conditions.ts";
import type { Log } from "./log.ts";
import { Reflector, type ReflectorHealth, type ReflectorOptions } from "./reflector.ts";
import * as resources from "./resources.ts";
import type { Snapshot } from "./snapshot.ts";

export interface ClusterOptions {
  readonly api: Api;
  readonly clock: Clock;
  readonly log: Log;
  readonly nodeName: string;
  /** The snapshot, or `synced`, may differ from what it was: look again. Never called twice for one burst. */
  readonly onChange: () => void;
  readonly random?: () => number;
}

export class Cluster {
  readonly #reflectors: ReturnType<typeof buildReflectors>;
  readonly #onChange: () => void;
  #announced = false;
  #snapshot: Snapshot | undefined;
  readonly #namespaces = memo(
    (all: readonly Namespace[]): ReadonlyMap<string, Namespace> =>
      new Map(all.map((each) => [each.name, each])),
  );
  readonly #endpoints = memo(<T>(agents: readonly T[], clouds: readonly T[]) => [...agents, ...clouds]);

  constructor(options: ClusterOptions) {
    this.#onChange = options.onChange;
    this.#reflectors = buildReflectors(options.nodeName, { ...options, onChange: () => this.#announce() });
  }

  /** The same object, and in it the same arrays, until something in them changes. */
  snapshot(): Snapshot {
    const from = this.#reflectors;
    const next: Snapshot = {
      pods: from.pods.values(),
      localPods: from.localPods.values(),
      nodes: from.nodes.values(),
      namespaces: this.#namespaces(from.namespaces.values()),
      services: from.services.values(),
      endpointSlices: from.endpointSlices.values(),
      referenceGrants: from.referenceGrants.values(),
      endpoints: this.#endpoints(from.agentEndpoints.values(), from.cloudEndpoints.values()),
      connectionPolicies: from.connectionPolicies.values(),
      trafficPolicies: from.trafficPolicies.values(),
    };
    const last = this.#snapshot;
    const same =
      last !== undefined && (Object.keys(next) as (keyof Snapshot)[]).every((key) => last[key] === next[key]);
    if (!same) this.#snapshot = next;
    return this.#snapshot ?? next;
  }

  /** Every resource has been listed once, or the server does not have it. Before that a snapshot means nothing. */
  get synced(): boolean {
    return this.#all().every((reflector) => reflector.synced);
  }

  health(): readonly ReflectorHealth[] {
    return this.#all().map((reflector) => reflector.health());
  }

  /** What the object's status said when we last heard; undefined if there is no such object. */
  conditions(object: resources.PolicyRef): readonly Condition[] | undefined {
    const { agentEndpoints, cloudEndpoints, connectionPolicies } = this.#reflectors;
    const of = {
      AgentEndpoint: agentEndpoints,
      CloudEndpoint: cloudEndpoints,
      ConnectionPolicy: connectionPolicies,
    };
    return of[object.kind].conditions(object);
  }

  start(): void {
    for (const reflector of this.#all()) reflector.start();
  }

  /** Resolves when nothing of it runs any more. The last snapshot stays. */
  async stop(): Promise<void> {
    await Promise.all(this.#all().map((reflector) => reflector.stop()));
  }

  #all(): readonly Pick<Reflector<unknown>, "synced" | "health" | "start" | "stop">[] {
    return Object.values(this.#reflectors);
  }

  /** One piece of the stream may hold hundreds of events. */
  #announce(): void {
    if (this.#announced) return;
    this.#announced = true;
    queueMicrotask(() => {
      this.#announced = false;
      this.#onChange();
    });
  }
}

function buildReflectors(nodeName: string, options: ReflectorOptions) {
  return {
    pods: new Reflector(resources.pods, options),
    localPods: new Reflector(resources.localPods(nodeName), options),
    nodes: new Reflector(resources.nodes, options),
    namespaces: new Reflector(resources.namespaces, options),
    services: new Reflector(resources.services, options),
    endpointSlices: new Reflector(resources.endpointSlices, options),
    referenceGrants: new Reflector(resources.referenceGrants, options),
    agentEndpoints: new Reflector(resources.agentEndpoints, options),
    cloudEndpoints: new Reflector(resources.cloudEndpoints, options),
    trafficPolicies: new Reflector(resources.trafficPolicies, options),
    connectionPolicies: new Reflector(resources.connectionPolicies, options),
  };
}

/** `make`, called again only when an argument is another object than last time. */
function memo<A extends readonly unknown[], R>(make: (...args: A) => R): (...args: A) => R {
  let last: { readonly args: A; readonly result: R } | undefined;
  return (...args) => {
    if (last === undefined || args.some((arg, index) => arg !== last?.args[index])) {
      last = { args, result: make(...args) };
    }
    return last.result;
  };
}
