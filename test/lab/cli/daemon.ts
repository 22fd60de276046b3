/** The process that runs a lab in the background, and how `up` starts it. */
import { spawn } from "node:child_process";
import { appendFileSync, existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { startLab } from "../lab.ts";
import { type CgroupDriver, DEFAULT_DRIVER, type LabNames, labNames } from "../names.ts";

export interface DaemonOptions {
  readonly name: string;
  readonly driver: CgroupDriver;
  readonly agent: boolean;
  /** More of the agent's command line. */
  readonly agentArgs: readonly string[];
}

/** The options that a lab takes at its start alone, as they are written; not those that are the defaults. */
export function startFlags({ agent, agentArgs, driver }: DaemonOptions): readonly string[] {
  return [
    ...(agent ? [] : ["--no-agent"]),
    ...agentArgs.map((argument) => `--agent-arg=${argument}`),
    ...(driver === DEFAULT_DRIVER ? [] : [`--cgroup-driver=${driver}`]),
  ];
}

/** What the daemon tells `up` while that waits. */
type Message =
  | { readonly kind: "progress"; readonly line: string }
  | { readonly kind: "ready"; readonly url: string }
  | { readonly kind: "failed"; readonly message: string };

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));

/** Resolves with the API server's URL once the lab runs; from then on the daemon needs nobody. */
export function startDaemon(options: DaemonOptions, progress: (line: string) => void): Promise<string> {
  const args = [MAIN, "daemon", JSON.stringify(options)];
  const daemon = spawn(process.execPath, args, {
    detached: true,
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  return new Promise((resolve, reject) => {
    daemon.on("error", reject);
    daemon.on("exit", (code, signal) =>
      reject(new Error(`start the lab: its process ended with ${signal ?? code}`)),
    );
    daemon.on("message", (message) => {
      const said = message as Message;
      if (said.kind === "progress") return progress(said.line);
      if (said.kind === "failed") return reject(new Error(said.message));
      daemon.disconnect();
      daemon.unref();
      resolve(said.url);
    });
  });
}

/** The daemon's own part: runs until SIGTERM, or until `up` leaves before it is ready. */
export async function runDaemon(options: DaemonOptions): Promise<void> {
  const say = (message: Message) => process.connected && process.send?.(message);
  let ready = false;
  const starting = startLab({
    name: options.name,
    driver: options.driver,
    daemon: true,
    flags: startFlags(options),
    progress: (line) => say({ kind: "progress", line }),
    failed: (what, error) => note(labNames(options.name), what, error),
  });
  // A lab half started is finished first: only then is it known what to remove.
  const end = async (status: number) => {
    await starting.then((lab) => lab.stop()).catch(() => {});
    process.exit(status);
  };
  process.on("disconnect", () => ready || void end(1));
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => void end(0));
  process.on("uncaughtException", (error) => {
    note(labNames(options.name), "run the lab", error);
    void end(1);
  });
  try {
    const lab = await starting;
    if (options.agent) {
      say({ kind: "progress", line: "starting the agent" });
      await lab.startAgent({ args: options.agentArgs });
    }
    ready = true;
    say({ kind: "ready", url: lab.api.url });
  } catch (error) {
    say({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
    await end(1);
  }
}

/** The daemon has no terminal: what it has to say is in a file of the lab's. */
function note(names: LabNames, what: string, error: unknown): void {
  const text = error instanceof Error ? error.message : String(error);
  // Its directory may be gone already when the lab ends.
  if (!existsSync(names.runDir)) return;
  appendFileSync(names.daemonLog, `${new Date().toISOString()} ${what}: ${text}\n`);
}
