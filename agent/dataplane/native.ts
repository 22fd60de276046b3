/**
 * The native addon's interface, written by hand, and its loader: the only file that loads the addon.
 *
 * Every class owns file descriptors. `close()` may be called twice; any other method of a closed handle throws
 * ERR_CLOSED. A handle that is not closed is closed when it is collected. The kernel's object lives on while it is
 * pinned or attached.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { NativeSockets } from "./native-sockets.ts";

export type {
  FdChannel,
  Listing,
  ListingFilter,
  Netns,
  OnAcceptError,
  TcpConnection,
  TcpEnd,
  TcpSocket,
} from "./native-sockets.ts";

/**
 * What the addon throws when the kernel or libbpf refuses. The message is `<operation>: <code>[: last lines of log]`.
 * A wrong argument is a TypeError or RangeError with code ERR_INVALID_ARG and neither `operation` nor `log`.
 */
export interface NativeError extends Error {
  /** An errno name ("EPERM"), or ERR_CLOSED. */
  readonly code: string;
  /** What failed, for example "attach connect4 to /sys/fs/cgroup/kubepods". */
  readonly operation: string;
  /** What libbpf and the verifier said, or the hint in the message; the last 64 KiB of it. */
  readonly log?: string;
}

/** A struct as the object's BTF describes it; offsets and sizes in bytes. A flexible array has size 0. */
export interface StructLayout {
  readonly name: string;
  readonly size: number;
  readonly members: readonly { readonly name: string; readonly offset: number; readonly size: number }[];
}

/** An ELF object: open, adjust, `load()` once, take programs and maps out (they outlive it), close. */
export interface BpfObject {
  /** Sets a `const volatile` variable; `value` has exactly its size. Before load. */
  setGlobal(name: string, value: Uint8Array): void;
  /**
   * Before load. `load()` then uses the map pinned there, or creates and pins one. A pin of another shape makes
   * `load()` throw EINVAL.
   */
  setPinPath(map: string, path: string): void;
  /** Creates maps and loads programs: all or none. The verifier's log is in the error. Cannot be tried twice. */
  load(): void;
  program(name: string): BpfProgram;
  map(name: string): BpfMap;
  mapNames(): string[];
  programNames(): string[];
  /** Every named struct in the object's BTF, also before load. */
  structs(): StructLayout[];
  close(): void;
}

export interface BpfProgram {
  pin(path: string): void;
  /** Attaches beside other programs (the "multi" kind), with the attach type of the program's section name. */
  attachCgroup(cgroupPath: string): BpfLink;
  attachRawTracepoint(name: string): BpfLink;
  /** Runs an `iter/...` program over everything and returns what it wrote. EMSGSIZE when that exceeds `maxBytes`. */
  iterate(maxBytes: number): Buffer;
  /** `runCount` and `runTimeNs` grow only while statistics are enabled. The kernel keeps 15 bytes of a name. */
  info(): { id: number; name: string; runCount: bigint; runTimeNs: bigint };
  close(): void;
}

export interface BpfLink {
  pin(path: string): void;
  /** Puts another program of the same type in place, with no moment without one. */
  update(program: BpfProgram): void;
  /** `type` is the kernel's enum bpf_link_type. `cgroupId` is 0n after detach. */
  info(): { id: number; programId: number; type: number; cgroupId?: bigint; attachType?: number };
  /** Detaches for good, pinned or not. */
  detach(): void;
  /** Closes the descriptor: a pinned link stays attached, another is detached. */
  close(): void;
}

export interface BpfMap {
  /** The kernel keeps 15 bytes of it. */
  readonly name: string;
  /** The kernel's enum bpf_map_type. */
  readonly type: number;
  readonly keySize: number;
  /** Of a per-CPU map: the values of all possible CPUs, each rounded up to 8 bytes. */
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly id: number;
  /** Undefined: there is no such entry. */
  get(key: Uint8Array): Buffer | undefined;
  put(key: Uint8Array, value: Uint8Array): void;
  /** False: there was no such entry. */
  delete(key: Uint8Array): boolean;
  /** Keys and values one after the other. Returns how many were written; an error has that number as `written`. */
  putBatch(keys: Uint8Array, values: Uint8Array): number;
  /** Absent keys are skipped. Returns how many were there. */
  deleteBatch(keys: Uint8Array): number;
  /** Keys and values one after the other. What is put or deleted meanwhile may or may not be among them. */
  entries(): { keys: Buffer; values: Buffer; count: number };
  close(): void;
}

/** Reads a ring buffer on the event loop, from construction until `close()`. Keeps the process alive unless `unref()`. */
export interface EventReader {
  /** `callbackErrors` counts exceptions of `onBatch`. What did not fit the ring buffer, the BPF side counts. */
  stats(): { records: number; batches: number; callbackErrors: number };
  ref(): void;
  unref(): void;
  close(): void;
}

/**
 * Moves bytes between pairs of TCP sockets with splice(2), on threads of its own. The end of a stream, a reset and a
 * reader's slowness pass through from one socket to the other. Keeps the process alive while there are connections.
 * Both sockets get TCP_NODELAY and SO_KEEPALIVE.
 */
export interface Pump {
  /**
   * Returns the connection's id. Takes over both descriptors; when it throws, they stay the caller's. `idleMs`: after
   * so many milliseconds in which no byte moved both sides are reset, also when that is for a reader's slowness; 0:
   * never. `onEnd` is called once, on the event loop, when both descriptors are closed; what it throws is an
   * uncaughtException. EBADF, ENOTSOCK, EPROTOTYPE (no TCP socket), EINVAL (listens, or twice the same), EBUSY (pumped
   * already). A socket that is not connected any more ends at once, as "reset".
   */
  start(client: number, upstream: number, options: PumpOptions, onEnd: (end: PumpEnd) => void): number;
  /** Resets both sides; `onEnd` says "stopped". Unknown ids, and those that have ended, are ignored. */
  stop(id: number): void;
  /** Connections whose `onEnd` has not been called. */
  readonly size: number;
  /** Resets all: every `onEnd` says "stopped", later. Afterwards `start` throws ERR_CLOSED and `stop` does nothing. */
  close(): void;
}

export interface PumpOptions {
  readonly idleMs: number;
  /**
   * The upstream socket is to be connected first; `address` as for connectTcp. `onConnected` is called once it is, before
   * `onEnd`. Else `onEnd` says "unconnected" and why: ECONNREFUSED, ETIMEDOUT (also after `timeoutMs`, 1 to 2^31 - 1),
   * EADDRNOTAVAIL. Until then both sockets keep their loop mark. EAFNOSUPPORT.
   */
  readonly connect?: {
    readonly address: Uint8Array;
    readonly port: number;
    readonly timeoutMs: number;
    readonly onConnected: () => void;
  };
}

/**
 * Bytes that the kernel took for the upstream (`up`) and for the client (`down`). "closed": both streams ended, and
 * all of their bytes were passed on. Otherwise both sides were reset: because one was, for idleness, by `stop` or `close`.
 */
export interface PumpEnd {
  readonly up: bigint;
  readonly down: bigint;
  readonly how: "closed" | "reset" | "idle" | "stopped" | "unconnected";
  /** Of "unconnected". */
  readonly error?: string;
}

/** A lock or a switch that ends with `close()`. */
export interface Handle {
  close(): void;
}

export interface Native extends NativeSockets {
  readonly BpfObject: new (path: string) => BpfObject;
  readonly BpfProgram: { open(pinPath: string): BpfProgram };
  readonly BpfLink: { open(pinPath: string): BpfLink };
  readonly BpfMap: { open(pinPath: string): BpfMap };
  /**
   * `onBatch` gets records as `splitRecords` reads them, once per wake-up; the record that reaches `maxBatchBytes`
   * ends a batch. What `onBatch` throws goes to `onError`, and reading goes on; what `onError` throws is an
   * uncaughtException.
   */
  readonly EventReader: new (
    ringbuf: BpfMap,
    options: { readonly maxBatchBytes: number },
    onBatch: (records: Buffer) => void,
    onError: (error: Error) => void,
  ) => EventReader;
  /** `threads`: 1 to 64. */
  readonly Pump: new (options: {
    readonly threads: number;
  }) => Pump;
  /** CLOCK_BOOTTIME in ns, as the kernel's programs read it. Takes no descriptor. */
  bootTime(): bigint;
  /** SO_NETNS_COOKIE of the caller's network namespace. ENOPROTOOPT before Linux 5.14. */
  netnsCookie(): bigint;
  /** What bpf_get_current_cgroup_id returns in that cgroup. EOPNOTSUPP when `path` is not on cgroup2. */
  cgroupId(path: string): bigint;
  possibleCpus(): number;
  /** Makes the kernel count runs and run time of every program until closed. */
  enableStats(): Handle;
  isBpffs(path: string): boolean;
  isCgroup2(path: string): boolean;
  /** An exclusive lock (flock) on a directory. EWOULDBLOCK when somebody holds it. */
  lockDirectory(path: string): Handle;
  /** For kernels before 5.11, which charge maps to RLIMIT_MEMLOCK. Where that is not permitted, up to the hard limit. */
  setMemlockUnlimited(): void;
}

/** The records of a batch: views into it, not copies. Each is preceded by its u32 length in the machine's byte order. */
export function splitRecords(batch: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = 0; at < batch.length; ) {
    const end = at + 4 + batch.readUInt32LE(at);
    records.push(batch.subarray(at + 4, end));
    at = end;
  }
  return records;
}

/** Loads the addon. Throws an error that says how to build it when it is not there. */
export function loadNative(): Native {
  const candidates = addonPaths(import.meta.dirname);
  const path = candidates.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    throw new Error(`find the native addon: not at ${candidates.join(", ")}; run \`node setup.cjs\``);
  }
  try {
    return createRequire(import.meta.url)(path) as Native;
  } catch (cause) {
    throw new Error(`load the native addon ${path}: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
}

/** Where the addon may be, seen from this file: in the source tree, from the bundle in dist/, and beside the bundle. */
function addonPaths(directory: string): string[] {
  return [
    join(directory, "../../build/Release/podgate.node"),
    join(directory, "../build/Release/podgate.node"),
    join(directory, "podgate.node"),
  ];
}
