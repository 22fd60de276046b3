/** The command line: subcommands, one error line, exit codes 0 (done), 1 (failed), 2 (wrong usage). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command, CommanderError } from "commander";
import { agentCommand } from "./agent.ts";
import { checkCommand } from "./check.ts";
import { cleanupCommand } from "./cleanup.ts";
import { explainCommand } from "./explain.ts";
import { lintCommand } from "./lint.ts";
import { socketBrokerCommand } from "./socket-broker.ts";
import { testCommand } from "./test.ts";
import { verdictsCommand } from "./verdicts.ts";

export async function run(args: readonly string[]): Promise<number> {
  endQuietly(process.stdout);
  let status = 0;
  const program = new Command("podgate")
    .description(
      "Decides by workload identity which pod may connect to which service, in the kernel at connect().",
    )
    .version(version())
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(oneLine(text)) });
  const report = (code: number) => {
    status = code;
  };
  for (const command of [
    agentCommand(report),
    checkCommand(report),
    cleanupCommand(report),
    lintCommand(report),
    testCommand(report),
    explainCommand(report),
    verdictsCommand(report),
    socketBrokerCommand(report),
  ]) {
    program.addCommand(command.copyInheritedSettings(program));
  }
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    process.stderr.write(`podgate: ${error instanceof Error ? error.message : error}\n`);
    return 1;
  }
  return status;
}

/** `podgate explain ... | head` has seen enough, and no stack trace. The status is what it would have been. */
function endQuietly(stdout: NodeJS.WriteStream): void {
  if (stdout.listeners("error").includes(ignoreClosedPipe)) return;
  stdout.on("error", ignoreClosedPipe);
}

function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE") throw error;
}

/** Commander puts a suggestion (`Did you mean agent?`) on a line of its own. */
function oneLine(text: string): string {
  return `${text
    .trimEnd()
    .replace(/^error: /, "podgate: ")
    .replace(/\n+/g, " ")}\n`;
}

/** From the package, seen from the source tree or from the bundle in dist/. */
function version(): string {
  for (const up of ["../..", ".."]) {
    try {
      const text = readFileSync(join(import.meta.dirname, up, "package.json"), "utf8");
      return (JSON.parse(text) as { version: string }).version;
    } catch {
      // Not there: the other place.
    }
  }
  return "unknown";
}
