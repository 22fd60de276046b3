/** `podgate lint`: what is wrong with manifests, before anybody applies them. */
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { type Manifests, readManifests } from "../files/manifests.ts";
import { DEFAULT_PREFIXES } from "../identity/annotations.ts";
import { lint } from "../lint/lint.ts";
import { type LintReport, lintAsGithub, lintAsJson } from "./lint-output.ts";
import { lintAsText } from "./lint-text.ts";
import { namespaceList, oneOf } from "./options.ts";

interface Flags {
  readonly output: "text" | "json" | "github";
  readonly strict: boolean;
  readonly namespace?: string;
  readonly trustedNamespaces: readonly string[];
}

const FOOTER = `
Reads AgentEndpoints, CloudEndpoints, NgrokTrafficPolicies, ConnectionPolicies and bare policies (on_tcp_connect at
the top). Namespaces, Services and ReferenceGrants among the files are what names are looked up in. No cluster is asked.

Exit status: 0 without errors, 1 with errors, 2 if a file cannot be read or the command line is wrong.

Examples:
  podgate lint policy.yaml
  podgate lint --strict -n payments deploy/
  kubectl get agentendpoints,cloudendpoints,namespaces,services -A -o yaml | podgate lint -
  helm template . | podgate lint -o github -`;

export function lintCommand(report: (status: number) => void): Command {
  return new Command("lint")
    .description("Find what is wrong, dangerous or in vain in policies and the objects that hold them.")
    .argument("<file...>", "files, directories (searched for .yaml, .yml and .json), or - for standard input")
    .option("-o, --output <format>", "text, json, or github", oneOf(["text", "json", "github"]), "text")
    .option("--strict", "count warnings as errors", false)
    .option("-n, --namespace <name>", "where objects that name no namespace are applied")
    .option("--trusted-namespaces <list>", "namespaces whose objects may guard any Service", namespaceList, [
      "default",
      "kube-system",
    ])
    .addHelpText("after", FOOTER)
    .action((paths: readonly string[], flags: Flags) => report(run(paths, flags)));
}

function run(paths: readonly string[], flags: Flags): number {
  let manifests: Manifests;
  try {
    manifests = readManifests(paths, () => readFileSync(0, "utf8"));
  } catch (error) {
    process.stderr.write(`podgate: ${error instanceof Error ? error.message : error}\n`);
    return 2;
  }
  const { diagnostics, policies } = lint(manifests, {
    namespace: flags.namespace,
    trustedNamespaces: new Set(flags.trustedNamespaces),
    annotationPrefixes: DEFAULT_PREFIXES,
  });
  const result: LintReport = {
    diagnostics: flags.strict ? diagnostics.map((each) => ({ ...each, severity: "error" })) : diagnostics,
    files: manifests.files,
    policies,
  };
  process.stdout.write(render(result, flags.output));
  return result.diagnostics.some(({ severity }) => severity === "error") ? 1 : 0;
}

function render(result: LintReport, output: Flags["output"]): string {
  if (output === "json") return lintAsJson(result);
  if (output === "github") return lintAsGithub(result);
  return lintAsText(result, process.stdout.isTTY === true && !process.env.NO_COLOR);
}
