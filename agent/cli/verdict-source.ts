/** Where `podgate verdicts` reads: standard input, or the logs of the agents' pods. */
import { once } from "node:events";
import { fstatSync } from "node:fs";
import { Lines } from "../cluster/lines.ts";
import { followPodLogs, type PodLogsOptions, readPodLogs } from "../cluster/pod-logs.ts";
import { systemClock } from "../model/clock.ts";
import { type ClusterFlags, connect } from "./cluster-options.ts";

export interface LogFlags extends ClusterFlags {
  /** ms since 1970. */
  readonly since?: number;
  readonly agentNamespace: string;
  readonly selector: string;
}

/** Of each agent's log, where no --since says otherwise. */
const LAST_LINES = 100;

/** Asked for a cluster: never. Else where something is piped or redirected into it. */
export function readsStdin({ kubeconfig, context }: LogFlags): boolean {
  if (kubeconfig !== undefined || context !== undefined) return false;
  try {
    const stdin = fstatSync(0);
    return stdin.isFIFO() || stdin.isFile() || stdin.isSocket();
  } catch {
    // Closed: there is nothing to read.
    return false;
  }
}

export async function readStdin(show: (text: string) => void, signal: AbortSignal): Promise<void> {
  const lines = new Lines();
  const { stdin, stdout } = process;
  signal.addEventListener("abort", () => stdin.destroy());
  try {
    for await (const chunk of stdin) {
      for (const line of lines.push(chunk)) show(line);
      // Who reads our table slowly makes the writer of the lines wait, not our memory grow.
      if (stdout.writableNeedDrain) await once(stdout, "drain", { signal });
    }
    // The last line may have no end.
    for (const line of lines.push(Buffer.from("\n"))) show(line);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

export async function followAgents(
  flags: LogFlags,
  show: (text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const note = (text: string) => process.stderr.write(`podgate: ${text}\n`);
  await followPodLogs(await source(flags, show, note), signal, (count) => {
    if (count === 0) note(`no agent in ${flags.agentNamespace} (${flags.selector}) yet: waiting for one`);
  });
}

/** What they have written until now. */
export async function readAgents(flags: LogFlags, show: (text: string) => void): Promise<void> {
  const pods = await readPodLogs(await source(flags, show, () => {}));
  if (pods > 0) return;
  throw new Error(
    `find agents: no pod in ${flags.agentNamespace} has ${flags.selector}: give --agent-namespace or --selector`,
  );
}

async function source(
  flags: LogFlags,
  onLine: (text: string) => void,
  note: (text: string) => void,
): Promise<PodLogsOptions> {
  return {
    api: await connect(flags),
    clock: systemClock,
    log: (_level, message, fields) => note(`${message}: ${fields.error ?? fields.problem ?? ""}`),
    namespace: flags.agentNamespace,
    labelSelector: flags.selector,
    container: "agent",
    from: flags.since === undefined ? { lastLines: LAST_LINES } : { time: flags.since },
    onLine,
  };
}
