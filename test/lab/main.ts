/** `npm run lab`: a cluster in a box from the command line. */
import { Command, Option } from "commander";
import { type DaemonOptions, runDaemon } from "./cli/daemon.ts";
import { down } from "./cli/down.ts";
import { exec } from "./cli/exec.ts";
import { status } from "./cli/status.ts";
import { up } from "./cli/up.ts";
import { requireRoot } from "./machine.ts";
import { type CgroupDriver, DEFAULT_DRIVER, DEFAULT_LAB } from "./names.ts";

const EXAMPLES = `
Examples:
  npm run lab -- up shop.yaml policies/           start it with the objects in these files
  npm run lab -- up                               start it empty; apply things with kubectl
  npm run lab -- exec shop/cart -- curl http://ledger.payments
  npm run lab -- status
  npm run lab -- down                             nothing is left behind

A pod runs its container's command on this machine, in network namespace and cgroup of its own. Without a command it
sleeps, or, if it declares ports, answers each line and each HTTP request with its name and the address it sees.
Annotations on pods: lab.podgate.dev/ip chooses its address (10.244.x.y), lab.podgate.dev/ready: "false" keeps it
from being ready. Needs root, cgroup v2, iproute2, nftables and util-linux. Sends nothing outside the lab.

Its API server listens on a port of this machine's loopback address and asks nobody who they are: anybody who can
reach that port can use the API, and a pod they make runs as root on this machine. Do not start it where you do not
trust all who have an account.`;

interface UpFlags {
  readonly agent: boolean;
  readonly agentArg: readonly string[];
  readonly cgroupDriver: CgroupDriver;
}

const program = new Command("npm run lab --")
  .description("A Kubernetes cluster in a box: real pods, Services and policies on this machine.")
  .option("--name <name>", "which lab, where several run side by side", DEFAULT_LAB)
  .addHelpText("after", EXAMPLES)
  .enablePositionalOptions()
  .showHelpAfterError("(--help shows how it is used)");

program.hook("preAction", (_, command) => requireRoot(command.name()));

const labName = () => program.opts<{ name: string }>().name;

program
  .command("up")
  .description("start the lab in the background with the given objects, or add them to the one that runs")
  .argument("[files...]", "YAML files, or directories of them")
  .option("--no-agent", "without the Podgate agent")
  .option("--agent-arg <arg...>", "more of the agent's command line", [])
  .addOption(
    new Option("--cgroup-driver <driver>", "layout of the pods' cgroups")
      .choices(["systemd", "cgroupfs"])
      .default(DEFAULT_DRIVER),
  )
  .action((files: string[], flags: UpFlags) => {
    const options = {
      name: labName(),
      driver: flags.cgroupDriver,
      agent: flags.agent,
      agentArgs: flags.agentArg,
    };
    return up(files, options);
  });

program
  .command("exec")
  .description("run a program in a pod, in its container's workingDir or /, and end with its exit status")
  .argument("<pod>", "NAMESPACE/POD")
  .argument("<command...>", "the program and its arguments, after --")
  .option("-c, --container <name>", "which container; the first if not said")
  .passThroughOptions()
  .action(async (pod: string, command: string[], flags: { container?: string }) => {
    // Commander leaves the separator in: everything after the pod is the program's.
    const words = command[0] === "--" ? command.slice(1) : command;
    process.exitCode = await exec(pod, words, { name: labName(), ...flags });
  });

program
  .command("status")
  .description("whether the lab runs, and its pods; exit status 3 if it does not")
  .action(async () => {
    process.exitCode = await status(labName());
  });

program
  .command("down")
  .description("end the lab and remove everything it made, after a crash too")
  .action(() => down(labName()));

program
  .command("daemon", { hidden: true })
  .argument("<options>")
  .action((options: string) => runDaemon(JSON.parse(options) as DaemonOptions));

// Whoever reads may stop reading, as in `up | head -3`; what was asked for is done all the same.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

program.parseAsync().catch((error: unknown) => {
  console.error(`lab: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
