/** `podgate test`: policies held against what their authors say they do, without a cluster. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { compiledVerdicts } from "../explain/compiled.ts";
import { missed } from "../trial/coverage.ts";
import { findTrials, TESTS } from "../trial/find-trials.ts";
import { junit } from "../trial/junit.ts";
import { reportJson, reportLines } from "../trial/report.ts";
import { runTrial, type TrialResult } from "../trial/trial.ts";
import { inert } from "../verdict/text.ts";
import { oneOf } from "./options.ts";

interface Flags {
  readonly output: "text" | "json" | "junit";
  readonly outputFile?: string;
  readonly requireCoverage: boolean;
  readonly updateVerdicts: boolean;
}

const VERDICTS = "verdicts.txt";

const HELP = `
A directory with a ${TESTS} is a case; others are searched for such. Beside it, in files of any names: the objects
with policies, and if you like a cluster (Pods, Services, Namespaces ...). Without any Service, those that tests and
objects name are taken to exist. ${TESTS}:

  to: ledger.payments:443                    # for tests that do not say
  tests:
    - name: a pod of payments gets in
      from: payments/web                     # a Pod of the files
      expect: allow                          # allow, deny, forward, proxy or not-guarded
    - name: a pod elsewhere is refused by the namespace rule
      from: {namespace: sandbox, annotations: {k8s.ngrok.com/team: red}}
      expect: deny
      reason: rule                           # this and what follows where you want to be exact
      rule: 1                                # counted from 0, or the rule's name
      policy: AgentEndpoint/payments/ledger
    - {name: nobody unknown gets in, from: unresolved, expect: deny}

More keys: to (service.namespace:port, namespace/pod:port, address:port), target (of a forward), audited (with the
audited policies), logs (what log actions record), clientPort and time (one connection instead of all); of a described
pod: name, uid, ip, node, labels, serviceAccount, hostNetwork; of the file: trustedNamespaces.
${VERDICTS}, where there is one, must be what the kernel would hold.

Exit status: 0 all pass, 1 a test fails, 2 the files or the command line are wrong.

Examples:
  podgate test policies/
  podgate test --require-coverage -o junit --output-file results.xml policies/`;

export function testCommand(report: (status: number) => void): Command {
  return new Command("test")
    .description(
      "Run policy tests: who dials what, and what should come of it. Needs no cluster and no root.",
    )
    .argument("<dir...>", `directories with a ${TESTS}, or above such`)
    .option("-o, --output <format>", "text, json or junit", oneOf(["text", "json", "junit"]), "text")
    .option("--output-file <file>", "write it there, and the text to standard output")
    .option("--require-coverage", "fail where no test hits a rule", false)
    .option("--update-verdicts", `write ${VERDICTS} anew in every case`, false)
    .addHelpText("after", HELP)
    .action((directories: readonly string[], flags: Flags) => report(runTests(directories, flags)));
}

function runTests(directories: readonly string[], flags: Flags): number {
  let trials: readonly TrialResult[];
  const stale: string[] = [];
  try {
    const files = directories.flatMap(findTrials);
    trials = files.map(runTrial);
    for (const trial of trials) if (!verdictsHold(trial, flags.updateVerdicts)) stale.push(trial.name);
    show(trials, stale, flags);
  } catch (error) {
    process.stderr.write(`podgate: ${error instanceof Error ? error.message : error}\n`);
    return 2;
  }
  if (trials.some(({ diagnostics }) => diagnostics.length > 0)) return 2;
  const failed = trials.some(({ results }) => results.some(({ failures }) => failures.length > 0));
  const uncovered = flags.requireCoverage && trials.some(({ coverage }) => missed(coverage).length > 0);
  return failed || uncovered || stale.length > 0 ? 1 : 0;
}

/** Of a case whose files have faults nothing is known, and nothing said. */
function verdictsHold({ name, world, callers }: TrialResult, update: boolean): boolean {
  const path = join(name, VERDICTS);
  if (world === undefined || (!update && !existsSync(path))) return true;
  const now = compiledVerdicts(world, callers);
  if (update) writeFileSync(path, now);
  return readFileSync(path, "utf8") === now;
}

function show(trials: readonly TrialResult[], stale: readonly string[], flags: Flags): void {
  const lines = [
    ...stale.map(
      (name) =>
        `${join(name, VERDICTS)}: it is not what the kernel would hold now: --update-verdicts writes it anew`,
    ),
    ...reportLines(trials),
  ];
  const text = lines.map((line) => `${inert(line)}\n`).join("");
  const report = { text: () => text, json: () => reportJson(trials), junit: () => junit(trials) }[
    flags.output
  ]();
  if (flags.outputFile === undefined) process.stdout.write(report);
  else {
    writeFileSync(flags.outputFile, report);
    process.stdout.write(text);
  }
}
