/** Removes everything a lab made, found by its names alone: it works after a crash too. */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { destroyCgroup } from "./cgroup.ts";
import { run } from "./command.ts";
import { liveOwner } from "./lock.ts";
import { isLabName, type LabNames, labNames } from "./names.ts";

/** Of a lab that no process runs any more. Fine if there is nothing. */
export async function removeLeftovers(names: LabNames): Promise<void> {
  // Processes first: they hold namespaces, mounts and pins.
  await destroyCgroup(names.cgroup);
  for (const mount of mountsUnder(names.runDir).reverse()) {
    const { status, stderr } = await run(["umount", "--lazy", mount]);
    if (status !== 0 && !/not mounted/.test(stderr)) throw new Error(`unmount ${mount}: ${stderr.trim()}`);
  }
  // Never through a mount: what is below one is not the lab's to delete.
  if (mountsUnder(names.runDir).length > 0)
    throw new Error(`remove ${names.runDir}: something is mounted there`);
  rmSync(names.runDir, { recursive: true, force: true });
}

/** Of every lab whose process has died: tests name theirs anew each time, so no later one would. */
export async function removeDeadLabs(): Promise<void> {
  for (const name of readdirSync("/run").filter(isLabName)) {
    const names = labNames(name);
    // One that nobody has claimed yet is just being made.
    if (existsSync(names.ownerFile) && liveOwner(names) === undefined) await removeLeftovers(names);
  }
}

/** What is left of the lab on this machine; empty if nothing is. */
export function leftovers(names: LabNames): string[] {
  return [
    ...[names.cgroup, names.runDir].filter((path) => existsSync(path)),
    ...mountsUnder(names.runDir).map((mount) => `mount ${mount}`),
  ];
}

/** In the order they were mounted. */
function mountsUnder(directory: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((mount) => mount.startsWith(`${directory}/`));
}
