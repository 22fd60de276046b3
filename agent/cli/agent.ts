/** `podgate agent`: runs on every node until it is told to stop. */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { Command } from "commander";
import { Agent, type AgentOptions } from "../agent.ts";
import { systemClock } from "../model/clock.ts";
import { descriptorLimit, withinDescriptors } from "../proxy/descriptors.ts";
import { type AgentLog, agentLog, levels } from "../verdict/log.ts";
import type { MetricsAddress } from "../verdict/metrics-server.ts";
import {
  cgroupRootOption,
  metricsAddress,
  namespaceList,
  oneOf,
  pinPathOption,
  requireCapabilities,
  requireKernel,
  resolveCgroupRoot,
  stateDirOption,
  wholeNumber,
} from "./options.ts";
import { type ProxyFlags, proxyOf, proxyOptions } from "./proxy-options.ts";

interface Flags extends ProxyFlags {
  readonly kubeconfig?: string;
  readonly nodeName: string;
  readonly cgroupRoot?: string;
  readonly pinPath: string;
  readonly stateDir: string;
  readonly trustedNamespaces: readonly string[];
  readonly hostNetworkIdentity: "none" | "cgroup";
  readonly eventsPerSecond: number;
  readonly metricsAddress?: MetricsAddress;
  readonly logLevel: (typeof levels)[number];
}

export function agentCommand(report: (status: number) => void): Command {
  const command = new Command("agent")
    .description("Enforce the cluster's connection policies on this node.")
    .option(
      "--kubeconfig <file>",
      "how to reach the API server (default: the pod's ServiceAccount, then $KUBECONFIG)",
    )
    .option("--node-name <name>", "this node's name in the cluster", process.env.NODE_NAME ?? hostname())
    .addOption(cgroupRootOption())
    .addOption(pinPathOption())
    .addOption(stateDirOption())
    .option("--trusted-namespaces <list>", "namespaces whose objects may guard any Service", namespaceList, [
      "default",
      "kube-system",
    ])
    .option(
      "--host-network-identity <how>",
      "identify hostNetwork pods: none, or by cgroup",
      oneOf(["none", "cgroup"]),
      "none",
    )
    .option(
      "--events-per-second <n>",
      "verdict lines per second, caller and guard (ten times that per caller); the rest is counted",
      wholeNumber,
      10,
    )
    .option(
      "--metrics-address <address:port>",
      "where GET /metrics is answered, for Prometheus (default: nowhere)",
      metricsAddress,
    )
    .option("--log-level <level>", levels.join(", "), oneOf(levels), "info");
  for (const option of proxyOptions()) command.addOption(option);
  return command
    .addHelpText(
      "after",
      "\nExample:\n  podgate agent --node-name worker-1 --trusted-namespaces default,platform",
    )
    .action(async (flags: Flags) => report(await runAgent(flags)));
}

async function runAgent(flags: Flags): Promise<number> {
  requireKernel();
  requireCapabilities();
  const cgroupRoot = resolveCgroupRoot(flags.cgroupRoot);
  const log = agentLog(flags.logLevel);
  const { logLevel: _, cgroupRoot: __, ...options } = flags;
  const agent = new Agent(
    { ...options, cgroupRoot, proxy: affordable(proxyOf(flags), log) },
    log,
    systemClock,
  );
  const stopped = new Promise<string>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
  log.log("info", "starting", { node: flags.nodeName, cgroup_root: cgroupRoot, pin_path: flags.pinPath });
  const started = agent.start();
  const ended = await Promise.race([stopped, started.then(() => stopped)]).catch((error: unknown) => error);
  if (ended instanceof Error) {
    log.flush();
    throw ended;
  }
  log.log("info", "stopping: enforcement stays in the kernel", { signal: ended });
  await agent.stop();
  log.flush();
  return 0;
}

/** With as many connections as this process can open. */
function affordable(proxy: AgentOptions["proxy"], { log }: AgentLog): AgentOptions["proxy"] {
  const descriptors = descriptorLimit(readFileSync("/proc/self/limits", "utf8"));
  const { open, pending } = withinDescriptors(proxy, descriptors);
  if (open.all < proxy.open.all) {
    log(
      "warn",
      "fewer proxied connections than asked for: raise this process's limit of open files (RLIMIT_NOFILE)",
      {
        open_files: descriptors,
        per_pod: open.perPod,
        in_all: open.all,
        pending_per_pod: pending.perPod,
        pending_in_all: pending.all,
      },
    );
  }
  return { ...proxy, open, pending };
}
