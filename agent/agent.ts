/** The agent: builds every part, knows the order in which they start and stop, and says when it is ready. */
import * as fs from "node:fs";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { findAccess } from "./cluster/access.ts";
import { Api } from "./cluster/api.ts";
import { Cluster } from "./cluster/cluster.ts";
import type { PolicyRef } from "./cluster/resources.ts";
import { StatusWriter } from "./cluster/status.ts";
import { Dataplane } from "./dataplane/dataplane.ts";
import { decodeEvent } from "./dataplane/event.ts";
import { isThere, type Kernel } from "./dataplane/kernel.ts";
import { loadNative, splitRecords } from "./dataplane/native.ts";
import { Node } from "./dataplane/node.ts";
import { ownAddresses } from "./dataplane/own-addresses.ts";
import { LastValidStore } from "./guard/last-valid.ts";
import { DEFAULT_PREFIXES } from "./identity/annotations.ts";
import { listPodCgroups, readDirectory } from "./identity/cgroup-tree.ts";
import { type IdentityReader, identityReader } from "./identity/pod-identity.ts";
import type { Clock } from "./model/clock.ts";
import { Narrator } from "./narrate.ts";
import { Proxying, type ProxyingOptions } from "./proxying.ts";
import { Reauthorizing } from "./reauthorizing.ts";
import { type Reconciled, type ReconcileOptions, Reconciler } from "./reconcile.ts";
import { Repeater } from "./repeater.ts";
import type { AgentLog } from "./verdict/log.ts";
import { lossReport } from "./verdict/losses.ts";
import { metricsPage } from "./verdict/metrics.ts";
import { type MetricsAddress, serveMetrics } from "./verdict/metrics-server.ts";
import { Rejections } from "./verdict/rejections.ts";

export interface AgentOptions {
  readonly kubeconfig?: string;
  readonly nodeName: string;
  /** The cgroup that holds the pods' directories. */
  readonly cgroupRoot: string;
  readonly pinPath: string;
  readonly stateDir: string;
  readonly trustedNamespaces: readonly string[];
  readonly hostNetworkIdentity: "none" | "cgroup";
  readonly eventsPerSecond: number;
  /** Undefined: there are no metrics. */
  readonly metricsAddress?: MetricsAddress;
  readonly proxy: Omit<ProxyingOptions, "cgroupRoot" | "eventsPerSecond">;
}

const RECONCILE_EVERY_MS = 10_000;

export class Agent {
  readonly #options: AgentOptions;
  readonly #log: AgentLog;
  readonly #clock: Clock;
  readonly #rejections = new Rejections();
  readonly #closers: (() => void | Promise<void>)[] = [];

  constructor(options: AgentOptions, log: AgentLog, clock: Clock) {
    this.#options = options;
    this.#log = log;
    this.#clock = clock;
  }

  /**
   * Resolves when enforcement is complete and true to the cluster. Until then what an earlier agent pinned stays in
   * force, and a node without one is as open as before. @throws Error when anything is missing; nothing is attached then.
   */
  async start(): Promise<void> {
    try {
      await this.#start();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Stops watching and reading. Enforcement is pinned and stays. */
  async stop(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }

  async #start(): Promise<void> {
    const node = new Node({
      ...this.#options,
      agentDownAfter: this.#options.proxy.agentDownAfter,
      onMissing: (operation, error) =>
        this.#log.log("warn", "this kernel lacks a feature: the agent does without", { operation, error }),
    });
    this.#closers.push(() => node.close());
    const repeater = new Repeater(this.#clock, RECONCILE_EVERY_MS, (error) =>
      this.#log.log("error", "reconcile failed: what is enforced stays, and it is tried again", {
        error: error.message,
      }),
    );
    const { cluster, status } = await this.#watchCluster(() => repeater.again());
    const dataplane = new Dataplane(node.kernel.maps, this.#clock);
    const identityOf = identityReader(DEFAULT_PREFIXES);
    const reconciler = this.#reconciler(cluster, node, dataplane, identityOf);
    const narrator = new Narrator(dataplane, identityOf);

    const losses = lossReport(node.kernel.lostEvents(), (lost, dropped) =>
      this.#log.log("warn", "verdict lines are missing: the kernel's counters are still exact", {
        lost,
        dropped,
      }),
    );
    const ready = Promise.withResolvers<void>();
    const proxying = this.#proxying(node, narrator);
    this.#serveMetrics(node.kernel, proxying);
    let attached = false;
    let reauthorizing: Reauthorizing | undefined;
    repeater.start(async () => {
      if (!cluster.synced) return undefined;
      const reconciled = await reconciler.run();
      narrator.learn(reconciled);
      this.#report(reconciled, status);
      losses(node.kernel.lostEvents(), this.#log.dropped());
      if (!attached) {
        // All or nothing: the maps are full before the first program looks at them.
        const canRedirect = node.attach();
        this.#readEvents(node.kernel, narrator);
        proxying.start(canRedirect);
        reauthorizing = this.#reauthorizing(node, narrator, identityOf, proxying);
        attached = true;
        ready.resolve();
      }
      proxying.learn(reconciled);
      reauthorizing?.learn(reconciled);
      return dataplane.sweep();
    });
    this.#closers.push(
      () => repeater.stop(),
      () => reauthorizing?.close(),
      // While what is open drains, everything else goes on.
      () => proxying.close(),
      () => node.retire(),
    );
    node.watchCgroups(() => repeater.again());
    await ready.promise;
    const { nodeName, cgroupRoot } = this.#options;
    this.#log.log("info", "ready", { node: nodeName, cgroup_root: cgroupRoot });
  }

  async #watchCluster(onChange: () => void): Promise<{ cluster: Cluster; status: StatusWriter }> {
    const { kubeconfig, nodeName } = this.#options;
    const [clock, log] = [this.#clock, this.#log.log];
    const api = new Api(await findAccess(clock, kubeconfig), clock);
    const cluster = new Cluster({ api, clock, log, nodeName, onChange });
    const status = new StatusWriter({
      api,
      clock,
      log,
      current: (object) => cluster.conditions(object),
      agents: () => cluster.snapshot().nodes.length,
    });
    this.#closers.push(
      () => cluster.stop(),
      () => status.stop(),
    );
    cluster.start();
    status.start();
    return { cluster, status };
  }

  #reconciler(
    cluster: Cluster,
    node: Node,
    dataplane: Dataplane,
    identityOf: ReconcileOptions["identityOf"],
  ): Reconciler {
    const { cgroupRoot, hostNetworkIdentity, stateDir, trustedNamespaces } = this.#options;
    const lastValid = new LastValidStore(lastValidDirectory(stateDir), fs, (error) =>
      this.#log.log("error", "the last valid policies cannot be kept", { error: error.message }),
    );
    return new Reconciler(
      {
        clock: this.#clock,
        snapshot: () => cluster.snapshot(),
        podCgroups: () => listPodCgroups(cgroupRoot, readDirectory),
        taskNetns: () => node.taskNetns(),
        cgroupId: (path) => node.cgroupId(path),
        ownAddresses,
      },
      {
        trustedNamespaces: new Set(trustedNamespaces),
        identityOf,
        hostNetworkIdentity,
        nodeNetnsCookie: node.netnsCookie,
      },
      dataplane,
      lastValid,
    );
  }

  #proxying(node: Node, narrator: Narrator): Proxying {
    const { cgroupRoot, eventsPerSecond, proxy } = this.#options;
    return new Proxying(
      { ...proxy, cgroupRoot, eventsPerSecond },
      { native: loadNative(), maps: node.kernel.maps, narrator, log: this.#log, clock: this.#clock },
    );
  }

  /** Undefined without a broker, which says so: then what is open stays open. */
  #reauthorizing(
    node: Node,
    narrator: Narrator,
    identityOf: IdentityReader,
    proxying: Proxying,
  ): Reauthorizing | undefined {
    const { sockets: table } = proxying;
    if (table === undefined) return undefined;
    const proxied = () => proxying.proxied();
    const { maps } = node.kernel;
    const parts = { table, proxied, maps, narrator, identityOf, log: this.#log, clock: this.#clock };
    return new Reauthorizing(this.#options.cgroupRoot, node.netnsCookie, parts);
  }

  #serveMetrics(kernel: Kernel, proxying: Proxying): void {
    const { metricsAddress } = this.#options;
    if (metricsAddress === undefined) return;
    const page = async () =>
      metricsPage({
        verdicts: kernel.verdictCounts(),
        lost: { events: kernel.lostEvents(), lines: this.#log.dropped() },
        ...(proxying.counts && { proxy: proxying.counts }),
      });
    const server = serveMetrics(metricsAddress, page, (error) =>
      this.#log.log("error", "there are no metrics: pass another --metrics-address", {
        error: error.message,
      }),
    );
    this.#closers.push(() => server.close());
  }

  #readEvents(kernel: Kernel, narrator: Narrator): void {
    const { bootTime } = loadNative();
    kernel.readEvents(
      (batch) => {
        const offset = this.#clock.now() - Number(bootTime() / 1_000_000n);
        for (const record of splitRecords(batch)) {
          const event = decodeEvent(record);
          if (event !== undefined) this.#log.verdict(narrator.tell(event, offset));
        }
      },
      (error) => this.#log.log("error", "a verdict could not be logged", { error: error.message }),
    );
  }

  #report({ conditions, applied, registration }: Reconciled, status: StatusWriter): void {
    for (const { object, uid, generation, accepted, reason, message } of conditions) {
      const state = accepted ? "True" : "False";
      status.want({ ...object, uid } as PolicyRef, [
        { type: "Accepted", status: state, reason, message, observedGeneration: generation },
      ]);
    }
    for (const { object, reason, message } of this.#rejections.fresh(conditions)) {
      this.#log.log("warn", "a policy object is not accepted", { ...object, reason, error: message });
    }
    for (const pressure of applied.pressure) {
      this.#log.log("warn", "a kernel map is over 80 % full: at 90 % new guards are refused", {
        ...pressure,
      });
    }
    if (applied.unguarded > 0) {
      this.#log.log("error", "the kernel's maps are full: addresses that policies guard are open", {
        addresses: applied.unguarded,
      });
    }
    if (applied.changes === 0) return;
    this.#log.log("debug", "reconciled", {
      changes: applied.changes,
      pods: registration.registered.length,
      unresolved: registration.unresolved.map(({ pod, reason }) => `${pod.namespace}/${pod.name}: ${reason}`),
    });
  }
}

/** Removes what the agent keeps on disk. Returns the paths removed. */
export function removeState(stateDir: string): string[] {
  const directory = lastValidDirectory(stateDir);
  if (!isThere(directory)) return [];
  rmSync(directory, { recursive: true });
  return [directory];
}

function lastValidDirectory(stateDir: string): string {
  return join(stateDir, "last-valid");
}
