/** The agent as a program of the node, outside kubepods, so that a test can end it in every way and see how it ends. */
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { NODE_NAME } from "../../lab/addresses.ts";
import { AGENT_MAIN, READY_LINE } from "../../lab/agent.ts";
import { type Outcome, run } from "../../lab/command.ts";
import type { Lab } from "../../lab/lab.ts";
import { launch, launchArgv, type Place } from "../../lab/launch.ts";
import { until } from "../../lab/until.ts";

export interface AgentFlags {
  readonly pinPath?: string;
  /** More of its command line; what comes later wins. */
  readonly args?: readonly string[];
  /** Nobody reads its standard output until `read()`. */
  readonly unread?: boolean;
  /** MB of heap it may use before Node.js ends it; default: as much as there is. */
  readonly heapLimit?: number;
}

export class AgentProcess {
  /** `status` as shells count: 128 + the signal's number. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly #child: ChildProcess;
  #stdout = "";
  #stderr = "";

  /** Does not wait until it is ready. */
  constructor(lab: Lab, { pinPath, args = [], unread = false, heapLimit }: AgentFlags = {}) {
    const node = heapLimit === undefined ? [] : [`--max-old-space-size=${heapLimit}`];
    const argv = [process.execPath, ...node, AGENT_MAIN, "agent", ...agentArgs(lab, pinPath), ...args];
    this.#child = launch(nodePlace(lab), { argv, env: environment(), workingDir: "" }, "pipe");
    this.ended = new Promise((resolve, reject) => {
      this.#child.on("error", reject);
      this.#child.on("close", (code, signal) => resolve({ code, signal }));
    });
    this.#child.stderr?.on("data", (chunk) => {
      this.#stderr += chunk;
    });
    if (!unread) this.read();
  }

  read(): void {
    this.#child.stdout?.on("data", (chunk) => {
      this.#stdout += chunk;
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** @throws Error with what it wrote, if it is not or ends first. */
  async ready(): Promise<this> {
    const says = () => `; it wrote ${this.#stderr}${this.#stdout.slice(-2000)}`;
    await until(
      "the agent to be ready",
      () => {
        if (!this.isRunning) throw new Error(`wait for the agent to be ready: it ended${says()}`);
        return READY_LINE.test(this.#stdout);
      },
      { timeoutMs: 30_000 },
      says,
    );
    return this;
  }

  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<number | NodeJS.Signals | null> {
    if (this.isRunning) this.#child.kill(signal);
    const ended = await this.ended;
    return ended.signal ?? ended.code;
  }
}

/** Runs a subcommand on the node to its end. */
export function podgate(lab: Lab, ...args: readonly string[]): Promise<Outcome> {
  const argv = launchArgv(nodePlace(lab), { argv: [process.execPath, AGENT_MAIN, ...args], workingDir: "" });
  return run(argv, { env: environment(), timeoutMs: 20_000 });
}

/** The flags that every agent of the lab has. */
function agentArgs(lab: Lab, pinPath: string = lab.names.pinDir): string[] {
  const flags = {
    kubeconfig: lab.names.kubeconfig,
    "node-name": NODE_NAME,
    "cgroup-root": lab.cgroupRoot,
    "pin-path": pinPath,
    "state-dir": lab.names.stateDir,
  };
  return Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]);
}

function nodePlace(lab: Lab): Place {
  const cgroup = join(lab.names.cgroup, "system.slice", "podgate.service");
  if (!existsSync(cgroup)) mkdirSync(cgroup, { recursive: true });
  return { cgroup, netns: lab.names.nodeNetns };
}

function environment(): Record<string, string> {
  return { PATH: process.env.PATH ?? "", HOME: "/root" };
}
