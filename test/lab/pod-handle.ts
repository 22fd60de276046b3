/** A running pod, to run programs in. */
import type { ChildProcess } from "node:child_process";
import { type Outcome, type RunOptions, run } from "./command.ts";
import { launch, launchArgv, type Place } from "./launch.ts";
import type { LabNames } from "./names.ts";
import { type ContainerRecord, type PodRecord, readRecord, recordedPods } from "./pod-record.ts";

/** A shell command, or a program with its arguments. */
export type Command = string | readonly string[];

export interface ExecOptions extends Pick<RunOptions, "input" | "timeoutMs"> {
  /** The first running container if not said. */
  readonly container?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export class PodHandle {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** Path of its network namespace; the node's for a hostNetwork pod. */
  readonly netns: string;
  /** The pod's directory in the cgroup2 tree. */
  readonly cgroup: string;
  readonly #record: PodRecord;

  constructor(record: PodRecord) {
    this.namespace = record.namespace;
    this.name = record.name;
    this.uid = record.uid;
    this.ipv4 = record.ips.find((ip) => !ip.includes(":")) ?? "";
    this.ipv6 = record.ips.find((ip) => ip.includes(":")) ?? "";
    this.netns = record.netns;
    this.cgroup = record.cgroup;
    this.#record = record;
  }

  /** The directory of one container's cgroup. */
  containerCgroup(container?: string): string {
    return this.#container(container).cgroup;
  }

  /** Runs it to its end in the pod's cgroup and namespaces. */
  exec(command: Command, options: ExecOptions = {}): Promise<Outcome> {
    const { cgroup, env, workingDir } = this.#container(options.container);
    const argv = launchArgv(this.#place(cgroup), { argv: words(command), workingDir });
    return run(argv, { ...options, env: { ...env, ...options.env } });
  }

  /** Starts it and leaves it running. Its pid is the program's; the caller ends it, or the pod's end does. */
  spawn(command: Command, options: Omit<ExecOptions, "input" | "timeoutMs"> = {}): ChildProcess {
    const { cgroup, env, workingDir } = this.#container(options.container);
    const program = { argv: words(command), workingDir, env: { ...env, ...options.env } };
    return launch(this.#place(cgroup), program, "pipe");
  }

  /** Runs it with the caller's own terminal. */
  attach(command: Command, container?: string): ChildProcess {
    const { cgroup, env, workingDir } = this.#container(container);
    const terminal = process.env.TERM === undefined ? {} : { TERM: process.env.TERM };
    const program = { argv: words(command), workingDir, env: { ...terminal, ...env } };
    return launch(this.#place(cgroup), program, "inherit", { ownSession: false });
  }

  #place(cgroup: string): Place {
    const { netns, mntns } = this.#record;
    return { cgroup, netns, ...(mntns === undefined ? {} : { mntns }) };
  }

  #container(name: string | undefined): ContainerRecord {
    const { containers } = this.#record;
    const found =
      name === undefined ? containers[0] : containers.find((container) => container.name === name);
    if (found !== undefined) return found;
    const names = containers.map((container) => container.name).join(", ") || "none";
    throw new Error(
      `run a program in pod ${this.namespace}/${this.name}: no container ${name ?? ""} runs; running: ${names}`,
    );
  }
}

/** Throws, naming the pods there are, if it does not run. */
export function findPod(names: LabNames, namespace: string, name: string): PodHandle {
  const record = readRecord(names, namespace, name);
  if (record !== undefined) return new PodHandle(record);
  const others = recordedPods(names).join(", ") || "none";
  throw new Error(`find pod ${namespace}/${name}: it does not run; running pods: ${others}`);
}

function words(command: Command): readonly string[] {
  return typeof command === "string" ? ["sh", "-c", command] : command;
}
