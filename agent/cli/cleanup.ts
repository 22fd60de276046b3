/** `podgate cleanup`: takes every trace of Podgate off this node. */
import { isAbsolute } from "node:path";
import { Command } from "commander";
import { removeState } from "../agent.ts";
import { cleanPins } from "../dataplane/cleanup.ts";
import { loadNative } from "../dataplane/native.ts";
import { pinPathOption, stateDirOption } from "./options.ts";

export function cleanupCommand(report: (status: number) => void): Command {
  return new Command("cleanup")
    .description(
      "Detach every program and remove every pin and file of Podgate on this node. Nothing is enforced afterwards.",
    )
    .addOption(pinPathOption())
    .addOption(stateDirOption())
    .addHelpText("after", "\nExample:\n  podgate cleanup --pin-path /sys/fs/bpf/podgate")
    .action(({ pinPath, stateDir }: { pinPath: string; stateDir: string }) => {
      requireAbsolute("--pin-path", pinPath);
      requireAbsolute("--state-dir", stateDir);
      const removed = [...cleanPins(loadNative(), pinPath), ...removeState(stateDir)];
      process.stdout.write(
        removed.length === 0
          ? `nothing of Podgate at ${pinPath} or ${stateDir}\n`
          : `removed:\n${removed.map((path) => `  ${path}\n`).join("")}`,
      );
      report(0);
    });
}

/** What is removed must not depend on where one happens to stand. @throws Error that says what to do. */
function requireAbsolute(flag: string, path: string): void {
  if (!isAbsolute(path)) throw new Error(`remove what is at ${flag} ${path}: use an absolute path`);
}
