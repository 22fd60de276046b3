/**
 * The life of a connection that the kernel could not decide: accepted in its pod, decided, and then either reset or joined
 * with an upstream socket that was made in the same pod. Whatever cannot be found out resets it.
 */
import type { Handle, Native, Pump, TcpEnd } from "../dataplane/native.ts";
import { addressBytes, formatAddress, type IpAddress, isIpv4, isLoopback } from "../model/address.ts";
import type { TlsSession, TlsSettings } from "../model/tls.ts";
import type { Reason, Verdict } from "../model/verdict.ts";
import type { Sockets } from "./broker-client.ts";
import type { Place } from "./broker-protocol.ts";
import { type ClientEnd, plainEnd } from "./client-end.ts";
import type { ShakeHands } from "./handshake.ts";
import type { Cause, OverLimit } from "./over-limit.ts";
import { type Limits, type OnQuota, Quota } from "./quota.ts";
import { deny, failed, refusal, targetOf, unlessForgotten } from "./ruling.ts";

export interface At {
  readonly address: IpAddress;
  readonly port: number;
}

/** What the kernel noted about a connection when it sent it here. */
export interface Undecided {
  /** CLOCK_BOOTTIME, ns, of the connect. */
  readonly time: bigint;
  readonly cgroup: bigint;
  /** The pod's number; 0: unresolved. */
  readonly pod: number;
  readonly guard: number;
  readonly pid: number;
  readonly comm: string;
  readonly dialled: At;
}

/** Who asks, and whether it is the pod that the listener is in. */
export interface Caller {
  readonly entry: Undecided;
  readonly podUid: string;
  readonly client: TcpEnd;
  /** What its TLS handshake came to; undefined where there was none yet. */
  readonly tls?: TlsSession;
}

/**
 * "allow" and "forward" lead to `target`; without one there is nothing to connect to, and it is refused. "proxy" with
 * `handshake` is asked again after that.
 */
export type Ruling = Verdict & { readonly target?: At };

/** What became of it. `error`: an allowed connection could not be made. */
export interface Outcome {
  readonly caller: Caller;
  readonly ruling: Ruling;
  readonly error?: string;
}

export interface ProxyOptions {
  readonly native: Pick<Native, "resetSocket" | "closeDescriptor" | "bindSource" | "connectTcp">;
  readonly pump: Pump;
  readonly sockets: Pick<Sockets, "socket">;
  /** Takes what the kernel noted, so that nobody gets it twice. */
  readonly take: (netnsCookie: bigint, client: TcpEnd, family: 4 | 6) => Undecided | undefined;
  /** Neither this nor `onOutcome` throws. */
  readonly decide: (caller: Caller) => Ruling;
  readonly onOutcome: (outcome: Outcome) => void;
  /** CLOCK_BOOTTIME, ns. */
  readonly bootTime: () => bigint;
  /** Who has waited longer than this is refused: the kernel refuses who comes later. */
  readonly longestWaitMs: number;
  readonly shakeHands: ShakeHands;
  readonly handshakeTimeoutMs: number;
  readonly connectTimeoutMs: number;
  /** Without a byte in either direction; 0: never. */
  readonly idleMs: number;
  readonly open: Limits;
  /** Of those, not joined yet. */
  readonly pending: Limits;
  /** To be told of both. */
  readonly overLimit: Pick<OverLimit, "update">;
}

/** An allowed connection, from its verdict to its end. */
export interface OpenConnection {
  readonly caller: Caller;
  readonly place: Place & { readonly podUid: string };
  readonly ruling: Ruling;
  /** Resets both sides. */
  readonly stop: () => void;
}

export class TcpProxy {
  readonly #options: ProxyOptions;
  readonly #quota: Quota;
  readonly #pending: Quota;
  readonly #open = new Set<OpenConnection>();
  readonly #handshakes = new Set<AbortController>();
  #idle = Promise.withResolvers<void>();
  #strays = 0;

  constructor(options: ProxyOptions) {
    this.#options = options;
    const tell =
      (cause: Cause): OnQuota =>
      (...how) =>
        options.overLimit.update(cause, ...how);
    this.#quota = new Quota(options.open, tell("open"));
    this.#pending = new Quota(options.pending, tell("pending"));
  }

  /** Allowed and not ended. */
  get open(): ReadonlySet<OpenConnection> {
    return this.#open;
  }

  /** Connections to a listener that the kernel had not sent there. */
  get strays(): number {
    return this.#strays;
  }

  /** Takes over the accepted socket `fd`. */
  accept(place: Place & { readonly podUid: string }, family: 4 | 6, fd: number, client: TcpEnd): void {
    const { native, take, decide, onOutcome } = this.#options;
    let entry: Undecided | undefined;
    try {
      entry = take(place.cookie, client, family);
    } catch {
      // The kernel does not say who it is.
    }
    if (entry === undefined) {
      this.#strays += 1;
      native.resetSocket(fd);
      return;
    }
    const caller = { entry, podUid: place.podUid, client };
    const refused = this.#isLate(entry) ? "agent-down" : this.#admit(place.podUid);
    if (refused !== undefined) {
      native.resetSocket(fd);
      onOutcome({ caller, ruling: deny(refused) });
      return;
    }
    const ruling = decide(caller);
    const { action, handshake } = ruling;
    if (action === "proxy" && handshake !== undefined) {
      void this.#secure({ caller, place, ruling }, fd, handshake);
    } else {
      this.#enforce({ caller, place, ruling }, plainEnd(fd, this.#options.pump, native));
    }
  }

  /** Resets who is not decided yet. Resolves when no connection is open any more, or after `timeoutMs`, and then resets the others. */
  async drain(timeoutMs: number): Promise<void> {
    for (const handshake of this.#handshakes) handshake.abort();
    if (this.#open.size > 0 && timeoutMs > 0) {
      this.#idle = Promise.withResolvers();
      const timer = setTimeout(() => this.#idle.resolve(), timeoutMs);
      await this.#idle.promise;
      clearTimeout(timer);
    }
    for (const { stop } of [...this.#open]) stop();
  }

  #isLate({ time }: Undecided): boolean {
    return this.#options.bootTime() - time > BigInt(this.#options.longestWaitMs) * 1_000_000n;
  }

  #admit(podUid: string): Reason | undefined {
    if (!this.#quota.take(podUid)) return "over-limit";
    if (this.#pending.take(podUid)) return undefined;
    this.#quota.give(podUid);
    return "over-limit";
  }

  #dismiss(podUid: string): void {
    this.#pending.give(podUid);
    this.#quota.give(podUid);
  }

  /** What hangs on TLS is decided when it is terminated. */
  async #secure(about: Omit<OpenConnection, "stop">, client: number, settings: TlsSettings): Promise<void> {
    const { shakeHands, handshakeTimeoutMs: timeoutMs, decide, onOutcome } = this.#options;
    const { caller, place } = about;
    const stopping = new AbortController();
    this.#handshakes.add(stopping);
    const made = await shakeHands(client, settings, { timeoutMs, signal: stopping.signal }).catch(
      (error: Error) => error,
    );
    this.#handshakes.delete(stopping);
    if (made instanceof Error) {
      this.#dismiss(place.podUid);
      onOutcome({ caller, ruling: failed(about.ruling, made.message) });
      return;
    }
    const secured = { ...caller, tls: made.session };
    this.#enforce({ caller: secured, place, ruling: unlessForgotten(decide(secured)) }, made.end);
  }

  #enforce(about: Omit<OpenConnection, "stop">, client: ClientEnd): void {
    const { caller, place, ruling } = about;
    const target = targetOf(ruling);
    if (target !== undefined) {
      void this.#join(about, client, target);
      return;
    }
    client.reset();
    this.#dismiss(place.podUid);
    this.#options.onOutcome({ caller, ruling: refusal(ruling) });
  }

  async #join(about: Omit<OpenConnection, "stop">, client: ClientEnd, target: At): Promise<void> {
    const { native, onOutcome, idleMs } = this.#options;
    const { caller, place, ruling } = about;
    const stopping = new AbortController();
    let stop: (() => void) | undefined;
    const connection: OpenConnection = {
      ...about,
      stop: () => {
        stopping.abort(new Error("stopped"));
        stop?.();
      },
    };
    this.#open.add(connection);
    let failure: string | undefined;
    try {
      const upstream = await this.#connect(about, target, stopping.signal);
      if (stopping.signal.aborted) native.closeDescriptor(upstream);
      stopping.signal.throwIfAborted();
      stop = client.join(upstream, { idleMs }, () => this.#end(connection));
    } catch (error) {
      failure = (error as Error).message;
      client.reset();
    }
    this.#pending.give(place.podUid);
    if (failure !== undefined) this.#end(connection);
    onOutcome({ caller, ruling, ...(failure !== undefined && { error: failure }) });
  }

  #end(connection: OpenConnection): void {
    this.#open.delete(connection);
    this.#quota.give(connection.place.podUid);
    if (this.#open.size === 0) this.#idle.resolve();
  }

  /**
   * A socket that is connected to `target` from within the pod, and from the address that the client has chosen if it has:
   * else the client is at loopback, like the listener. @throws Error that says why there is none.
   */
  async #connect(
    { place, caller: { client } }: Omit<OpenConnection, "stop">,
    target: At,
    signal: AbortSignal,
  ): Promise<number> {
    const { native, sockets, connectTimeoutMs } = this.#options;
    const fd = await sockets.socket(place, isIpv4(target.address) ? 4 : 6);
    try {
      if (!isLoopback(formatAddress(client.address))) native.bindSource(fd, client.address);
      await new Promise<void>((resolve, reject) => {
        signal.throwIfAborted();
        let handle: Handle | undefined;
        const abort = () => {
          handle?.close();
          reject(signal.reason);
        };
        signal.addEventListener("abort", abort);
        const address = addressBytes(target.address) ?? new Uint8Array();
        handle = native.connectTcp(fd, address, target.port, connectTimeoutMs, (error) => {
          signal.removeEventListener("abort", abort);
          if (error === undefined) resolve();
          else reject(new Error(words(target, error.code, connectTimeoutMs), { cause: error }));
        });
      });
      signal.throwIfAborted();
      return fd;
    } catch (error) {
      native.closeDescriptor(fd);
      throw error;
    }
  }
}

function words({ address, port }: At, code: string, timeoutMs: number): string {
  const place = isIpv4(address) ? `${address}:${port}` : `[${address}]:${port}`;
  const why =
    code === "ETIMEDOUT"
      ? `no answer in ${timeoutMs / 1000} s`
      : code === "ECONNREFUSED"
        ? "it refuses (ECONNREFUSED)"
        : code;
  return `connect to ${place}: ${why}`;
}
