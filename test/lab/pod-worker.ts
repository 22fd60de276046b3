/** One pod's life on the node, from its first cgroup to its last status. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { NODE_IPV4, NODE_IPV6 } from "./addresses.ts";
import { killCgroup } from "./cgroup.ts";
import { ContainerRun, timestamp } from "./container.ts";
import type { Condition, Container, Pod, PodStatus } from "./kube-objects.ts";
import type { Program } from "./launch.ts";
import type { PodRecord } from "./pod-record.ts";
import { removeRecord, writeRecord } from "./pod-record.ts";
import { podStatus } from "./pod-status.ts";
import { containerProgram } from "./program.ts";
import { isReady } from "./readiness.ts";
import { openSandbox, type Sandbox, type SandboxHost } from "./sandbox.ts";

export interface WorkerHost extends SandboxHost {
  /** Its status may have changed. */
  readonly changed: (worker: PodWorker) => void;
  /** Resolves when a pod that is to end may be taken apart. */
  readonly mayEnd: (worker: PodWorker) => Promise<void>;
  readonly failed: (what: string, error: unknown) => void;
}

export class PodWorker {
  readonly uid: string;
  readonly #host: WorkerHost;
  readonly #containers: readonly ContainerRun[];
  readonly #initContainers: readonly ContainerRun[];
  readonly #programs = new Map<ContainerRun, Program>();
  readonly #ending = new AbortController();
  readonly #startTime = timestamp();
  /** Resolves when nothing of the pod is left on the node. */
  readonly ended: Promise<void>;
  #pod: Pod;
  #sandbox: Sandbox | undefined;
  #ips: readonly string[] = [];
  #initialized = false;
  #finished = false;
  #before: readonly Condition[] = [];
  #grace = Number.POSITIVE_INFINITY;
  #killTimer: NodeJS.Timeout | undefined;

  constructor(host: WorkerHost, pod: Pod) {
    this.uid = pod.metadata.uid ?? "";
    this.#host = host;
    this.#pod = pod;
    this.#containers = pod.spec.containers.map((spec) => this.#containerRun(spec));
    this.#initContainers = (pod.spec.initContainers ?? []).map((spec) => this.#containerRun(spec));
    this.ended = this.#live();
  }

  get pod(): Pod {
    return this.#pod;
  }

  get sandbox(): Sandbox | undefined {
    return this.#sandbox;
  }

  get hasEnded(): boolean {
    return this.#finished;
  }

  isRunning(container: string): boolean {
    return this.#all().some(({ spec, pid }) => spec.name === container && pid !== undefined);
  }

  /** A running container is not ready yet. */
  get awaitsReadiness(): boolean {
    return this.#containers.some(({ pid, ready }) => pid !== undefined && !ready);
  }

  /** The pod's object as the API server has it now. */
  update(pod: Pod): void {
    this.#pod = pod;
    this.checkReadiness();
  }

  /** Asks its programs to end, and makes them after `graceSeconds`. A later call may only shorten the time. */
  end(graceSeconds: number): void {
    if (graceSeconds >= this.#grace) return;
    this.#grace = graceSeconds;
    void this.#host.mayEnd(this).then(() => {
      this.#ending.abort();
      for (const container of this.#all()) container.terminate();
      clearTimeout(this.#killTimer);
      const kill = () => this.#sandbox && killCgroup(this.#sandbox.cgroup);
      if (graceSeconds <= 0) kill();
      else this.#killTimer = setTimeout(kill, graceSeconds * 1000);
    });
  }

  checkReadiness(): void {
    for (const container of this.#containers) {
      const ready = isReady(this.#pod, container.spec, container.pid, this.#sandbox?.place.netns);
      if (ready === container.ready) continue;
      container.ready = ready;
      this.#changed();
    }
  }

  status(): PodStatus {
    const status = podStatus({
      pod: this.#pod,
      ips: this.#ips,
      hostIps: [NODE_IPV4, NODE_IPV6],
      startTime: this.#startTime,
      initialized: this.#initialized,
      finished: this.#finished,
      containers: this.#containers.map((container) => container.status()),
      initContainers: this.#initContainers.map((container) => container.status()),
      before: this.#before,
      now: timestamp(),
    });
    this.#before = status.conditions ?? [];
    return status;
  }

  async #live(): Promise<void> {
    try {
      this.#sandbox = await this.#openSandbox();
      if (this.#sandbox === undefined) return;
      this.#ips = this.#sandbox.ips;
      this.#changed();
      if (await this.#initialize()) {
        this.#initialized = true;
        await Promise.all(this.#containers.map((container) => this.#supervise(container)));
      }
    } finally {
      clearTimeout(this.#killTimer);
      removeRecord(this.#host.names, this.record());
      await this.#closeSandbox();
      this.#finished = true;
      this.#changed();
    }
  }

  /** What cannot be removed now is removed when the lab ends. */
  async #closeSandbox(): Promise<void> {
    const sandbox = this.#sandbox;
    this.#sandbox = undefined;
    try {
      await sandbox?.close();
    } catch (error) {
      this.#host.failed(`take apart pod ${this.#pod.metadata.name}`, error);
    }
  }

  /** Tries until it works: the address may still be another pod's. Undefined if the pod is to end meanwhile. */
  async #openSandbox(): Promise<Sandbox | undefined> {
    while (!this.#ending.signal.aborted) {
      try {
        return await openSandbox(this.#host, this.#pod);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        for (const container of this.#containers) container.wait("CreatePodSandboxError", message);
        await this.#pause(50);
      }
    }
    return undefined;
  }

  /** Init containers run one after the other. False: one failed for good, or the pod is to end. */
  async #initialize(): Promise<boolean> {
    for (const container of this.#initContainers) {
      await this.#supervise(container, "init");
      if (container.exitCode !== 0 || this.#ending.signal.aborted) return false;
    }
    return !this.#ending.signal.aborted;
  }

  /** Runs a container again and again, as the restart policy says, with a pause that grows. */
  async #supervise(container: ContainerRun, role: "init" | "main" = "main"): Promise<void> {
    for (let pause = 100; !this.#ending.signal.aborted; pause = Math.min(2 * pause, 10_000)) {
      await this.#runOnce(container);
      if (this.#ending.signal.aborted || !this.#restarts(container, role)) return;
      await this.#pause(pause);
      if (!this.#ending.signal.aborted) container.wait("CrashLoopBackOff");
    }
  }

  async #runOnce(container: ContainerRun): Promise<void> {
    if (this.#sandbox === undefined) return;
    try {
      const facts = { podIps: this.#ips, hostIp: NODE_IPV4 };
      this.#programs.set(container, containerProgram(this.#pod, container.spec, facts));
    } catch (error) {
      container.wait("CreateContainerConfigError", error instanceof Error ? error.message : String(error));
      return this.#pause(5_000);
    }
    await container.run(this.#sandbox.place, this.#programs.get(container) as Program);
  }

  #restarts(container: ContainerRun, role: "init" | "main"): boolean {
    const policy = this.#pod.spec.restartPolicy ?? "Always";
    const failed = container.exitCode !== 0;
    return failed ? policy !== "Never" : policy === "Always" && role === "main";
  }

  #changed(): void {
    if (this.#sandbox !== undefined) writeRecord(this.#host.names, this.record());
    this.#host.changed(this);
  }

  /** What `exec` needs to know of it now. */
  record(): PodRecord {
    const { namespace = "", name } = this.#pod.metadata;
    const place = this.#sandbox?.place ?? { netns: "" };
    const running = this.#all().filter((container) => container.pid !== undefined);
    const containers = running.map((container) => {
      const { env = {}, workingDir = "" } = this.#programs.get(container) ?? {};
      return { name: container.spec.name, cgroup: container.cgroup, env, workingDir };
    });
    const cgroup = this.#sandbox?.cgroup ?? "";
    return { namespace, name, uid: this.uid, ips: this.#ips, cgroup, ...place, containers };
  }

  #all(): ContainerRun[] {
    return [...this.#containers, ...this.#initContainers];
  }

  #containerRun(spec: Container): ContainerRun {
    const { names, driver } = this.#host;
    return new ContainerRun(spec, {
      driver,
      podCgroup: () => this.#sandbox?.cgroup ?? "",
      logDir: join(names.logDir, this.uid, spec.name),
      changed: () => this.#changed(),
    });
  }

  async #pause(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.#ending.signal }).catch(() => {});
  }
}
