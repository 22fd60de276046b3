/** The open connections in the tables of pods' network namespaces, which are read and ended side by side. */
import type { TcpConnection } from "../dataplane/native.ts";
import type { Turns } from "../dataplane/turns.ts";
import type { Place } from "../guard/travel.ts";
import type { RegisteredPod } from "../identity/local-pods.ts";
import { formatAddress } from "../model/address.ts";
import type { Clock } from "../model/clock.ts";
import type { Sockets } from "../proxy/broker-client.ts";
import type { Place as NetnsPlace } from "../proxy/broker-protocol.ts";
import { isDialled } from "./direction.ts";
import type { Judge, Revoked } from "./judge.ts";
import { inParallel, Rounds, type Steps } from "./side-by-side.ts";

/**
 * Readings until it is clear who dialled a connection that is to end: one that never pauses counts as dialled by the
 * pod, and "accepted" needs two, since a pod that sends single bytes as fast as it can is taken for that once in 300.
 */
const MOST_TIMES = 4;
const UNCLEAR_MS = 10;

/** What the broker does. */
export type ConnectionTable = Pick<Sockets, "connections" | "destroy">;

/** A socket that a policy forwarded: from where to where. */
export interface Forwarded {
  readonly dialled: Place;
  readonly target: Place;
}

export interface TablesOptions {
  readonly clock: Clock;
  readonly table: ConnectionTable;
  /** A pod's cgroup directory, relative to the pods' cgroup. */
  readonly cgroupOf: (path: string) => string;
  /** Inodes of the agent's own sockets: in a pod's namespace they are the proxy's, which judges them itself. */
  readonly ownSockets: () => ReadonlySet<bigint>;
  readonly onRevoked: (revoked: Revoked) => void;
}

/** What counts now. */
export interface Current {
  readonly judge: Judge;
  /** Open sockets that a policy forwarded, by their cookie. */
  readonly forwarded: ReadonlyMap<bigint, Forwarded>;
  /** A sieve of where connections lead that `judge` may have something to say about. */
  readonly remote: Uint8Array;
}

/** One reading of a namespace's table. */
interface Reading {
  readonly podUid: string;
  readonly place: NetnsPlace;
  /** 1: the first. */
  readonly times: number;
  /** Undefined: the first. Else sockets that could not be told, and what they looked like. */
  readonly before: ReadonlyMap<bigint, boolean | undefined> | undefined;
  /** The same of this one, as it goes on. */
  readonly unclear: Map<bigint, boolean | undefined>;
  pieces: number;
  hasEnded: boolean;
}

export interface Failure {
  readonly error: Error;
  /** One after the other. */
  readonly times: number;
}

export class Tables {
  readonly #options: TablesOptions;
  readonly #turns: Turns;
  readonly #rounds: Rounds;
  /** Pods that are looked at, by UID, and what to look at again afterwards. */
  readonly #busy = new Map<string, { next: RegisteredPod | undefined }>();
  readonly #failures = new Map<string, Failure>();
  #current: Current;
  /** Of this process. */
  #own: ReadonlySet<bigint> | undefined;

  constructor(options: TablesOptions, turns: Turns, current: Current) {
    this.#options = options;
    this.#turns = turns;
    this.#rounds = new Rounds(turns);
    this.#current = current;
  }

  /** Pods have so many connections that a look has not waited for the end. */
  get isBusy(): boolean {
    return this.#busy.size > 0;
  }

  /** Pods whose connections could not be read or ended, when they were last looked at, by UID. */
  get failures(): ReadonlyMap<string, Failure> {
    return this.#failures;
  }

  /**
   * Looks at those pods. Resolves when that is over but for pods that take long: they delay no other look, and a pod that
   * takes long already is looked at once more afterwards. What counts from now on counts for all.
   */
  async look(pods: readonly RegisteredPod[], current: Current): Promise<void> {
    this.#current = current;
    await Promise.all(pods.map((pod) => this.#begin(pod)));
  }

  /** Of pods that are gone. */
  forget(isGone: (uid: string) => boolean): void {
    for (const uid of this.#failures.keys()) if (isGone(uid)) this.#failures.delete(uid);
  }

  async #begin(pod: RegisteredPod): Promise<void> {
    const { uid } = pod.pod;
    const busy = this.#busy.get(uid);
    if (busy !== undefined) {
      busy.next = pod;
      return;
    }
    const { promise: waited, resolve: stopWaiting } = Promise.withResolvers<void>();
    void this.#run(pod, stopWaiting).then(stopWaiting);
    await waited;
  }

  async #run(first: RegisteredPod, onLong: () => void): Promise<void> {
    const { uid } = first.pod;
    const busy: { next: RegisteredPod | undefined } = { next: first };
    this.#busy.set(uid, busy);
    for (let pod = busy.next; pod !== undefined; pod = busy.next) {
      busy.next = undefined;
      try {
        await this.#rounds.run(this.#pod(pod), onLong);
        this.#failures.delete(uid);
      } catch (error) {
        const times = (this.#failures.get(uid)?.times ?? 0) + 1;
        this.#failures.set(uid, { error: error as Error, times });
      }
    }
    this.#busy.delete(uid);
  }

  async *#pod({ pod, cgroupPaths, netnsCookies }: RegisteredPod): Steps {
    const [path] = cgroupPaths;
    if (path === undefined) return;
    const cgroup = this.#options.cgroupOf(path);
    for (const cookie of netnsCookies) {
      // The kernel may pass over connections while others are ended between two pieces of its answer.
      for (let wasDisturbed = true; wasDisturbed; )
        wasDisturbed = yield* this.#netns(pod.uid, { cgroup, cookie });
    }
  }

  /** True: of several pieces, between which connections were ended. */
  async *#netns(podUid: string, place: NetnsPlace): Steps<boolean> {
    const { table, clock } = this.#options;
    let before: Reading["before"];
    let wasDisturbed = false;
    for (let times = 1; ; times++) {
      const unclear = new Map<bigint, boolean | undefined>();
      const reading: Reading = { podUid, place, times, before, unclear, pieces: 0, hasEnded: false };
      for await (const piece of table.connections(place, this.#current.remote)) {
        if (reading.pieces++ > 0) yield "long";
        yield* this.#piece(piece, reading);
      }
      wasDisturbed ||= reading.pieces > 1 && reading.hasEnded;
      if (reading.unclear.size === 0) return wasDisturbed;
      before = reading.unclear;
      await clock.sleep(UNCLEAR_MS);
    }
  }

  async *#piece(piece: readonly TcpConnection[], reading: Reading): Steps {
    const { podUid, times, before, unclear } = reading;
    // Read after the piece, so that nothing in it that is this process's own is missing.
    this.#own = undefined;
    const revoked: (() => Promise<void>)[] = [];
    for (const socket of piece) {
      if (this.#turns.isOver()) yield "pause";
      if (before?.has(socket.cookie) === false) continue;
      const found = this.#revocation(podUid, socket);
      if (found === undefined) continue;
      const dialled = isDialled(socket);
      const what = whatToDo(dialled, before?.get(socket.cookie), times);
      if (what === "end") revoked.push(() => this.#end(reading, socket, found));
      if (what === "ask again") unclear.set(socket.cookie, dialled);
    }
    await inParallel(revoked, (end) => end());
  }

  #revocation(podUid: string, socket: TcpConnection): Omit<Revoked, "time"> | undefined {
    const remote = placeOf(socket.remote);
    const { judge, forwarded } = this.#current;
    const dialled = forwarded.get(socket.cookie)?.dialled ?? remote;
    const connection = { client: placeOf(socket.local), dialled, remote };
    const found = judge.revocation(podUid, connection, this.#options.clock.now());
    if (found === undefined || this.#isOwn(socket)) return undefined;
    return { ...found, layer: `connect${socket.family}`, connection };
  }

  async #end(reading: Reading, socket: TcpConnection, found: Omit<Revoked, "time">): Promise<void> {
    const { clock, table, onRevoked } = this.#options;
    if ((await table.destroy(reading.place, [socket])) === 0) return;
    reading.hasEnded = true;
    onRevoked({ ...found, time: clock.now() });
  }

  /** Read when first asked: to look at one's own descriptors takes time, and few connections come this far. */
  #isOwn({ inode }: TcpConnection): boolean {
    this.#own ??= this.#options.ownSockets();
    return this.#own.has(inode);
  }
}

/** With a connection that is denied. `before`: what the reading before said of it. */
function whatToDo(
  dialled: boolean | undefined,
  before: boolean | undefined,
  times: number,
): "end" | "leave" | "ask again" {
  if (dialled === true) return "end";
  if (dialled === false && before === false) return "leave";
  if (times < MOST_TIMES) return "ask again";
  return dialled === false ? "leave" : "end";
}

function placeOf({ address, port }: TcpConnection["local"]): Place {
  return { address: formatAddress(address), port };
}
