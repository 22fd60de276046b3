/**
 * Owns what the agent has in the kernel: loads the programs, shares their pinned maps, attaches them, reads their
 * events. Enforcement is pinned and outlives this object; closing it closes descriptors only.
 */
import { chmodSync, existsSync, mkdirSync, renameSync, statSync, unlinkSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { encodeU32, encodeU64 } from "./abi.ts";
import { lostEvents, type VerdictCount, verdictCounts } from "./counters.ts";
import { type Maps, mapNames } from "./dataplane.ts";
import type { BpfMap, BpfObject, BpfProgram, EventReader, Handle, Native } from "./native.ts";

/** Pinned besides the tables: they must survive a restart too, with their content. */
const otherMaps = ["events", "event_limits", "counters"] as const;
/** Those that say where connections went, which sockops.bpf.c has too. */
const sockopsMaps = ["listeners", "note_counts", "forwarded", "redirects", "forwarded_sockets"] as const;
const redirectMaps = ["agent_state", ...sockopsMaps] as const;
export const programNames = ["connect4", "connect6", "getpeername4", "getpeername6"] as const;
/** Every link that an agent pins. */
export const linkNames = [...programNames, "sock_ops"] as const;

type ReadMap = "events" | "counters" | Exclude<(typeof redirectMaps)[number], "forwarded">;

export interface KernelOptions {
  /** Directory on a bpffs; made if missing, mode 0700: whoever can open the pins owns the policy. */
  readonly pinPath: string;
  /** The cgroup that holds the pods' directories. */
  readonly cgroupRoot: string;
  /** Depth of `cgroupRoot` in the whole hierarchy. */
  readonly cgroupLevel: number;
  /** Cookie of the node's own network namespace; 0n where the kernel does not tell. */
  readonly nodeNetnsCookie: bigint;
  /** Events per second, caller and guard. The rest is counted as suppressed. */
  readonly eventsPerSecond: number;
}

export class Kernel {
  readonly maps: Maps & Readonly<Record<ReadMap, BpfMap>>;
  readonly #native: Native;
  readonly #options: KernelOptions;
  readonly #object: BpfObject;
  readonly #opened: { close(): void }[] = [];

  /** @throws NativeError with the verifier's log, or an Error that says what the node lacks. */
  constructor(native: Native, options: KernelOptions) {
    this.#native = native;
    this.#options = options;
    requireCgroup2(native, options.cgroupRoot);
    makePinDirectories(native, options.pinPath);
    this.#object = new native.BpfObject(objectPath("connect"));
    this.#opened.push(this.#object);
    this.#pinMaps(this.#object, [...mapNames, ...otherMaps, ...redirectMaps]);
    this.#object.setGlobal("kubepods_level", encodeU32(options.cgroupLevel));
    this.#object.setGlobal("node_netns_cookie", encodeU64(options.nodeNetnsCookie));
    this.#object.setGlobal("events_per_second", encodeU32(options.eventsPerSecond));
    this.#load();
    const names = [...mapNames, "events", "counters", ...redirectMaps] as const;
    this.maps = Object.fromEntries(
      names.map((name) => [name, this.#own(this.#object.map(name))]),
    ) as unknown as Kernel["maps"];
  }

  /**
   * Follows the sockets that connect sends elsewhere; before `attach`, so that it misses none. Without it nothing may be
   * sent to the proxy: it would not know what was dialled. @throws NativeError where the kernel cannot.
   */
  attachSockops(): void {
    const object = this.#own(new this.#native.BpfObject(objectPath("sockops")));
    this.#pinMaps(object, sockopsMaps);
    object.load();
    this.#attach("sock_ops", this.#own(object.program("sock_ops")));
  }

  /** Puts the programs in force. A link that is there is updated in place, so that no connect finds none. */
  attach(): void {
    for (const name of programNames) {
      const program = this.#own(this.#object.program(name));
      this.#attach(name, program);
    }
  }

  /** Reads events until `close`. What `onRecords` throws goes to `onError`. */
  readEvents(onRecords: (batch: Buffer) => void, onError: (error: Error) => void): EventReader {
    return this.#own(
      new this.#native.EventReader(this.maps.events, { maxBatchBytes: 1 << 18 }, onRecords, onError),
    );
  }

  /** Events that found the ring buffer full since the maps were made. */
  lostEvents(): number {
    return lostEvents(this.#counters());
  }

  /** All verdicts since the maps were made. */
  verdictCounts(): readonly VerdictCount[] {
    return verdictCounts(this.#counters());
  }

  #counters(): Buffer {
    return this.maps.counters.get(encodeU32(0)) ?? Buffer.alloc(0);
  }

  program(name: (typeof programNames)[number]): BpfProgram {
    return this.#own(this.#object.program(name));
  }

  close(): void {
    for (const handle of this.#opened.reverse()) handle.close();
    this.#opened.length = 0;
  }

  #own<T extends { close(): void }>(handle: T): T {
    this.#opened.push(handle);
    return handle;
  }

  #pinMaps(object: BpfObject, names: readonly string[]): void {
    for (const name of names) {
      object.setPinPath(name, mapPin(this.#options.pinPath, name));
    }
  }

  #load(): void {
    try {
      this.#object.load();
    } catch (cause) {
      this.close();
      const message = cause instanceof Error ? cause.message : String(cause);
      throw new Error(
        `load the connect programs: ${message} (a map pinned by another version has another shape: run \`podgate cleanup\` first)`,
        { cause },
      );
    }
  }

  #attach(name: string, program: BpfProgram): void {
    const pin = linkPin(this.#options.pinPath, name);
    const fresh = `${pin}_new`; // bpffs takes no dots in names
    if (existsSync(fresh)) unlinkSync(fresh); // of an agent that died below; its older link is still at `pin`
    if (existsSync(pin)) {
      const link = this.#native.BpfLink.open(pin);
      try {
        if (link.info().cgroupId === this.#native.cgroupId(this.#options.cgroupRoot)) {
          link.update(program);
          return;
        }
      } finally {
        link.close();
      }
    }
    // No link, or one on a cgroup that is no longer the pods': the new one is in force before the old one goes.
    const link = program.attachCgroup(this.#options.cgroupRoot);
    try {
      link.pin(fresh);
      if (existsSync(pin)) unlinkSync(pin);
      renameSync(fresh, pin);
    } finally {
      link.close();
    }
  }
}

/** How deep `cgroupRoot` lies below its mount's root; a cgroup namespace may hide more above. */
export function mountDepth(native: Native, cgroupRoot: string): number {
  const root = mountRoot(native, cgroupRoot);
  return relative(root, cgroupRoot).split("/").filter(Boolean).length;
}

/** The topmost directory above `path` that is still on cgroup2. */
export function mountRoot(native: Native, path: string): string {
  let root = path;
  while (dirname(root) !== root && native.isCgroup2(dirname(root))) root = dirname(root);
  return root;
}

export function mapPin(pinPath: string, name: string): string {
  return join(pinPath, "maps", name);
}

export function linkPin(pinPath: string, name: string): string {
  return join(pinPath, "links", name);
}

/** Where a built BPF object is, seen from the source tree or from the bundle in dist/. */
export function objectPath(name: string): string {
  const candidates = ["../../bpf/out", "../bpf/out", "bpf"].map((directory) =>
    join(import.meta.dirname, directory, `${name}.bpf.o`),
  );
  const path = candidates.find((candidate) => existsSync(candidate));
  if (path === undefined)
    throw new Error(`find ${name}.bpf.o: not at ${candidates.join(", ")}; run \`node setup.cjs\``);
  return path;
}

/** The directory has one owner at a time. @throws Error when another agent has it. */
export function lockPins(native: Native, pinPath: string): Handle {
  try {
    return native.lockDirectory(pinPath);
  } catch (cause) {
    if ((cause as { code?: string }).code !== "EWOULDBLOCK") throw cause;
    throw new Error(`use ${pinPath}: an agent has it: stop that one or pass another --pin-path`, { cause });
  }
}

/** @throws Error that says what to do: programs cannot be attached to any other directory. */
export function requireCgroup2(native: Native, cgroupRoot: string): void {
  if (native.isCgroup2(cgroupRoot)) return;
  throw new Error(
    `use ${cgroupRoot} as the pods' cgroup: it is not on cgroup v2: boot with systemd.unified_cgroup_hierarchy=1, or pass --cgroup-root`,
  );
}

/** Whether there is anything at `path`. @throws Error that says what to do, where this process may not know. */
export function isThere(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (cause) {
    throw new Error(`look for ${path}: ${(cause as NodeJS.ErrnoException).code}: run it as root`, { cause });
  }
}

/** `pinPath`, or where it would be made, is on a bpf filesystem. @throws Error that says what to do. */
export function requireBpffs(native: Native, pinPath: string): void {
  let nearest = pinPath;
  while (!isThere(nearest) && dirname(nearest) !== nearest) nearest = dirname(nearest);
  if (native.isBpffs(nearest)) return;
  throw new Error(
    `use ${pinPath} for pins: it is not on a bpf filesystem: mount one there (\`mount -t bpf bpf DIR\`), or pass --pin-path with a directory below /sys/fs/bpf`,
  );
}

/** @throws Error that says what the node lacks. */
export function makePinDirectories(native: Native, pinPath: string): void {
  requireBpffs(native, pinPath);
  try {
    mkdirSync(pinPath, { recursive: true, mode: 0o700 });
    chmodSync(pinPath, 0o700);
    mkdirSync(join(pinPath, "maps"), { recursive: true, mode: 0o700 });
    mkdirSync(join(pinPath, "links"), { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new Error(
      `make the pin directory ${pinPath}: ${(cause as Error).message}: pass another --pin-path`,
      {
        cause,
      },
    );
  }
}
