/** The lab's kubelet: runs the pods the API server assigns to its node and reports how they are. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { NODE_IPV4, NODE_IPV6, NODE_NAME, POD_CIDRS } from "./addresses.ts";
import { type ApiClient, isStatus } from "./api-client.ts";
import { Coalesced } from "./coalesced.ts";
import { timestamp } from "./container.ts";
import { Gate } from "./gate.ts";
import { keyOf, type Pod } from "./kube-objects.ts";
import type { Mirror } from "./mirror.ts";
import { PodWorker, type WorkerHost } from "./pod-worker.ts";
import type { SandboxHost } from "./sandbox.ts";

/** How often a container that should listen is looked at until it does. */
const READINESS_MS = 30;

export interface KubeletSetting extends SandboxHost {
  readonly client: ApiClient;
  readonly pods: () => Mirror<Pod>;
  readonly failed: (what: string, error: unknown) => void;
}

interface Entry {
  readonly worker: PodWorker;
  readonly report: Coalesced;
  /** Its object has never been seen: a test runs it before the API server knows of it. */
  announced: boolean;
}

export class Kubelet {
  readonly #setting: KubeletSetting;
  readonly #entries = new Map<string, Entry>();
  readonly #keep = new Map<string, Gate>();
  readonly #readiness: NodeJS.Timeout;
  #paused = false;
  #stopped = false;

  constructor(setting: KubeletSetting) {
    this.#setting = setting;
    this.#readiness = setInterval(() => this.#checkReadiness(), READINESS_MS);
  }

  /** Makes the node known. */
  async register(): Promise<void> {
    const { client } = this.#setting;
    const metadata = {
      name: NODE_NAME,
      labels: { "kubernetes.io/hostname": NODE_NAME, "kubernetes.io/os": "linux" },
    };
    const spec = { podCIDR: POD_CIDRS[0], podCIDRs: POD_CIDRS };
    await client.create("/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata, spec });
    const now = timestamp();
    const ready = {
      type: "Ready",
      status: "True",
      reason: "KubeletReady",
      lastHeartbeatTime: now,
      lastTransitionTime: now,
    };
    const addresses = [NODE_IPV4, NODE_IPV6].map((address) => ({ type: "InternalIP", address }));
    await client.merge(`/api/v1/nodes/${NODE_NAME}/status`, {
      status: { addresses: [...addresses, { type: "Hostname", address: NODE_NAME }], conditions: [ready] },
    });
  }

  /** Level, not edge: compares what should run with what does. */
  sync(): void {
    if (this.#paused || this.#stopped) return;
    const mine = this.#setting
      .pods()
      .all()
      .filter(({ spec }) => spec.nodeName === NODE_NAME);
    for (const pod of mine) this.#syncPod(pod);
    const present = new Set(mine.map(({ metadata }) => metadata.uid));
    for (const [uid, { worker, announced }] of this.#entries) {
      if (announced && !present.has(uid)) worker.end(0);
      if (announced && !present.has(uid)) void worker.ended.then(() => this.#forget(uid));
    }
  }

  /** The running pod of that name, the newest if an old one still ends. */
  find(namespace: string, name: string): PodWorker | undefined {
    const workers = [...this.#entries.values()].map(({ worker }) => worker);
    return workers.findLast(
      ({ pod, sandbox }) => sandbox !== undefined && keyOf(pod) === `${namespace}/${name}`,
    );
  }

  isRunning(uid: string, container: string): boolean {
    return this.#entries.get(uid)?.worker.isRunning(container) ?? false;
  }

  // For tests

  /** Starts and ends nothing until `resume`. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.sync();
  }

  /** Keeps the pod's programs, cgroup and network although its object goes, until the returned function is called. */
  keep(uid: string): () => void {
    const gate = this.#keep.get(uid) ?? new Gate();
    this.#keep.set(uid, gate);
    return gate.hold();
  }

  /** Runs a pod whose object the API server does not have yet; creating it there with the same UID makes it ordinary. */
  runUnannounced(pod: Pod): PodWorker {
    return this.#start({ ...pod, spec: { ...pod.spec, nodeName: NODE_NAME } }, false).worker;
  }

  /** Ends every pod and reports nothing more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#readiness);
    for (const gate of this.#keep.values()) gate.open();
    await Promise.all(
      [...this.#entries.values()].map(async ({ worker, report }) => {
        worker.end(0);
        await worker.ended;
        await report.stop();
      }),
    );
  }

  #syncPod(pod: Pod): void {
    const { uid = "", deletionTimestamp, deletionGracePeriodSeconds = 0 } = pod.metadata;
    const entry = this.#entries.get(uid);
    if (entry === undefined) {
      if (deletionTimestamp !== undefined) void this.#delete(pod);
      else if (!["Succeeded", "Failed"].includes(pod.status?.phase ?? "")) this.#start(pod, true);
      return;
    }
    if (!entry.announced) entry.report.trigger();
    entry.announced = true;
    entry.worker.update(pod);
    if (deletionTimestamp !== undefined) entry.worker.end(deletionGracePeriodSeconds);
  }

  #start(pod: Pod, announced: boolean): Entry {
    const uid = pod.metadata.uid ?? "";
    const host: WorkerHost = {
      ...this.#setting,
      changed: () => this.#entries.get(uid)?.report.trigger(),
      mayEnd: async () => this.#keep.get(uid)?.passed(),
    };
    const worker = new PodWorker(host, pod);
    const report = new Coalesced(
      () => this.#report(worker),
      (error) => this.#setting.failed(`report pod ${keyOf(pod)}`, error),
    );
    const entry = { worker, report, announced };
    this.#entries.set(uid, entry);
    void worker.ended.then(() => report.trigger());
    return entry;
  }

  async #report(worker: PodWorker): Promise<void> {
    if (this.#stopped || this.#entries.get(worker.uid)?.announced !== true) return;
    const { metadata } = worker.pod;
    const path = `${podPath(worker.pod)}/status`;
    try {
      // The UID makes it a conflict if another pod has the name by now.
      await this.#setting.client.merge(path, { metadata: { uid: worker.uid }, status: worker.status() });
    } catch (error) {
      if (!isStatus(error, 404, 409)) throw error;
    }
    if (metadata.deletionTimestamp !== undefined && worker.hasEnded) await this.#delete(worker.pod);
  }

  /** The last word on a pod that is being deleted: nothing of it is left. */
  async #delete(pod: Pod): Promise<void> {
    try {
      const { uid = "" } = pod.metadata;
      await this.#setting.client.delete(podPath(pod), { uid, gracePeriodSeconds: 0 });
    } catch (error) {
      if (!isStatus(error, 404, 409)) this.#setting.failed(`delete pod ${keyOf(pod)}`, error);
    }
  }

  #forget(uid: string): void {
    this.#entries.delete(uid);
    this.#keep.delete(uid);
    rmSync(join(this.#setting.names.logDir, uid), { recursive: true, force: true });
  }

  #checkReadiness(): void {
    for (const { worker } of this.#entries.values()) if (worker.awaitsReadiness) worker.checkReadiness();
  }
}

function podPath({ metadata }: Pod): string {
  return `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`;
}
