/** `podgate socket-broker`: makes sockets in pods' network namespaces for the agent, which then needs no SYS_ADMIN. */
import { Command } from "commander";
import { requireCgroup2 } from "../dataplane/kernel.ts";
import { loadNative } from "../dataplane/native.ts";
import { Broker } from "../proxy/broker.ts";
import { agentLog, levels } from "../verdict/log.ts";
import { limitRepeats } from "../verdict/repeats.ts";
import { cgroupRootOption, oneOf, requireKernel, resolveCgroupRoot } from "./options.ts";

interface Flags {
  readonly socket: string;
  readonly cgroupRoot?: string;
  readonly logLevel: (typeof levels)[number];
}

export function socketBrokerCommand(report: (status: number) => void): Command {
  return new Command("socket-broker")
    .description("Make sockets in the pods' network namespaces for the agent on this node.")
    .option("--socket <path>", "where the agent finds it", "/run/podgate/broker.sock")
    .addOption(cgroupRootOption())
    .option("--log-level <level>", levels.join(", "), oneOf(levels), "info")
    .addHelpText("after", "\nExample:\n  podgate socket-broker --socket /run/podgate/broker.sock")
    .action(async (flags: Flags) => report(await runBroker(flags)));
}

async function runBroker({ socket, cgroupRoot: given, logLevel }: Flags): Promise<number> {
  requireKernel();
  const uid = process.geteuid?.() ?? -1;
  if (uid !== 0) throw new Error("run the socket broker: only root may enter network namespaces");
  const cgroupRoot = resolveCgroupRoot(given);
  const native = loadNative();
  requireCgroup2(native, cgroupRoot);
  const { log, flush } = agentLog(logLevel);
  const stopped = Promise.withResolvers<string>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stopped.resolve(signal));
  const onBroken = (error: Error) => stopped.reject(error);
  const broker = new Broker(native, {
    socketPath: socket,
    cgroupRoot,
    uid,
    onBroken,
    log: limitRepeats(log, Date.now),
  });
  log("info", "serving", { socket, cgroup_root: cgroupRoot });
  const signal = await stopped.promise.finally(() => broker.close());
  log("info", "stopped", { signal });
  flush();
  return 0;
}
