/**
 * The pods' network namespaces, held open by their cookies. Nobody gets one but who can say in which cgroup below the
 * pods' it is: not the node's own, and not one that merely has a process's number.
 */
import { readlinkSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { cgroupsBelow, cgroupsIn, processesIn } from "../dataplane/cgroup-processes.ts";
import type { Netns } from "../dataplane/native.ts";
import { isPathBelow, type Place } from "./broker-protocol.ts";

/**
 * Of one container, to find the namespace asked for: it may make thousands within itself, of processes and directories too,
 * and what it hides so must be found by way of the pod's others, the one that holds its namespaces among them.
 */
const MOST_TRIED = 64;
const MOST_PROCESSES = 20_000;
const MOST_DIRECTORIES = 1024;
/** Directories directly in a pod's, which the kubelet makes. */
const MOST_CONTAINERS = 64;

export interface NamespaceSource {
  open(path: string): Netns;
}

export class PodNamespaces {
  readonly #source: NamespaceSource;
  readonly #root: string;
  readonly #forbidden: ReadonlySet<bigint>;
  readonly #open = new Map<bigint, { readonly netns: Netns; readonly directory: string }>();

  /** `forbidden`: cookies of namespaces that are no pod's. `root` is the pods' cgroup. @throws Error if there is none. */
  constructor(source: NamespaceSource, root: string, forbidden: ReadonlySet<bigint>) {
    this.#source = source;
    this.#root = realpathSync(root);
    this.#forbidden = forbidden;
  }

  get size(): number {
    return this.#open.size;
  }

  /** @throws Error that says why there is none. The handle stays this object's. */
  find({ cgroup, cookie }: Place): Netns {
    if (this.#forbidden.has(cookie)) throw new Error(`enter namespace ${cookie}: it is the node's own`);
    const directory = this.directory(cgroup);
    const held = this.#open.get(cookie);
    if (held !== undefined && held.directory === directory) return held.netns;
    const netns = this.#search(directory, cookie);
    // Shared by two pods, or a pod that has moved: who asked last has a process in it now.
    held?.netns.close();
    this.#open.set(cookie, { netns, directory });
    return netns;
  }

  /** Lets go of the namespaces of pods that are gone, and says which. */
  sweep(): readonly bigint[] {
    const gone: bigint[] = [];
    for (const [cookie, { netns, directory }] of this.#open) {
      if (isDirectory(directory)) continue;
      netns.close();
      this.#open.delete(cookie);
      gone.push(cookie);
    }
    return gone;
  }

  close(): void {
    for (const { netns } of this.#open.values()) netns.close();
    this.#open.clear();
  }

  /** @throws Error if there is none of that name below the pods' cgroup. */
  directory(cgroup: string): string {
    const directory = join(this.#root, cgroup);
    if (!isPathBelow(cgroup) || realPath(directory) !== directory) {
      throw new Error(`find pod cgroup \`${cgroup}\`: there is no such directory below ${this.#root}`);
    }
    return directory;
  }

  #search(directory: string, cookie: bigint): Netns {
    const about = { cookie, lastError: "no process of it is there" };
    const containers = cgroupsIn(directory).slice(0, MOST_CONTAINERS);
    const groups = [[directory], ...containers.map((path) => cgroupsBelow(path, MOST_DIRECTORIES))];
    for (const directories of groups) {
      const found = this.#searchIn(processesOf(directories), about);
      if (found !== undefined) return found;
    }
    throw new Error(`enter namespace ${cookie} of ${directory}: ${about.lastError}`);
  }

  #searchIn(pids: Iterable<number>, about: { cookie: bigint; lastError: string }): Netns | undefined {
    const tried = new Set<string>();
    for (const pid of pids) {
      const path = `/proc/${pid}/ns/net`;
      try {
        const name = readlinkSync(path);
        if (tried.has(name)) continue;
        if (tried.size >= MOST_TRIED) break;
        tried.add(name);
        const netns = this.#source.open(path);
        // The process may have ended, and its number be another's by now: the cookie tells.
        if (netns.cookie === about.cookie) return netns;
        netns.close();
        about.lastError = "its processes are in others";
      } catch (error) {
        if (!isGone(error)) about.lastError = (error as Error).message;
      }
    }
    return undefined;
  }
}

/** The processes of those directories, one after the other. */
function* processesOf(directories: Iterable<string>): Generator<number> {
  let found = 0;
  for (const path of directories) {
    for (const pid of processesIn(path)) {
      if (found++ >= MOST_PROCESSES) return;
      yield pid;
    }
  }
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** A process, while one looks. */
function isGone(error: unknown): boolean {
  return ["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "");
}
