/** `podgate verdicts`: the agents' verdict lines as a table, as they happen. */
import { Command, InvalidArgumentError } from "commander";
import { lineFilter, type PlacePattern, placePattern, VERDICTS, type Wanted } from "../verdict/filter.ts";
import { readVerdictLine, type VerdictLine } from "../verdict/line.ts";
import { VerdictTable } from "../verdict/table.ts";
import { contextOption, kubeconfigOption } from "./cluster-options.ts";
import { moment } from "./moment.ts";
import { oneOf } from "./options.ts";
import { followAgents, type LogFlags, readAgents, readStdin, readsStdin } from "./verdict-source.ts";

interface Flags extends LogFlags {
  readonly namespace?: readonly string[];
  readonly pod?: readonly string[];
  readonly to?: readonly PlacePattern[];
  readonly verdict?: readonly string[];
  readonly follow: boolean;
  readonly output: "table" | "json";
}

const HELP = `
Reads standard input where lines are piped into it, else the logs of the agents' pods in the cluster.
A filter takes several values, separated by commas or by repeating it; one of them must fit. * stands for anything.
Ends with Ctrl-C. Exit status: 0 when it ends or is ended, 1 if the cluster cannot be read, 2 for wrong usage.

Examples:
  podgate verdicts --verdict deny,audited
  podgate verdicts --namespace sandbox --to ledger.payments:443 --since 10m
  podgate verdicts --pod "payments/*" -o json --no-follow | jq .reason
  kubectl logs -f ds/podgate -n podgate-system | podgate verdicts --verdict deny`;

export function verdictsCommand(report: (status: number) => void): Command {
  return new Command("verdicts")
    .description("Follow the agents' verdicts: who dialled what, what was decided, and by which rule.")
    .option("-n, --namespace <names>", "callers of these namespaces", several)
    .option("--pod <pods>", "these callers: name, namespace/name, or unresolved", several)
    .option(
      "--to <places>",
      "dialled at or forwarded to: service.namespace, an address, each also with :port",
      severalPlaces,
    )
    .option("--verdict <verdicts>", VERDICTS.join(", "), severalVerdicts)
    .option("--since <moment>", "90s, 5m, 1h30m, 2d ago, or a time such as 2026-11-21T09:00:00Z", moment)
    .option(
      "-o, --output <format>",
      "table, or json: the lines as they are",
      oneOf(["table", "json"]),
      "table",
    )
    .option("--no-follow", "end after what there is now")
    .addOption(kubeconfigOption())
    .addOption(contextOption())
    .option("--agent-namespace <name>", "namespace of the agents", "podgate-system")
    .option("--selector <labels>", "labels of the agents' pods", "app.kubernetes.io/name=podgate")
    .addHelpText("after", HELP)
    .action(async (flags: Flags) => {
      await showVerdicts(flags);
      report(0);
    });
}

async function showVerdicts(flags: Flags): Promise<void> {
  const { namespace, pod, to, verdict, since, output } = flags;
  const wanted: Wanted = {
    ...(namespace && { namespaces: namespace }),
    ...(pod && { pods: pod }),
    ...(to && { to }),
    ...(verdict && { verdicts: verdict }),
    ...(since !== undefined && { since }),
  };
  const fits = lineFilter(wanted);
  const screen = new Screen(output);
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  // `podgate verdicts | head` has seen enough.
  process.stdout.on("error", () => stop.abort());
  const all: VerdictLine[] = [];
  const show = (text: string) => {
    const line = stop.signal.aborted ? undefined : readVerdictLine(text);
    if (line === undefined || !fits(line)) return;
    if (flags.follow) screen.show(line);
    else all.push(line);
  };
  if (readsStdin(flags)) await readStdin(show, stop.signal);
  else if (flags.follow) await followAgents(flags, show, stop.signal);
  else await readAgents(flags, show);
  // Many logs, each in its own order.
  for (const line of all.sort((a, b) => a.time - b.time)) screen.show(line);
}

class Screen {
  readonly #table: VerdictTable | undefined;
  #begun = false;

  constructor(output: Flags["output"]) {
    const { stdout, env } = process;
    const colour = stdout.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb";
    this.#table = output === "json" ? undefined : new VerdictTable({ colour, now: Date.now });
  }

  show(line: VerdictLine): void {
    if (this.#table === undefined) {
      process.stdout.write(`${line.json}\n`);
      return;
    }
    const header = this.#begun ? "" : `${this.#table.header()}\n`;
    this.#begun = true;
    process.stdout.write(`${header}${this.#table.row(line)}\n`);
  }
}

function several(value: string, before: readonly string[] = []): readonly string[] {
  const values = value.split(",").map((each) => each.trim());
  return [...before, ...values.filter((each) => each !== "")];
}

function severalVerdicts(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, ...several(value).map(oneOf(VERDICTS))];
}

function severalPlaces(value: string, before: readonly PlacePattern[] = []): readonly PlacePattern[] {
  const places = several(value).map((text) => {
    const pattern = placePattern(text);
    if (pattern instanceof Error) throw new InvalidArgumentError(`${pattern.message}.`);
    return pattern;
  });
  return [...before, ...places];
}
