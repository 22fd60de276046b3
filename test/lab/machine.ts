/** What the lab needs of the machine, made and checked before anything else. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { makeCgroup } from "./cgroup.ts";
import { must, run } from "./command.ts";
import type { CgroupDriver, LabNames } from "./names.ts";
import { makeNamespaceDir, makeNode } from "./node.ts";
import { kubepodsRoot } from "./pod-cgroup.ts";

/** Program -> the Debian package that has it. */
const TOOLS = {
  ip: "iproute2",
  nft: "nftables",
  nsenter: "util-linux",
  unshare: "util-linux",
  mount: "mount",
};

/** `what` is what somebody asked for. */
export function requireRoot(what: string): void {
  if (process.getuid?.() !== 0) throw new Error(`${what}: needs root; run it with sudo`);
}

/** Throws one line that says what is missing and what to do. */
export async function checkMachine(): Promise<void> {
  requireRoot("start a lab");
  for (const [tool, debianPackage] of Object.entries(TOOLS)) {
    const { status } = await run(["sh", "-c", `command -v ${tool}`]);
    if (status !== 0) throw new Error(`start a lab: ${tool} is missing; apt-get install ${debianPackage}`);
  }
}

/** The lab's directories, mounts, cgroups and the node's network. */
export async function furnish(names: LabNames, driver: CgroupDriver): Promise<void> {
  for (const directory of [names.logDir, names.podDir, names.hostsDir])
    mkdirSync(directory, { recursive: true });
  for (const directory of [names.pinDir, names.stateDir])
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  await must(["mount", "-t", "bpf", "bpf", names.pinDir, "-o", "mode=0700"]);
  await makeNamespaceDir(names);
  makeCgroup(join(names.cgroup, kubepodsRoot(driver)));
  await makeNode(names);
}
