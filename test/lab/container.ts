/** One container of a pod: its process, restarted as the pod asks, and what kubelet would say about it. */
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname, join } from "node:path";
import { destroyCgroup, makeCgroup } from "./cgroup.ts";
import { exitStatus } from "./command.ts";
import type { Container, ContainerState, ContainerStatus } from "./kube-objects.ts";
import { launch, type Place, type Program } from "./launch.ts";
import type { CgroupDriver } from "./names.ts";
import { containerCgroup } from "./pod-cgroup.ts";

export interface ContainerSetting {
  readonly driver: CgroupDriver;
  /** The pod's directory, which exists while the container runs. */
  readonly podCgroup: () => string;
  /** The container's own directory of log files, `0.log` for its first run. */
  readonly logDir: string;
  /** Something that the pod's status shows has changed. */
  readonly changed: () => void;
}

export class ContainerRun {
  readonly spec: Container;
  readonly #setting: ContainerSetting;
  readonly #changed: () => void;
  #state: ContainerState = { waiting: { reason: "ContainerCreating" } };
  #lastState: ContainerState = {};
  #runs = 0;
  #id: string | undefined;
  #child: ChildProcess | undefined;
  ready = false;

  constructor(spec: Container, setting: ContainerSetting) {
    this.spec = spec;
    this.#setting = setting;
    this.#changed = setting.changed;
  }

  /** Undefined while nothing runs. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Its cgroup, of the present or the last run. */
  get cgroup(): string {
    return join(this.#setting.podCgroup(), containerCgroup(this.#id ?? "", this.#setting.driver));
  }

  get exitCode(): number | undefined {
    return this.#state.terminated?.exitCode;
  }

  /** Runs the program once, to its end. Never rejects: what goes wrong is a terminated state, as kubelet has it. */
  async run(place: Omit<Place, "cgroup">, program: Program): Promise<void> {
    const startedAt = timestamp();
    this.#id = randomBytes(32).toString("hex");
    this.#lastState =
      this.#state.terminated === undefined ? this.#lastState : { terminated: this.#state.terminated };
    this.#runs++;
    try {
      const { code, signal } = await this.#live(place, program, startedAt);
      this.#end(startedAt, exitStatus(code, signal));
    } catch (error) {
      this.#end(startedAt, 128, error instanceof Error ? error.message : String(error));
    }
  }

  wait(reason: string, message?: string): void {
    if (this.#state.terminated !== undefined) this.#lastState = { terminated: this.#state.terminated };
    this.#state = { waiting: { reason, ...(message === undefined ? {} : { message }) } };
    this.#changed();
  }

  /** SIGTERM to the program, as the runtime asks a container to stop; the rest of the cgroup goes when it has ended. */
  terminate(): void {
    this.#child?.kill("SIGTERM");
  }

  status(): ContainerStatus {
    return {
      name: this.spec.name,
      image: this.spec.image ?? "",
      imageID: "",
      ...(this.#id === undefined ? {} : { containerID: `containerd://${this.#id}` }),
      ready: this.ready,
      started: this.#state.running !== undefined,
      restartCount: Math.max(0, this.#runs - 1),
      state: this.#state,
      lastState: this.#lastState,
    };
  }

  async #live(
    place: Omit<Place, "cgroup">,
    program: Program,
    startedAt: string,
  ): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    const log = this.#openLog();
    makeCgroup(this.cgroup);
    try {
      const child = launch({ ...place, cgroup: this.cgroup }, program, ["ignore", log, log]);
      const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
        child.on("error", reject);
        child.on("exit", (code, signal) => resolve({ code, signal }));
      });
      this.#child = child;
      this.#state = { running: { startedAt } };
      this.#changed();
      return await ended;
    } finally {
      this.#child = undefined;
      this.ready = false;
      closeSync(log);
      await destroyCgroup(this.cgroup);
    }
  }

  #openLog(): number {
    const path = join(this.#setting.logDir, `${this.#runs - 1}.log`);
    mkdirSync(dirname(path), { recursive: true });
    return openSync(path, "a");
  }

  #end(startedAt: string, exitCode: number, message?: string): void {
    this.#state = {
      terminated: {
        exitCode,
        reason: exitCode === 0 ? "Completed" : "Error",
        ...(message === undefined ? {} : { message }),
        startedAt,
        finishedAt: timestamp(),
        containerID: `containerd://${this.#id}`,
      },
    };
    this.#changed();
  }
}

/** As Kubernetes writes times: whole seconds. */
export function timestamp(now: Date = new Date()): string {
  return now.toISOString().replace(/\.\d+Z$/, "Z");
}
