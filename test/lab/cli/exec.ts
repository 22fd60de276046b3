/** `exec`: runs a program in a pod, with this terminal, and ends as it ends. */

import { leftovers } from "../cleanup.ts";
import { exitStatus } from "../command.ts";
import { liveOwner } from "../lock.ts";
import { labNames } from "../names.ts";
import { findPod } from "../pod-handle.ts";

/** Resolves with the program's exit status. */
export async function exec(
  target: string,
  command: readonly string[],
  options: { readonly name: string; readonly container?: string },
): Promise<number> {
  const names = labNames(options.name);
  if (liveOwner(names) === undefined) {
    const why =
      leftovers(names).length > 0
        ? "its process has crashed; `up` or `down` cleans up"
        : "start it with `up`";
    throw new Error(`run a program in ${target}: ${names.name} does not run: ${why}`);
  }
  const [namespace = "", name = "", ...rest] = target.split("/");
  if (namespace === "" || name === "" || rest.length > 0) {
    throw new Error(`run a program in ${JSON.stringify(target)}: write NAMESPACE/POD`);
  }
  const child = findPod(names, namespace, name).attach(command, options.container);
  // The terminal sends SIGINT to both; which of them ends is the program's decision.
  process.on("SIGINT", () => {});
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => resolve(exitStatus(code, signal)));
  });
}
