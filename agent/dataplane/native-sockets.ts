/**
 * The part of the native addon's interface that deals with sockets. A descriptor is a plain number, and whoever receives
 * it owns it.
 */
import type { Handle, NativeError } from "./native.ts";

/** One end of a TCP connection. */
export interface TcpEnd {
  /** 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. */
  readonly address: Uint8Array;
  readonly port: number;
}

/** Of the kernel's net/tcp_states.h those that anybody here asks for. */
export const TCP_STATES = {
  established: 1,
  synSent: 2,
  synReceived: 3,
  finWait2: 5,
  closeWait: 8,
  listen: 10,
} as const;

/** A connection as the kernel's table (sock_diag) has it. */
export interface TcpConnection {
  /** Of the socket: v4-mapped addresses may be on family 6 sockets. */
  readonly family: 4 | 6;
  /** One of TCP_STATES, or another of the kernel's. */
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
   * means that it was sending while the kernel looked, or that the kernel does not tell. Not of a state before ESTABLISHED.
   */
  readonly beyondPayload: number;
}

/** A socket as the kernel's table has it: a connection, or one that listens, whose remote end is all zero. */
export interface TcpSocket extends TcpConnection {
  /**
   * Made by `Netns.listen` or `Netns.sockets`, or accepted (or in the queue) there, and not moved by a Pump, which may dial
   * for it: what becomes of its bytes hangs on an event loop. Never before Linux 5.10. Anybody can make a socket of his own look so.
   */
  readonly onEventLoop: boolean;
}

/** Which connections are asked for. */
export interface ListingFilter {
  /** Also sockets that listen. They come first. */
  readonly listeners?: boolean;
  /** Only those whose remote end may be one of a sieve's (`sieveOf`). */
  readonly remote?: Uint8Array;
  /**
   * At most 1024 cgroups' ids: only sockets that were made in one of them. The kernel passes over the others. Its word is
   * where the maker of a socket was; who has it now, or where that one is, is nothing to it.
   */
  readonly cgroups?: BigUint64Array;
}

/**
 * Every TCP connection of a network namespace that is not LISTEN, TIME_WAIT or CLOSE; one that is made or ends meanwhile
 * may be in it or not. Read off the event loop: 1 to 2 ms, because the kernel walks one table for all namespaces, and 1
 * to 2 us per connection, more for those that are told of. The kernel goes on as pieces are asked for, and whoever ends
 * connections between two pieces may make it pass over others.
 */
export interface Listing {
  /**
   * The next 256 at most, as many as are found within some 20 ms, so perhaps none. Its end closes the listing, and so
   * does an error: ENOENT, the kernel has no inet_diag; EAGAIN, the table changed so that the answer may be inconsistent;
   * EPERM without CAP_SYS_ADMIN; EOPNOTSUPP, the kernel tells no cgroups (Linux 5.9 does). `done` is called once, never before the return, and not after `close()`. EALREADY: one is on its way.
   */
  next(
    done: (
      ...result: [error: NativeError] | [error: undefined, connections: TcpSocket[], more: boolean]
    ) => void,
  ): void;
  close(): void;
}

/**
 * A network namespace, held open. Every other method runs on a thread of its own that has entered it, and waits for it
 * (about 0.1 ms); no other thread changes its namespace. EPERM without CAP_SYS_ADMIN.
 */
export interface Netns {
  /** SO_NETNS_COOKIE inside it. */
  readonly cookie: bigint;
  /**
   * A listening TCP socket on 127.0.0.1 or ::1 (that family alone) at a port the kernel chooses; non-blocking,
   * close-on-exec. The caller owns the descriptor. EADDRNOTAVAIL: loopback is down, or without IPv6. EAFNOSUPPORT.
   */
  listen(family: 4 | 6, backlog: number): { readonly fd: number; readonly port: number };
  /**
   * 1 to 32 unconnected TCP sockets, as many as a channel carries, or none; non-blocking, close-on-exec. The caller owns the
   * descriptors.
   */
  sockets(family: 4 | 6, count: number): number[];
  /** Reads its table of TCP connections. EMFILE, ENFILE. */
  list(filter?: ListingFilter): Listing;
  /**
   * Ends one for both applications: this side's gets ECONNABORTED, the other's ECONNRESET. False: it is not there any
   * more; a later connection with its addresses and ports is left alone. EPERM without CAP_NET_ADMIN; EOPNOTSUPP when
   * the kernel lacks CONFIG_INET_DIAG_DESTROY. `cgroups`, as a listing's: one that was made elsewhere is left alone, as are
   * all where the kernel does not tell.
   */
  destroy(connection: TcpConnection, cgroups?: BigUint64Array): boolean;
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
   * 1 to 65536 bytes and at most 32 descriptors, which stay the caller's. EAGAIN when the peer does not read (some 200
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
 * `isOver`: nothing is accepted any more and everything is closed. Else (EMFILE, ENFILE, ENOBUFS, ENOMEM) it is tried
 * again every 100 ms, and said again only after an attempt has succeeded.
 */
export type OnAcceptError = (error: NativeError, isOver: boolean) => void;

export interface NativeSockets {
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
   * Accepts TCP connections on the event loop, 64 per turn at most, from construction until `close()`, which closes the
   * listening socket. Keeps the process alive.
   *
   * Takes over a listening TCP socket, unless it throws: EBADF, ENOTSOCK, EPROTONOSUPPORT (not TCP), EINVAL (not
   * listening). `fd` is non-blocking, close-on-exec and the callback's to close. `remoteAddress`: 16 bytes as in TcpEnd.
   * Its peer gets RST however it is closed, until `resetOnClose` or a Pump says otherwise. A connection that was reset while it waited is not reported. What a callback throws is an uncaughtException.
   */
  readonly Acceptor: new (
    fd: number,
    onConnection: (fd: number, remotePort: number, remoteAddress: Uint8Array) => void,
    onError: OnAcceptError,
  ) => Handle;
  /**
   * The address that an unconnected TCP socket will connect from; its port is chosen then. `address` as for connectTcp.
   * EADDRNOTAVAIL: the socket's namespace does not have it; EINVAL: bound already; EBADF, ENOTSOCK, EAFNOSUPPORT.
   */
  bindSource(fd: number, address: Uint8Array): void;
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
  /** Whether the peer gets RST when the last descriptor is closed, also because this process is killed. EBADF, ENOTSOCK. */
  resetOnClose(fd: number, on: boolean): void;
  /** Closes a socket so that the peer gets RST, unless another descriptor has it open too. EBADF, ENOTSOCK. */
  resetSocket(fd: number): void;
  /** 3 or more. EBADF. */
  closeDescriptor(fd: number): void;
}
