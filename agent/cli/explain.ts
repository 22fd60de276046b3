/** `podgate explain`: may this pod connect there, which rule says so, and what would change that. */
import { Command, InvalidArgumentError } from "commander";
import { findCaller } from "../explain/caller.ts";
import { explain } from "../explain/explain.ts";
import type { Explanation, Outcome } from "../explain/explanation.ts";
import { findPlace } from "../explain/place.ts";
import { explanationLines } from "../explain/text.ts";
import { inert } from "../verdict/text.ts";
import { contextOption, kubeconfigOption } from "./cluster-options.ts";
import { moment } from "./moment.ts";
import { namespaceList, oneOf } from "./options.ts";
import { readWorld, type WorldFlags } from "./world.ts";

interface Flags extends WorldFlags {
  readonly from: string;
  readonly to: string;
  readonly ipv6: boolean;
  readonly clientPort?: number;
  readonly at?: number;
  readonly output: "text" | "json";
}

const STATUS: Readonly<Record<Outcome, number>> = {
  allow: 0,
  forward: 0,
  deny: 1,
  "not-guarded": 3,
  proxy: 4,
};
/** Any port that a kernel may choose for a caller that does not. */
const SOME_PORT = 50_000;

const HELP = `
Asks the cluster of the kubeconfig, or with -f the one that manifests describe; changes nothing. Pods and Services in
files need no addresses, and Services find their pods by selector.
--to is service.namespace:port (number or name; it may be left out where there is one), namespace/pod:port or
address:port. --from is namespace/pod, or unresolved for a caller that cannot be identified.

The answer is for all connections of the caller, as the kernel keeps it; with --client-port or --at it is for one.

Exit status: 0 it may connect, 1 it is denied, 2 wrong usage or nothing could be asked, 3 nothing guards it, 4 it hangs
on what only a connection has, and the proxy decides.

Examples:
  podgate explain --from sandbox/crawler --to ledger.payments:443
  podgate explain --from unresolved --to 10.96.7.10:443 -o json
  podgate explain -f policies/ -f cluster.yaml --from payments/web --to ledger.payments`;

export function explainCommand(report: (status: number) => void): Command {
  return new Command("explain")
    .description(
      "Say whether a pod may connect to a destination: every guard, policy, rule and value behind it.",
    )
    .option("--from <pod>", "the caller: namespace/pod, or unresolved")
    .option("--to <destination>", "service.namespace[:port], namespace/pod:port or address:port")
    .option("-f, --filename <path>", "a file, directory or - instead of a cluster; may be repeated", repeated)
    .option("-6, --ipv6", "dial the IPv6 address where there are both", false)
    .option("--client-port <port>", "ask about one connection, from this port of the caller", port)
    .option(
      "--at <moment>",
      "ask about one connection, at this time: 5m ago, or 2026-11-21T09:00:00Z",
      moment,
    )
    .option("--trusted-namespaces <list>", "as the agents have it", namespaceList, ["default", "kube-system"])
    .option("-o, --output <format>", "text or json", oneOf(["text", "json"]), "text")
    .addOption(kubeconfigOption())
    .addOption(contextOption())
    .addHelpText("after", HELP)
    .action(async (flags: Flags, command: Command) => {
      // Commander says what is required before what is unknown, so of `--form` it would only say that --from is missing.
      if (flags.from === undefined) command.error("error: required option '--from <pod>' not specified");
      if (flags.to === undefined) command.error("error: required option '--to <destination>' not specified");
      const explanation = await answer(flags).catch((error: Error) => error);
      if (explanation instanceof Error) {
        process.stderr.write(`podgate: ${explanation.message}\n`);
        report(2);
        return;
      }
      process.stdout.write(flags.output === "json" ? json(explanation) : text(explanation));
      report(STATUS[explanation.outcome]);
    });
}

async function answer(flags: Flags): Promise<Explanation | Error> {
  const world = await readWorld(flags);
  const caller = findCaller(world, flags.from);
  if (caller instanceof Error) return caller;
  const place = findPlace(world, flags.to, flags.ipv6 ? 6 : 4);
  if (place instanceof Error) return place;
  const { clientPort, at } = flags;
  if (clientPort === undefined && at === undefined) return explain(world, caller, place);
  const one = { clientPort: clientPort ?? SOME_PORT, time: at ?? Date.now() };
  return explain(world, { ...caller, moment: one }, place);
}

function json(explanation: Explanation): string {
  return `${JSON.stringify(explanation, undefined, 2)}\n`;
}

/** Annotations and policies are other people's texts. */
function text(explanation: Explanation): string {
  return explanationLines(explanation)
    .map((line) => `${inert(line)}\n`)
    .join("");
}

function port(value: string): number {
  const number = Number(value);
  if (!/^\d{1,5}$/.test(value) || number < 1 || number > 65535) {
    throw new InvalidArgumentError("use a port from 1 to 65535.");
  }
  return number;
}

function repeated(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
