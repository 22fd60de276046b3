/** Starts programs inside a pod: in its cgroup, network namespace and view of /etc/hosts. */
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Where a pod's programs run. */
export interface Place {
  readonly cgroup: string;
  readonly netns: string;
  /** A mount namespace (see pod-mounts.ts). Undefined: the machine's own mounts and hosts file. */
  readonly mntns?: string;
}

export interface Program {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** "" is /. */
  readonly workingDir: string;
}

const LAUNCHER = fileURLToPath(new URL("launch.sh", import.meta.url));

/** The command line that becomes `program` in `place`. */
export function launchArgv(
  place: Place,
  { argv, workingDir }: Pick<Program, "argv" | "workingDir">,
): string[] {
  const { cgroup, netns, mntns = "" } = place;
  return ["sh", LAUNCHER, cgroup, netns, mntns, workingDir, ...argv];
}

/**
 * The child's pid is the program's: every step on the way replaces the one before. In a session of its own, unless
 * told otherwise, so that the terminal's signals are not for it.
 */
export function launch(
  place: Place,
  program: Program,
  stdio: StdioOptions,
  { ownSession = true }: { readonly ownSession?: boolean } = {},
): ChildProcess {
  const [shell = "sh", ...args] = launchArgv(place, program);
  return spawn(shell, args, { stdio, env: program.env, detached: ownSession });
}
