/** A directory of the cgroup v2 tree: made, emptied, removed. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export function makeCgroup(path: string): void {
  mkdirSync(path, { recursive: true });
}

/** Kills every process in it and below, waits until they are gone, and removes it. Fine if it does not exist. */
export async function destroyCgroup(path: string): Promise<void> {
  if (!existsSync(path)) return;
  killCgroup(path);
  for (let waited = 0; isPopulated(path); waited += 10) {
    if (waited >= 10_000)
      throw new Error(`empty cgroup ${path}: processes ${pidsOf(path).join(", ")} survive SIGKILL`);
    if (waited % 500 === 0) killCgroup(path);
    await sleep(10);
  }
  removeTree(path);
}

/** SIGKILL to every process in it and below. */
export function killCgroup(path: string): void {
  const kill = join(path, "cgroup.kill");
  try {
    // Since Linux 5.14.
    if (existsSync(kill)) {
      writeFileSync(kill, "1");
      return;
    }
  } catch (error) {
    if (isGone(error)) return;
    throw error;
  }
  for (const pid of pidsOf(path)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

/** Every process in it and below. */
export function pidsOf(path: string): number[] {
  return tree(path).flatMap((directory) => {
    try {
      return readFileSync(join(directory, "cgroup.procs"), "utf8").split("\n").filter(Boolean).map(Number);
    } catch (error) {
      if (isGone(error)) return [];
      throw error;
    }
  });
}

function isPopulated(path: string): boolean {
  try {
    return /^populated 1$/m.test(readFileSync(join(path, "cgroup.events"), "utf8"));
  } catch (error) {
    if (isGone(error)) return false;
    throw error;
  }
}

function removeTree(path: string): void {
  for (const directory of tree(path).reverse()) {
    try {
      rmdirSync(directory);
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }
}

/** It and every directory below, parents first. */
function tree(path: string): string[] {
  try {
    const below = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [path, ...below.flatMap((entry) => tree(join(path, entry.name)))];
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

/** ENODEV: the directory was removed while its file was open. */
function isGone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOENT" || code === "ENODEV";
}
