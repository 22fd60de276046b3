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

export function isNativeError(error: unknown): error is NativeError {
  return error instanceof Error && "code" in error && "operation" in error;
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
  /** Before load. */
  setMaxEntries(map: string, maxEntries: number): void;
  /**
   * Before load. `load()` then uses the map pinned there, or creates and pins one. A pin of another shape makes
   * `load()` throw EINVAL.
   */
  setPinPath(map: string, path: string): void;
  /** Before load. */
  setAutoload(program: string, on: boolean): void;
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
  start(
    client: number,
    upstream: number,
    options: { readonly idleMs: number },
    onEnd: (end: PumpEnd) => void,
  ): number;
  /** Resets both sides; `onEnd` says "stopped". Unknown ids, and those that have ended, are ignored. */
  stop(id: number): void;
  /** Connections whose `onEnd` has not been called. */
  readonly size: number;
  /** Resets all: every `onEnd` says "stopped", later. Afterwards `start` throws ERR_CLOSED and `stop` does nothing. */
  close(): void;
}

/**
 * Bytes that the kernel took for the upstream (`up`) and for the client (`down`). "closed": both streams ended, and
 * all of their bytes were passed on. Otherwise both sides were reset: because one was, for idleness, by `stop` or `close`.
 */
export interface PumpEnd {
  readonly up: bigint;
  readonly down: bigint;
  readonly how: "closed" | "reset" | "idle" | "stopped";
}

/** A lock or a switch that ends with `close()`. */
export interface Handle {
  close(): void;
}

/** One end of a TCP connection. */
export interface TcpEnd {
  /** 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. */
  readonly address: Uint8Array;
  readonly port: number;
}

/** A connection as the kernel's table (sock_diag) has it. */
export interface TcpConnection {
  /** Of the socket: v4-mapped addresses may be on family 6 sockets. */
  readonly family: 4 | 6;
  /** As in the kernel's net/tcp_states.h: 1 is ESTABLISHED, 2 SYN_SENT. */
  readonly state: number;
  readonly local: TcpEnd;
  readonly remote: TcpEnd;
  /** Of the interface that the socket is bound to, without which the kernel does not find it again; 0: none. */
  readonly interfaceIndex: number;
  /** Names the socket, so that `destroy` hits no later one. */
  readonly cookie: bigint;
  /** 0n: no process holds it. */
  readonly inode: bigint;
  readonly uid: number;
  /**
   * Sequence numbers that it has used and that are no payload: one for a SYN of its own, one for a FIN. Any other number
   * means that it was sending while the kernel looked.
   */
  readonly beyondPayload: number;
}

/**
 * A network namespace, held open. Every method runs on a thread of its own that has entered it, and waits for it (about
 * 0.1 ms); no other thread changes its namespace. EPERM without CAP_SYS_ADMIN.
 */
export interface Netns {
  /** SO_NETNS_COOKIE inside it. */
  readonly cookie: bigint;
  /**
   * A listening TCP socket on 127.0.0.1 or ::1 (that family alone) at a port the kernel chooses; non-blocking,
   * close-on-exec. The caller owns the descriptor. EADDRNOTAVAIL: loopback is down, or without IPv6. EAFNOSUPPORT.
   */
  listen(family: 4 | 6, backlog: number): { readonly fd: number; readonly port: number };
  /** An unconnected TCP socket; non-blocking, close-on-exec. The caller owns the descriptor. */
  socket(family: 4 | 6): number;
  /**
   * Every TCP connection that is not LISTEN, TIME_WAIT or CLOSE. One that is made or ends meanwhile may be in it or not.
   * ENOENT: the kernel has no inet_diag.
   */
  connections(): TcpConnection[];
  /**
   * Ends one for both applications: this side's gets ECONNABORTED, the other's ECONNRESET. False: it is not there any
   * more; a later connection with its addresses and ports is left alone. EPERM without CAP_NET_ADMIN; EOPNOTSUPP when
   * the kernel lacks CONFIG_INET_DIAG_DESTROY.
   */
  destroy(connection: TcpConnection): boolean;
  /** Sockets made here stay open. */
  close(): void;
}

/**
 * A connected SOCK_SEQPACKET Unix socket that carries descriptors. Keeps the process alive while it receives. What a
 * callback throws is an uncaughtException.
 */
export interface FdChannel {
  /** Who connected or listened, by the kernel's word (SO_PEERCRED), at that moment. `pid` 0: of another namespace. */
  readonly peer: { readonly pid: number; readonly uid: number; readonly gid: number };
  /**
   * 1 to 65536 bytes and at most 16 descriptors, which stay the caller's. EAGAIN when the peer does not read (some 200
   * KiB or 250 messages wait); EPIPE or ECONNRESET when it is gone.
   */
  send(message: Uint8Array, descriptors?: readonly number[]): void;
  /**
   * Once. Received descriptors (close-on-exec) are the callback's to close. `onEnd`: the peer closed, or with an error:
   * ECONNRESET, the peer closed before it had read everything; EMSGSIZE or EBADMSG, the peer sent more than a channel
   * carries, or descriptors were lost because this process may open no more. The channel is closed then, as after
   * `close()`, which calls nothing.
   */
  receive(
    onMessage: (message: Buffer, descriptors: number[]) => void,
    onEnd: (error?: NativeError) => void,
  ): void;
  close(): void;
}

/**
 * Accepts TCP connections on the event loop, 64 per turn at most, from construction until `close()`, which closes the
 * listening socket. Keeps the process alive unless paused.
 */
export interface Acceptor {
  /** Connections wait in the backlog. */
  pause(): void;
  resume(): void;
  close(): void;
}

/**
 * `isOver`: nothing is accepted any more and everything is closed. Else (EMFILE, ENFILE, ENOBUFS, ENOMEM) it is tried
 * again every 100 ms, and said again only after an attempt has succeeded.
 */
export type OnAcceptError = (error: NativeError, isOver: boolean) => void;

export interface Native {
  /** `path` like /proc/PID/ns/net. ENOENT; EINVAL when it is no network namespace; EPERM. */
  readonly Netns: { open(path: string): Netns };
  /**
   * Listens on a Unix socket, whose file gets mode 0600 and goes with `close()`. Removes a file that a dead process has
   * left; EADDRINUSE when somebody listens or it is no socket; ENAMETOOLONG from 108 bytes on. Whom `peer` should not
   * be, the caller closes. What a callback throws is an uncaughtException.
   */
  listenChannel(path: string, onChannel: (channel: FdChannel) => void, onError: OnAcceptError): Handle;
  /** Does not wait. ENOENT, ECONNREFUSED: nobody listens; EACCES; EAGAIN: the listener's backlog is full. */
  connectChannel(path: string): FdChannel;
  /**
   * Takes over a listening TCP socket, unless it throws: EBADF, ENOTSOCK, EPROTONOSUPPORT (not TCP), EINVAL (not
   * listening). `fd` is non-blocking, close-on-exec and the callback's to close. What a callback throws is an
   * uncaughtException.
   */
  readonly Acceptor: new (
    fd: number,
    onConnection: (fd: number, remotePort: number) => void,
    onError: OnAcceptError,
  ) => Acceptor;
  /**
   * Connects a TCP socket, which stays the caller's and becomes non-blocking. `address`: 16 bytes as in TcpEnd; a socket
   * of family 4 takes only v4-mapped ones (EAFNOSUPPORT). `done` is called once, never before the return, and with
   * everything that is no wrong argument: ECONNREFUSED, ETIMEDOUT (also after `timeoutMs`, 1 to 2^31 - 1),
   * EADDRNOTAVAIL, EBADF. After `close()` it is not called; the socket is then the caller's to close, and has to be.
   */
  connectTcp(
    fd: number,
    address: Uint8Array,
    port: number,
    timeoutMs: number,
    done: (error?: NativeError) => void,
  ): Handle;
  /** Closes a socket so that the peer gets RST, unless another descriptor has it open too. EBADF, ENOTSOCK. */
  resetSocket(fd: number): void;
  /** 3 or more. EBADF. */
  closeDescriptor(fd: number): void;
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
export function addonPaths(directory: string): string[] {
  return [
    join(directory, "../../build/Release/podgate.node"),
    join(directory, "../build/Release/podgate.node"),
    join(directory, "podgate.node"),
  ];
}
