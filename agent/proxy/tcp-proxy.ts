/**
 * The life of a connection that the kernel could not decide: accepted in its pod, decided, and then either reset or joined
 * with an upstream socket that was made in the same pod. Whatever cannot be found out resets it.
 */
import type { Native, Pump, TcpEnd } from "../dataplane/native.ts";
import type { IpAddress } from "../model/address.ts";
import type { TlsSession, TlsSettings } from "../model/tls.ts";
import type { Reason, Verdict } from "../model/verdict.ts";
import type { Sockets } from "./broker-client.ts";
import type { Place } from "./broker-protocol.ts";
import { type ClientEnd, plainEnd } from "./client-end.ts";
import { connectedFirst, socketTo, unconnected } from "./connecting.ts";
import { FairTurns } from "./fair-turns.ts";
import type { ShakeHands } from "./handshake.ts";
import type { Limits } from "./quota.ts";
import { Rooms, type Stay } from "./rooms.ts";
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

/** "stray": a connection to a listener that the kernel had not sent there. */
export type Refused = Reason | "stray";

export interface ProxyCounts {
  readonly open: Taken;
  /** Of those, not joined yet. */
  readonly pending: Taken;
  /** Of those, with TLS that ends here. */
  readonly tls: Taken;
  /** Since the agent started; what was never refused for is not in it. */
  readonly refused: ReadonlyMap<Refused, number>;
}

export interface Taken {
  readonly used: number;
  readonly limit: number;
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
  /** Of those, with TLS that ends here, from the handshake on: they take several times the memory. */
  readonly tls: Limits;
  /** `isFull` may be another for that pod; undefined: for any. */
  readonly onFull: (podUid: string | undefined) => void;
}

/** An allowed connection, from its verdict to its end. */
export interface OpenConnection {
  readonly caller: Caller;
  readonly place: Place & { readonly podUid: string };
  readonly ruling: Ruling;
  /** Resets both sides. */
  readonly stop: () => void;
}

/** On its way to be open. */
type Arrival = Omit<OpenConnection, "stop"> & { readonly stay: Stay };

export class TcpProxy {
  readonly #options: ProxyOptions;
  readonly #rooms: Rooms;
  readonly #open = new Set<OpenConnection>();
  readonly #handshakes = new Set<AbortController>();
  readonly #turns = new FairTurns();
  #idle = Promise.withResolvers<void>();
  readonly #refused = new Map<Refused, number>();

  constructor(options: ProxyOptions) {
    const onOutcome = (outcome: Outcome) => {
      if (outcome.ruling.action === "deny") this.#count(outcome.ruling.reason);
      options.onOutcome(outcome);
    };
    this.#options = { ...options, onOutcome };
    this.#rooms = new Rooms(options, options.onFull);
  }

  /** Allowed and not ended. */
  get open(): ReadonlySet<OpenConnection> {
    return this.#open;
  }

  get counts(): ProxyCounts {
    const { open, pending, tls } = this.#options;
    return {
      open: { used: this.#rooms.open.size, limit: open.all },
      pending: { used: this.#rooms.pending.size, limit: pending.all },
      tls: { used: this.#rooms.tls.size, limit: tls.all },
      refused: this.#refused,
    };
  }

  /** Whether the kernel shall refuse further connections of that pod. */
  isFull(podUid: string): boolean {
    return this.#rooms.isFull(podUid);
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
      this.#count("stray");
      native.resetSocket(fd);
      return;
    }
    const caller = { entry, podUid: place.podUid, client };
    const end = () => native.resetSocket(fd);
    const refuse = (reason: Reason) => onOutcome({ caller, ruling: deny(reason) });
    const isLate = this.#isLate(entry);
    const stay = isLate ? undefined : this.#rooms.enter(place.podUid, end, () => refuse("over-limit"));
    if (stay === undefined) {
      end();
      refuse(isLate ? "agent-down" : "over-limit");
      return;
    }
    this.#inTurn(stay, () => {
      const ruling = decide(caller);
      const { action, handshake } = ruling;
      if (action === "proxy" && handshake !== undefined) {
        void this.#secure({ caller, place, ruling, stay }, fd, handshake);
      } else {
        this.#enforce({ caller, place, ruling, stay }, plainEnd(fd, this.#options.pump, native));
      }
    });
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

  #count(reason: Refused): void {
    this.#refused.set(reason, (this.#refused.get(reason) ?? 0) + 1);
  }

  #isLate({ time }: Undecided): boolean {
    return this.#options.bootTime() - time > BigInt(this.#options.longestWaitMs) * 1_000_000n;
  }

  #inTurn(stay: Stay, work: () => void): void {
    this.#turns.run(stay.podUid, () => {
      if (!stay.isOver) work();
    });
  }

  /** What hangs on TLS is decided when it is terminated. */
  async #secure(about: Arrival, client: number, settings: TlsSettings): Promise<void> {
    const { native, shakeHands, handshakeTimeoutMs: timeoutMs, decide, onOutcome } = this.#options;
    const { caller, stay } = about;
    if (!this.#rooms.tls.take(stay)) {
      native.resetSocket(client);
      this.#rooms.leave(stay);
      onOutcome({ caller, ruling: deny("over-limit") });
      return;
    }
    const stopping = new AbortController();
    stay.end = () => stopping.abort();
    this.#handshakes.add(stopping);
    const made = await shakeHands(client, settings, { timeoutMs, signal: stopping.signal }).catch(
      (error: Error) => error,
    );
    this.#handshakes.delete(stopping);
    if (made instanceof Error) {
      if (stay.isOver) return;
      this.#rooms.leave(stay);
      onOutcome({ caller, ruling: failed(about.ruling, made.message) });
      return;
    }
    if (stay.isOver) return made.end.reset();
    stay.end = () => made.end.reset();
    const secured = { ...caller, tls: made.session };
    this.#inTurn(stay, () => {
      const ruling = unlessForgotten(decide(secured));
      this.#enforce({ ...about, caller: secured, ruling }, connectedFirst(made.end, native));
    });
  }

  #enforce(about: Arrival, client: ClientEnd): void {
    const { caller, ruling, stay } = about;
    const target = targetOf(ruling);
    if (target !== undefined) return void this.#join(about, client, target);
    client.reset();
    this.#rooms.leave(stay);
    this.#options.onOutcome({ caller, ruling: refusal(ruling) });
  }

  async #join({ stay, ...about }: Arrival, client: ClientEnd, target: At): Promise<void> {
    const { native, onOutcome, connectTimeoutMs } = this.#options;
    const { caller, place, ruling } = about;
    const tell = (outcome: Outcome) => {
      if (!stay.isOver) onOutcome(outcome);
    };
    const end = () => {
      this.#open.delete(connection);
      this.#rooms.leave(stay);
      if (this.#open.size === 0) this.#idle.resolve();
    };
    const fail = (error: string) => {
      client.reset();
      end();
      tell({ caller, ruling, error });
    };
    let isJoined = false;
    const joined = () => {
      isJoined = true;
      this.#rooms.pending.give(stay);
      tell({ caller, ruling });
    };
    const ended = (code?: string) => {
      end();
      if (!isJoined) tell({ caller, ruling, error: unconnected(target, code, connectTimeoutMs) });
    };
    let isStopped = false;
    // The client does not wait for a broker that does not answer.
    let stop = () => {
      if (!isStopped) fail("stopped");
      isStopped = true;
    };
    const connection: OpenConnection = { ...about, stop: () => stop() };
    stay.end = connection.stop;
    this.#open.add(connection);
    try {
      const upstream = await socketTo(target, place, caller.client, this.#options);
      if (isStopped) native.closeDescriptor(upstream);
      else stop = client.join(upstream, target, this.#options, joined, ended);
    } catch (error) {
      if (!isStopped) fail((error as Error).message);
    }
  }
}
