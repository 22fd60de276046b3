/** One connection from a pod, in whatever way, and what came of it. */
import { type Outcome, run } from "../../lab/command.ts";
import { launchArgv } from "../../lab/launch.ts";
import { program } from "./programs.ts";

/** A pod, or any other place where a program can run. */
export interface Runner {
  exec(command: readonly string[]): Promise<Outcome>;
}

export type Method =
  | "connect"
  | "nonblocking"
  | "fastopen-sendto"
  | "fastopen-connect"
  | "io_uring"
  | "mptcp"
  | "mptcp-fastopen"
  | "udp-connect"
  | "udp-sendto";

export interface Dialled {
  /** errno's name; absent: it connected. */
  readonly error?: string;
  /** The kernel does not have the method. */
  readonly unsupported?: string;
  /** `address port`, as getpeername and getsockname say. */
  readonly peer?: string;
  readonly local?: string;
  /** What the server said: its name and the address it saw. */
  readonly reply?: string;
  /** The process name under which the verdict log has it. */
  readonly comm: string;
}

let dials = 0;

/** A process name that no other dial has: it leads to the verdict's line. */
export function freshComm(): string {
  return `dial-${process.pid % 100_000}-${dials++}`;
}

/** `comm`: the process name, any bytes but NUL; 15 count. */
export async function dial(
  from: Runner,
  address: string,
  port: number,
  { method = "connect", comm = freshComm() }: { method?: Method; comm?: string | Buffer } = {},
): Promise<Dialled> {
  const name = Buffer.from(comm);
  const outcome = await from.exec([program("dial"), name.toString("hex"), method, address, String(port)]);
  return { ...parseOutcome(outcome), comm: name.toString() };
}

/** The last line that one of our programs printed. */
export function parseOutcome({ status, stdout, stderr }: Outcome): Omit<Dialled, "comm"> {
  const line = stdout.trim().split("\n").at(-1) ?? "";
  if (status !== 0 || line === "") throw new Error(`dial: exit status ${status}: ${stderr.trim() || stdout}`);
  return JSON.parse(line) as Omit<Dialled, "comm">;
}

/** A cgroup and a network namespace that need not belong together. */
export function placeAt(cgroup: string, netns: string): Runner {
  return {
    exec: (argv) => run(launchArgv({ cgroup, netns }, { argv, workingDir: "" })),
  };
}
