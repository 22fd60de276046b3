/** The open connections in the tables of a pod's network namespaces, which are read and ended piece by piece. */
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
import type { Patience } from "./patience.ts";
import { placesOf, type Surroundings } from "./places.ts";
import { inParallel, type Steps } from "./side-by-side.ts";

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

export interface TablesOptions extends Surroundings {
  readonly clock: Clock;
  readonly table: ConnectionTable;
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
  readonly newest: () => Current;
  readonly patience: Patience;
  /** 1: the first. */
  readonly times: number;
  /** Undefined: the first. Else sockets that could not be told, and what they looked like. */
  readonly before: ReadonlyMap<bigint, boolean | undefined> | undefined;
  /** The same of this one, as it goes on. */
  readonly unclear: Map<bigint, boolean | undefined>;
  pieces: number;
  hasEnded: boolean;
}

export class Tables {
  readonly #options: TablesOptions;
  readonly #turns: Turns;
  /** Of this process. */
  #own: ReadonlySet<bigint> | undefined;

  constructor(options: TablesOptions, turns: Turns) {
    this.#options = options;
    this.#turns = turns;
  }

  /** At those of one pod. `newest`: what counts, which may change on the way. */
  async *look(registered: RegisteredPod, newest: () => Current, patience: Patience): Steps {
    for (const place of placesOf(registered, this.#options)) {
      // The kernel may pass over connections while others are ended between two pieces of its answer.
      for (let wasDisturbed = true; wasDisturbed; )
        wasDisturbed = yield* this.#netns({ podUid: registered.pod.uid, place, newest, patience });
    }
  }

  /** True: of several pieces, between which connections were ended. */
  async *#netns(at: Pick<Reading, "podUid" | "place" | "newest" | "patience">): Steps<boolean> {
    const { table, clock } = this.#options;
    let before: Reading["before"];
    let wasDisturbed = false;
    for (let times = 1; ; times++) {
      const unclear = new Map<bigint, boolean | undefined>();
      const reading: Reading = { ...at, times, before, unclear, pieces: 0, hasEnded: false };
      for await (const piece of table.connections(at.place, at.newest().remote)) {
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
    const { times, before, unclear } = reading;
    // Read after the piece, so that nothing in it that is this process's own is missing.
    this.#own = undefined;
    const revoked: (() => Promise<void>)[] = [];
    for (const socket of piece) {
      if (this.#turns.isOver()) {
        await inParallel(revoked.splice(0), (end) => end());
        yield "pause";
      }
      if (before?.has(socket.cookie) === false) continue;
      const found = this.#revocation(reading, socket);
      if (found === undefined) continue;
      const dialled = isDialled(socket);
      const what = whatToDo(dialled, before?.get(socket.cookie), times);
      if (what === "end") revoked.push(() => this.#end(reading, socket, found));
      if (what === "ask again") unclear.set(socket.cookie, dialled);
    }
    await inParallel(revoked, (end) => end());
  }

  #revocation(reading: Reading, socket: TcpConnection): Omit<Revoked, "time"> | undefined {
    const { podUid, newest, patience } = reading;
    const remote = placeOf(socket.remote);
    const { judge, forwarded } = newest();
    const dialled = forwarded.get(socket.cookie)?.dialled ?? remote;
    const connection = { client: placeOf(socket.local), dialled, remote };
    const found = patience.ask(judge.ownerOf(connection), () =>
      judge.revocation(podUid, connection, this.#options.clock.now()),
    );
    if (found === undefined || found === "later" || this.#isOwn(socket)) return undefined;
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
