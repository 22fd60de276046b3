/** Options that several subcommands share, and the values they accept. */
import { readFileSync, statSync } from "node:fs";
import { release } from "node:os";
import { InvalidArgumentError, Option } from "commander";
import { findKubepodsRoot, readDirectory } from "../identity/cgroup-tree.ts";
import { findCgroup2Mount } from "../identity/mountinfo.ts";
import { addressBytes } from "../model/address.ts";
import type { MetricsAddress } from "../verdict/metrics-server.ts";

export const MINIMUM_KERNEL = "5.10";

export const pinPathOption = () =>
  new Option("--pin-path <dir>", "where programs and maps are pinned, on a bpf filesystem").default(
    "/sys/fs/bpf/podgate",
  );

export const stateDirOption = () =>
  new Option("--state-dir <dir>", "where the last valid policies are kept").default("/run/podgate");

export const cgroupRootOption = () =>
  new Option(
    "--cgroup-root <dir>",
    "the cgroup that holds the pods' directories (default: found from known layouts)",
  );

/** An option value that is one of `choices`. */
export function oneOf<T extends string>(choices: readonly T[]): (value: string) => T {
  return (value) => {
    const choice = choices.find((candidate) => candidate === value);
    if (choice === undefined) throw new InvalidArgumentError(`use one of ${choices.join(", ")}.`);
    return choice;
  };
}

/** A comma-separated list of namespace names. */
export function namespaceList(value: string): readonly string[] {
  const names = value
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  const wrong = names.find((name) => !/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name));
  if (wrong !== undefined) throw new InvalidArgumentError(`\`${wrong}\` is not a namespace name.`);
  return names;
}

/** `10.0.0.1:9474` or `[fd00::1]:9474`; brackets do no harm around the first. */
export function metricsAddress(value: string): MetricsAddress {
  const [, inBrackets, bare, digits] = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(value) ?? [];
  const [host, port] = [inBrackets ?? bare ?? "", Number(digits)];
  if (addressBytes(host) === undefined || !(port >= 1 && port <= 65_535)) {
    throw new InvalidArgumentError("use an IP address and a port, such as 10.0.0.1:9474 or [fd00::1]:9474.");
  }
  return { host, port };
}

export function wholeNumber(value: string): number {
  if (!/^\d{1,6}$/.test(value)) throw new InvalidArgumentError("use a whole number.");
  return Number(value);
}

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** `500ms`, `5s`, `10m`, `1h`, or `0`: as milliseconds. */
export function duration(value: string): number {
  const [, digits = "", unit] = /^(\d{1,6})(ms|s|m|h)?$/.exec(value) ?? [];
  if (digits === "" || (unit === undefined && Number(digits) !== 0)) {
    throw new InvalidArgumentError("use a duration such as 500ms, 5s or 10m.");
  }
  return Number(digits) * UNITS[(unit ?? "ms") as keyof typeof UNITS];
}

/** The same, and not 0. */
export function someTime(value: string): number {
  const time = duration(value);
  if (time === 0) throw new InvalidArgumentError("it must be longer than 0.");
  return time;
}

/** @throws Error that says what is missing on this node. */
export function requireKernel(version = release()): void {
  if (isOlder(version, MINIMUM_KERNEL)) {
    throw new Error(`run on Linux ${version}: Podgate needs ${MINIMUM_KERNEL} or newer`);
  }
}

/** Numbers of capabilities(7). SYS_ADMIN is as good as all three. */
const CAPABILITIES = { BPF: 39, NET_ADMIN: 12, PERFMON: 38 } as const;
const SYS_ADMIN = 21;

/** `status`: the text of /proc/self/status. @throws Error that says what this process needs to load programs. */
export function requireCapabilities(status = readFileSync("/proc/self/status", "utf8")): void {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  const has = (number: number) => ((effective >> BigInt(number)) & 1n) === 1n;
  const { BPF, NET_ADMIN } = CAPABILITIES;
  // Without PERFMON alone it does without what that is for, and says so.
  if (has(SYS_ADMIN) || (has(BPF) && has(NET_ADMIN))) return;
  const all = Object.keys(CAPABILITIES).join(", ");
  throw new Error(`load programs: this process may not: run it as root, or with the capabilities ${all}`);
}

export function isOlder(version: string, than: string): boolean {
  const [major = 0, minor = 0] = version.split(/[.-]/).map(Number);
  const [wantMajor = 0, wantMinor = 0] = than.split(".").map(Number);
  return major < wantMajor || (major === wantMajor && minor < wantMinor);
}

/** The directory given, or the one found. @throws Error that says what was looked for. */
export function resolveCgroupRoot(given: string | undefined): string {
  if (given !== undefined) {
    if (!statSync(given, { throwIfNoEntry: false })?.isDirectory()) {
      throw new Error(`use --cgroup-root ${given}: there is no such directory`);
    }
    return given.replace(/(?<=.)\/+$/, "");
  }
  const mount = findCgroup2Mount(readFileSync("/proc/self/mountinfo", "utf8"));
  if (mount instanceof Error) throw mount;
  const root = findKubepodsRoot(mount, readDirectory);
  if (root instanceof Error) throw root;
  return root.path;
}
