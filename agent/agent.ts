/** The agent: builds every part, knows the order in which they start and stop, and says when it is ready. */
import * as fs from "node:fs";
import { existsSync, rmSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join, relative } from "node:path";
import { findAccess } from "./cluster/access.ts";
import { Api } from "./cluster/api.ts";
import { Cluster } from "./cluster/cluster.ts";
import type { PolicyRef } from "./cluster/resources.ts";
import { StatusWriter } from "./cluster/status.ts";
import { decodeEvent } from "./dataplane/abi.ts";
import { bootTimeOffset } from "./dataplane/boot-time.ts";
import { watchCgroups } from "./dataplane/cgroup-watch.ts";
import { Dataplane } from "./dataplane/dataplane.ts";
import { Kernel, lockPins, makePinDirectories, mountDepth, mountRoot } from "./dataplane/kernel.ts";
import { loadNative, type Native, splitRecords } from "./dataplane/native.ts";
import { NetnsScan } from "./dataplane/netns-scan.ts";
import { LastValidStore } from "./guard/last-valid.ts";
import { DEFAULT_PREFIXES } from "./identity/annotations.ts";
import { listPodCgroups, readDirectory } from "./identity/cgroup-tree.ts";
import { type IpAddress, parseAddress } from "./model/address.ts";
import type { Clock } from "./model/clock.ts";
import { Narrator } from "./narrate.ts";
import { type Reconciled, Reconciler } from "./reconcile.ts";
import { Repeater } from "./repeater.ts";
import type { AgentLog } from "./verdict/log.ts";

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
}

const RECONCILE_EVERY_MS = 10_000;

export class Agent {
  readonly #options: AgentOptions;
  readonly #log: AgentLog;
  readonly #clock: Clock;
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
    const native = loadNative();
    const { pinPath, stateDir } = this.#options;
    native.setMemlockUnlimited();
    makePinDirectories(native, pinPath);
    this.#own(lockPins(native, pinPath));
    const nodeNetnsCookie =
      this.#attempt("read the node's network namespace cookie", () => native.netnsCookie()) ?? 0n;
    const scan = this.#attempt(
      "scan the pods' network namespaces",
      () => new NetnsScan(native, this.#options.cgroupRoot),
    );
    if (scan) this.#own(scan);
    const kernel = this.#own(this.#loadKernel(native, scan, nodeNetnsCookie));
    const dataplane = new Dataplane(kernel.maps, this.#clock);

    const api = new Api(await findAccess(this.#clock, this.#options.kubeconfig), this.#clock);
    const repeater = new Repeater(this.#clock, RECONCILE_EVERY_MS, (error) =>
      this.#log.log("error", "reconcile failed: what is enforced stays, and it is tried again", {
        error: error.message,
      }),
    );
    const cluster = new Cluster({
      api,
      clock: this.#clock,
      log: this.#log.log,
      nodeName: this.#options.nodeName,
      onChange: () => repeater.again(),
    });
    const status = new StatusWriter({
      api,
      clock: this.#clock,
      log: this.#log.log,
      current: (object) => cluster.conditions(object),
    });
    const lastValid = new LastValidStore(lastValidDirectory(stateDir), fs, (error) =>
      this.#log.log("error", "the last valid policies cannot be kept", { error: error.message }),
    );
    const reconciler = new Reconciler(
      {
        snapshot: () => cluster.snapshot(),
        podCgroups: () => listPodCgroups(this.#options.cgroupRoot, readDirectory),
        taskNetns: () => scan?.read() ?? [],
        cgroupId: (path) => native.cgroupId(path),
        ownAddresses,
      },
      {
        trustedNamespaces: new Set(this.#options.trustedNamespaces),
        annotationPrefixes: DEFAULT_PREFIXES,
        hostNetworkIdentity: this.#options.hostNetworkIdentity,
        nodeNetnsCookie,
      },
      dataplane,
      lastValid,
    );
    const narrator = new Narrator(dataplane, DEFAULT_PREFIXES);

    this.#closers.push(() => cluster.stop());
    cluster.start();
    status.start();
    this.#closers.push(() => status.stop());
    const ready = Promise.withResolvers<void>();
    let started = false;
    repeater.start(async () => {
      if (!cluster.synced) return undefined;
      const reconciled = await reconciler.run();
      narrator.learn(reconciled);
      this.#report(reconciled, status);
      if (!started) {
        // All or nothing: the maps are full before the first program looks at them.
        kernel.attach();
        this.#readEvents(kernel, narrator);
        started = true;
        ready.resolve();
      }
      return dataplane.sweep();
    });
    this.#closers.push(() => repeater.stop());
    this.#watchCgroups(native, scan, () => repeater.again());
    await ready.promise;
    this.#log.log("info", "ready", {
      node: this.#options.nodeName,
      cgroup_root: this.#options.cgroupRoot,
    });
  }

  #loadKernel(native: Native, scan: NetnsScan | undefined, nodeNetnsCookie: bigint): Kernel {
    const { cgroupRoot, pinPath, eventsPerSecond } = this.#options;
    const [task] = scan?.read() ?? [];
    const cgroupLevel = task?.rootLevel ?? mountDepth(native, cgroupRoot);
    return new Kernel(native, { pinPath, cgroupRoot, cgroupLevel, nodeNetnsCookie, eventsPerSecond });
  }

  #readEvents(kernel: Kernel, narrator: Narrator): void {
    kernel.readEvents(
      (batch) => {
        const offset = bootTimeOffset(() => this.#clock.now());
        for (const record of splitRecords(batch)) {
          const event = decodeEvent(record);
          if (event !== undefined) this.#log.verdict(narrator.tell(event, offset));
        }
      },
      (error) => this.#log.log("error", "a verdict could not be logged", { error: error.message }),
    );
  }

  #watchCgroups(native: Native, scan: NetnsScan | undefined, onChange: () => void): void {
    const root = mountRoot(native, this.#options.cgroupRoot);
    const path = `/${relative(root, this.#options.cgroupRoot)}`;
    const [task] = scan?.read() ?? [];
    if (task !== undefined && task.rootLevel !== mountDepth(native, this.#options.cgroupRoot)) {
      this.#log.log(
        "warn",
        "new pods are found by scanning only: a cgroup namespace hides the hierarchy's root",
        {},
      );
      return;
    }
    const watch = this.#attempt("watch for new pod cgroups", () => watchCgroups(native, path, onChange));
    if (watch) this.#own(watch);
  }

  #report({ conditions, applied, registration }: Reconciled, status: StatusWriter): void {
    for (const { object, uid, generation, accepted, reason, message } of conditions) {
      status.want({ ...object, uid } as PolicyRef, [
        {
          type: "Accepted",
          status: accepted ? "True" : "False",
          reason,
          message,
          observedGeneration: generation,
        },
      ]);
    }
    for (const pressure of applied.pressure) {
      this.#log.log("warn", "a kernel map is over 80 % full: at 90 % new guards are refused", {
        ...pressure,
      });
    }
    if (applied.changes > 0) {
      this.#log.log("debug", "reconciled", {
        changes: applied.changes,
        pods: registration.registered.length,
        unresolved: registration.unresolved.map(
          ({ pod, reason }) => `${pod.namespace}/${pod.name}: ${reason}`,
        ),
      });
    }
  }

  /** A feature that has a fall-back: its absence is a line, not the end. */
  #attempt<T>(operation: string, attempt: () => T): T | undefined {
    try {
      return attempt();
    } catch (error) {
      this.#log.log("warn", "this kernel lacks a feature: the agent does without", {
        operation,
        error: (error as Error).message,
      });
      return undefined;
    }
  }

  #own<T extends { close(): void }>(handle: T): T {
    this.#closers.push(() => handle.close());
    return handle;
  }
}

function ownAddresses(): IpAddress[] {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.flatMap(({ address }) => parseAddress(address) ?? []);
}

/** Removes what the agent keeps on disk. Returns the paths removed. */
export function removeState(stateDir: string): string[] {
  const directory = lastValidDirectory(stateDir);
  if (!existsSync(directory)) return [];
  rmSync(directory, { recursive: true });
  return [directory];
}

function lastValidDirectory(stateDir: string): string {
  return join(stateDir, "last-valid");
}
