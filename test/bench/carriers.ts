/** The ways from the caller to the server's `peer` that are compared: nothing between them, Podgate's proxy, and other proxies. */
import { type ChildProcess, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { denyWhere } from "../e2e/support/endpoints.ts";
import { guard, namespaces, service } from "../e2e/support/objects.ts";
import { pidsOf } from "../lab/cgroup.ts";
import type { KubeObject } from "../lab/kube-objects.ts";
import { listeningPorts } from "../lab/listening.ts";
import { until } from "../lab/until.ts";
import { CALLER, type Setting, trafficPorts } from "./setting.ts";
import { echo } from "./traffic.ts";

export const DIRECT = "direct";
export const PODGATE = "podgate";

export interface Carrier {
  readonly name: string;
  /** What the caller dials. */
  readonly address: string;
  readonly port: number;
  /** Of the proxy. */
  readonly pids: readonly number[];
}

export interface Carriers {
  readonly all: readonly Carrier[];
  /** Of `peer`. */
  readonly peer: readonly number[];
  /** What is not compared, and what to do about it. */
  readonly missing: readonly string[];
  readonly stop: () => void;
}

/** Ports of 127.0.0.1 in the caller's namespace. */
const PIPE_PORT = 7000;
const HAPROXY_PORT = 7001;
const SPLICING_HAPROXY_PORT = 7002;
const HAPROXY = "haproxy";

/** Starts a real agent and broker, so nothing else of Podgate may be attached in the lab. */
export async function startCarriers(setting: Setting): Promise<Carriers> {
  const children: ChildProcess[] = [];
  const stop = () => {
    for (const child of children) child.kill("SIGKILL");
  };
  try {
    const direct = { name: DIRECT, address: setting.server.ipv4, port: trafficPorts.direct, pids: [] };
    const all: Carrier[] = [direct, await podgate(setting)];
    const here = async (command: readonly string[], ports: Readonly<Record<string, number>>) => {
      const child = setting.caller.spawn(command);
      children.push(child);
      all.push(...(await listening(setting, child, ports)));
    };
    const pipeProxy = join(import.meta.dirname, "pipe-proxy.ts");
    const to = [setting.server.ipv4, String(trafficPorts.direct)];
    await here([process.execPath, pipeProxy, String(PIPE_PORT), ...to], { "a.pipe(b)": PIPE_PORT });
    const missing = hasHaproxy()
      ? []
      : ["HAProxy is not compared: it is not installed (apt-get install haproxy)"];
    if (missing.length === 0) {
      const ports = { HAProxy: HAPROXY_PORT, "HAProxy, splice-auto": SPLICING_HAPROXY_PORT };
      await here([HAPROXY, "-db", "-q", "-f", haproxyConfiguration(setting)], ports);
    }
    return { all, peer: pidsOf(setting.server.containerCgroup("peer")), missing, stop };
  } catch (error) {
    stop();
    throw error;
  }
}

/** A policy that hangs on the connection itself, so that the kernel cannot decide. */
async function podgate({ lab, caller, server }: Setting): Promise<Carrier> {
  const ports = [{ port: 80, targetPort: trafficPorts.proxied }];
  await lab.apply([
    ...namespaces("bench", CALLER.namespace),
    service("bench", "server", { ports }) as KubeObject,
    guard("bench", "server", [denyWhere("conn.client_port == 1")]),
  ]);
  await lab.settled();
  const name = await lab.startAgent();
  // A verdict line holds up nobody else's bytes, and the broker makes its sockets: both count.
  const pod = lab.pod("podgate-system", name);
  const pids = ["agent", "socket-broker"].flatMap((container) => pidsOf(pod.containerCgroup(container)));
  const carrier = { name: PODGATE, address: server.ipv4, port: trafficPorts.proxied, pids };
  // From now on it is proxied or refused.
  let refusal = "";
  const passes = () =>
    echo(caller, carrier, 0.01).then(
      () => true,
      (error: Error) => {
        refusal = error.message;
        return false;
      },
    );
  await until("the proxy to let the caller through", passes, {}, () => `: ${refusal}`);
  return carrier;
}

async function listening(
  { caller }: Setting,
  child: ChildProcess,
  ports: Readonly<Record<string, number>>,
): Promise<Carrier[]> {
  const { pid } = child;
  if (pid === undefined) throw new Error(`start ${Object.keys(ports).join(" and ")}: it has no process`);
  let complaint = "";
  child.stderr?.on("data", (chunk) => {
    complaint += chunk;
  });
  child.stdout?.resume();
  const listens = () => {
    if (child.exitCode !== null) throw new Error(`start ${child.spawnargs.join(" ")}: ${complaint}`);
    const open = listeningPorts(pid, caller.netns);
    return Object.values(ports).every((port) => open.has(port));
  };
  await until(`${Object.keys(ports).join(" and ")} to listen`, listens);
  return Object.entries(ports).map(([name, port]) => ({ name, address: "127.0.0.1", port, pids: [pid] }));
}

function hasHaproxy(): boolean {
  return spawnSync(HAPROXY, ["-v"], { stdio: "ignore" }).status === 0;
}

/** As its package would run it, but for the time-outs, which it insists on. */
function haproxyConfiguration({ lab, server }: Setting): string {
  const file = join(lab.names.stateDir, "haproxy.cfg");
  const listen = (name: string, port: number, ...options: readonly string[]) => [
    `listen ${name}`,
    `  bind 127.0.0.1:${port}`,
    ...options.map((option) => `  option ${option}`),
    `  server peer ${server.ipv4}:${trafficPorts.direct}`,
  ];
  const lines = [
    "defaults",
    "  mode tcp",
    "  timeout connect 5s",
    "  timeout client 1m",
    "  timeout server 1m",
    ...listen("copying", HAPROXY_PORT),
    ...listen("splicing", SPLICING_HAPROXY_PORT, "splice-auto"),
  ];
  writeFileSync(file, `${lines.join("\n")}\n`);
  return file;
}
