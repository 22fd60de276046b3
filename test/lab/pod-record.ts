/** What `exec` needs to know of a running pod, left in a file for programs other than the lab's own process. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { LabNames } from "./names.ts";

export interface PodRecord {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly ips: readonly string[];
  /** The pod's directory. */
  readonly cgroup: string;
  readonly netns: string;
  readonly mntns?: string;
  readonly containers: readonly ContainerRecord[];
}

export interface ContainerRecord {
  readonly name: string;
  readonly cgroup: string;
  readonly env: Readonly<Record<string, string>>;
  readonly workingDir: string;
}

export function writeRecord(names: LabNames, record: PodRecord): void {
  const path = recordPath(names, record.namespace, record.name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, JSON.stringify(record));
  renameSync(`${path}.new`, path);
}

/** Of the pod with this UID only: another may have the name by now. */
export function removeRecord(names: LabNames, { namespace, name, uid }: PodRecord): void {
  if (readRecord(names, namespace, name)?.uid === uid) rmSync(recordPath(names, namespace, name));
}

/** Undefined if no such pod runs. */
export function readRecord(names: LabNames, namespace: string, name: string): PodRecord | undefined {
  try {
    return JSON.parse(readFileSync(recordPath(names, namespace, name), "utf8")) as PodRecord;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** `namespace/name` of every running pod. */
export function recordedPods(names: LabNames): string[] {
  const list = (path: string) => {
    try {
      return readdirSync(path);
    } catch {
      return [];
    }
  };
  return list(names.podDir)
    .flatMap((namespace) => list(join(names.podDir, namespace)).map((file) => `${namespace}/${file}`))
    .filter((file) => file.endsWith(".json"))
    .map((file) => file.slice(0, -".json".length))
    .sort();
}

function recordPath(names: LabNames, namespace: string, name: string): string {
  return join(names.podDir, namespace, `${name}.json`);
}
