/** `podgate check`: what this node offers, and what Podgate does without what is missing. */

import { existsSync } from "node:fs";
import { release } from "node:os";
import { Command } from "commander";
import { watchCgroups } from "../dataplane/cgroup-watch.ts";
import { objectPath, requireBpffs, requireCgroup2 } from "../dataplane/kernel.ts";
import { pieces } from "../dataplane/listing.ts";
import { loadNative, type Native } from "../dataplane/native.ts";
import { NetnsScan } from "../dataplane/netns-scan.ts";
import {
  cgroupRootOption,
  isOlder,
  MINIMUM_KERNEL,
  oneOf,
  pinPathOption,
  resolveCgroupRoot,
} from "./options.ts";

interface Check {
  readonly name: string;
  /** Without it the agent does not start. */
  readonly required: boolean;
  readonly ok: boolean;
  /** Not looked at, because what it needs is missing: nothing is known of it. */
  readonly tried: boolean;
  /** What was found; when it is missing, why and what is used instead. */
  readonly detail: string;
}

interface Flags {
  readonly cgroupRoot?: string;
  readonly pinPath: string;
  readonly output: "table" | "json";
}

export function checkCommand(report: (status: number) => void): Command {
  return new Command("check")
    .description("Say what this node offers and what is used instead of what is missing. Changes nothing.")
    .addOption(cgroupRootOption())
    .addOption(pinPathOption())
    .option("-o, --output <format>", "table or json", oneOf(["table", "json"]), "table")
    .addHelpText(
      "after",
      "\nExit status: 0 if the agent can run here, 1 if not.\n\nExample:\n  podgate check -o json",
    )
    .action(async (flags: Flags) => {
      const checks = await inspect(flags);
      process.stdout.write(
        flags.output === "json" ? `${JSON.stringify(checks, undefined, 2)}\n` : table(checks),
      );
      report(checks.every(({ ok, required }) => ok || !required) ? 0 : 1);
    });
}

async function inspect(flags: Flags): Promise<readonly Check[]> {
  const version = release();
  const recent = !isOlder(version, MINIMUM_KERNEL);
  const kernel = {
    name: "kernel",
    required: true,
    ok: recent,
    tried: true,
    detail: recent ? version : `${version}; ${MINIMUM_KERNEL} is needed`,
  };
  const addon = await probe("native addon", true, () => loadNative() && "loaded");
  if (!addon.ok) return [kernel, addon];
  const native = loadNative();
  const root = await probe("pods' cgroup", true, () => resolveCgroupRoot(flags.cgroupRoot), {
    fact: "not found",
  });
  const path = root.ok ? root.detail : undefined;
  const others = [
    probe("cgroup v2", true, () => cgroup2(native, path), { fact: "not on it" }),
    probe("bpf filesystem", true, () => bpffs(native, flags.pinPath), { fact: "cannot be used" }),
    probe("connect programs", true, () => loads(native, "connect"), { fact: "do not load" }),
    probe("socket program", false, () => loads(native, "sockops"), {
      instead: "what only the proxy can decide is refused",
    }),
    probe("node namespace cookie", false, () => cookie(native), {
      instead: "loopback node ports of hostNetwork pods are not judged",
    }),
    probe("kernel BTF", false, () => btf(), { instead: "as below" }),
    probe("pod namespace scan", false, () => scan(native, path), {
      instead: "the cgroup alone decides who a caller is",
    }),
    probe("new-cgroup events", false, () => watch(native, path), {
      instead: "new pods are found by scanning every 10 s and on API events",
    }),
    probe("socket cgroups", false, () => socketCgroups(native), {
      instead: "open connections of hostNetwork pods stay open",
    }),
  ];
  return [kernel, addon, root, ...(await Promise.all(others))];
}

/** What to say when a feature is missing. */
interface Lack {
  /** In a few words, before the whole reason. */
  readonly fact?: string;
  readonly instead?: string;
}

async function probe(
  name: string,
  required: boolean,
  run: () => string | Promise<string>,
  { fact, instead }: Lack = {},
): Promise<Check> {
  try {
    return { name, required, ok: true, tried: true, detail: await run() };
  } catch (error) {
    const [why = ""] = (error as Error).message.split("\n");
    const tried = !(error instanceof NotTried);
    const full = fact !== undefined && tried ? `${fact}: ${why}` : why;
    const detail = instead === undefined || !tried ? full : `${full}; instead: ${instead}`;
    return { name, required, ok: false, tried, detail };
  }
}

class NotTried extends Error {}

function needRoot(path: string | undefined): string {
  if (path === undefined) throw new NotTried("the pods' cgroup was not found");
  return path;
}

function cgroup2(native: Native, path: string | undefined): string {
  requireCgroup2(native, needRoot(path));
  return "the pods' cgroup is on it";
}

function bpffs(native: Native, pinPath: string): string {
  requireBpffs(native, pinPath);
  return pinPath;
}

function cookie(native: Native): string {
  native.netnsCookie();
  return "can be read";
}

function loads(native: Native, name: "connect" | "sockops"): string {
  const object = new native.BpfObject(objectPath(name));
  try {
    object.load();
    return "can be loaded";
  } finally {
    object.close();
  }
}

function btf(): string {
  if (!existsSync("/sys/kernel/btf/vmlinux")) throw new Error("/sys/kernel/btf/vmlinux is missing");
  return "/sys/kernel/btf/vmlinux";
}

function scan(native: Native, path: string | undefined): string {
  const scanner = new NetnsScan(native, needRoot(path));
  try {
    return `${scanner.read().length} tasks of pods seen`;
  } finally {
    scanner.close();
  }
}

function watch(native: Native, path: string | undefined): string {
  watchCgroups(native, needRoot(path), () => {}).close();
  return "attach";
}

async function socketCgroups(native: Native): Promise<string> {
  const netns = native.Netns.open("/proc/self/ns/net");
  try {
    // No cgroup has this id, so nothing is listed.
    for await (const _ of pieces(netns.list({ cgroups: BigUint64Array.of(0n) })));
    return "the kernel tells them";
  } finally {
    netns.close();
  }
}

function table(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.map((check) => `${check.name.padEnd(width)}  ${state(check)}  ${check.detail}\n`);
  const missing = checks
    .filter(({ ok, required, tried }) => required && tried && !ok)
    .map(({ name }) => name);
  const end =
    missing.length === 0 ? "the agent can run here" : `the agent cannot run here: ${missing.join(", ")}`;
  const asRoot =
    missing.length > 0 && process.getuid?.() !== 0 ? "; this was tried without root: run it as root" : "";
  return `${lines.join("")}${end}${asRoot}\n`;
}

function state({ ok, required, tried }: Check): string {
  if (ok) return "ok       ";
  if (!tried) return "not tried";
  return required ? "MISSING  " : "without  ";
}
