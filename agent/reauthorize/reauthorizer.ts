/**
 * Ends open connections that would be denied now. The kernel has the list of them, so those from before the agent are
 * on it too. Connections are ended one by one, by the cookie of their socket: never another that has their ports by now.
 */
import type { TcpConnection } from "../dataplane/native.ts";
import { addToSieve } from "../dataplane/sieve.ts";
import { Turns } from "../dataplane/turns.ts";
import type { OpenConnection } from "../guard/revocation.ts";
import type { Place } from "../guard/travel.ts";
import type { RegisteredPod } from "../identity/local-pods.ts";
import type { IdentityReader } from "../identity/pod-identity.ts";
import { formatAddress } from "../model/address.ts";
import type { Clock } from "../model/clock.ts";
import type { Sockets } from "../proxy/broker-client.ts";
import type { Place as NetnsPlace } from "../proxy/broker-protocol.ts";
import type { Reconciled } from "../reconcile.ts";
import { hangsOnTime, mayRevoke } from "./change.ts";
import { isDialled } from "./direction.ts";
import { Judge, type Revoked } from "./judge.ts";
import { byTurns, inParallel, type Steps } from "./side-by-side.ts";

/** What the broker does. */
export type ConnectionTable = Pick<Sockets, "connections" | "destroy">;

/** A connection that goes through the proxy. */
export interface ProxiedConnection extends OpenConnection {
  readonly podUid: string;
  /** Resets both sides. False: it had ended. */
  end(): boolean;
}

/** A socket that a policy forwarded: from where to where. */
export interface Forwarded {
  readonly dialled: Place;
  readonly target: Place;
}

export interface ReauthorizerOptions {
  readonly clock: Clock;
  readonly table: ConnectionTable;
  readonly identityOf: IdentityReader;
  /** A pod's cgroup directory, relative to the pods' cgroup. */
  readonly cgroupOf: (path: string) => string;
  /** Open sockets that a policy forwarded, by their cookie. */
  readonly forwarded: () => ReadonlyMap<bigint, Forwarded>;
  /** Inodes of the agent's own sockets: in a pod's namespace they are the proxy's, which judges them itself. */
  readonly ownSockets: () => ReadonlySet<bigint>;
  readonly proxied: () => Iterable<ProxiedConnection>;
  readonly onRevoked: (revoked: Revoked) => void;
}

/**
 * A second look finds who was between the hook and the kernel's table at the first, and there is none that ends something
 * without another after it: the kernel may pass over connections while others of the pod are ended.
 */
const LOOKS = 2;
const BETWEEN_LOOKS_MS = 500;
/** Where a policy reads the time. */
const BY_TIME_MS = 2000;
/** A namespace that cannot be read may be on its way out. */
const RETRY_MS = 200;
/**
 * Readings until it is clear who dialled a connection that is to end: one that never pauses counts as dialled by the
 * pod, and "accepted" needs two, since a pod that sends single bytes as fast as it can is taken for that once in 300.
 */
const MOST_TIMES = 4;
const UNCLEAR_MS = 10;

export class Reauthorizer {
  readonly #options: ReauthorizerOptions;
  readonly #failed = new Set<string>();
  #latest: Reconciled | undefined;
  #judge: Judge | undefined;
  #byTime = false;
  #looks = 0;

  constructor(options: ReauthorizerOptions) {
    this.#options = options;
  }

  /** True: there is something to look at. */
  learn(latest: Reconciled): boolean {
    const before = this.#latest;
    this.#latest = latest;
    this.#judge = undefined;
    this.#byTime = hangsOnTime(latest);
    if (mayRevoke(before, latest, this.#options.identityOf)) this.#looks = LOOKS;
    return this.#looks > 0;
  }

  /**
   * One look at all connections, if one is due; where nothing but time has passed, at those of pods that have verdicts
   * which the kernel cannot hold. Returns in how many ms the next is due, or undefined. @throws Error when namespaces cannot be
   * read for the second time.
   */
  async look(): Promise<number | undefined> {
    const latest = this.#latest;
    const hasChanged = this.#looks > 0;
    if (latest === undefined || !(hasChanged || this.#byTime)) return undefined;
    if (hasChanged) this.#looks--;
    const { clock, identityOf } = this.#options;
    const judge = this.#judge ?? new Judge(latest, identityOf);
    this.#judge = judge;
    const turns = new Turns(clock);
    const forwarded = this.#options.forwarded();
    const remote = Uint8Array.from(await judge.sieve(turns));
    for (const { target } of forwarded.values()) addToSieve(remote, target);
    const pass = new Pass(this.#options, { judge, turns, forwarded, remote });
    const { registered } = latest.registration;
    const [failures] = await Promise.all([
      pass.pods(hasChanged ? registered : registered.filter(isUndecided(latest))),
      pass.proxied(),
    ]);
    const again = [...failures.keys()].filter((uid) => this.#failed.has(uid));
    this.#failed.clear();
    for (const uid of failures.keys()) this.#failed.add(uid);
    if (failures.size > 0 || (hasChanged && pass.hasEnded)) this.#looks = Math.max(this.#looks, 1);
    const why = failures.get(again[0] ?? "");
    if (why !== undefined) {
      throw new Error(`re-authorize open connections of ${again.length} pods: ${why.message}`, {
        cause: why,
      });
    }
    if (failures.size > 0) return RETRY_MS;
    if (this.#looks > 0) return BETWEEN_LOOKS_MS;
    return this.#byTime ? BY_TIME_MS : undefined;
  }
}

function isUndecided({ undecided: { pods, namespaces } }: Reconciled): (pod: RegisteredPod) => boolean {
  return ({ pod }) => pods.has(pod.uid) || namespaces.has(pod.namespace);
}

/** One of a namespace's table. */
interface Reading {
  readonly podUid: string;
  readonly place: NetnsPlace;
  /** 1: the first. */
  readonly times: number;
  /** Undefined: the first. Else sockets that could not be told, and what they looked like. */
  readonly before: ReadonlyMap<bigint, boolean | undefined> | undefined;
  /** The same of this one, as it goes on. */
  readonly unclear: Map<bigint, boolean | undefined>;
}

/** One look. */
class Pass {
  readonly #options: ReauthorizerOptions;
  readonly #judge: Judge;
  readonly #turns: Turns;
  readonly #forwarded: ReadonlyMap<bigint, Forwarded>;
  /** A sieve of where connections to be judged lead. */
  readonly #remote: Uint8Array;
  #own: ReadonlySet<bigint> | undefined;
  /** Any connection of the kernel's table. */
  hasEnded = false;

  constructor(
    options: ReauthorizerOptions,
    parts: {
      readonly judge: Judge;
      readonly turns: Turns;
      readonly forwarded: ReadonlyMap<bigint, Forwarded>;
      readonly remote: Uint8Array;
    },
  ) {
    this.#options = options;
    this.#judge = parts.judge;
    this.#turns = parts.turns;
    this.#forwarded = parts.forwarded;
    this.#remote = parts.remote;
  }

  async proxied(): Promise<void> {
    const { clock, proxied, onRevoked } = this.#options;
    const judge = async (connections: readonly ProxiedConnection[]) => {
      for (const connection of connections) {
        if (this.#turns.isOver()) await this.#turns.pause();
        const time = clock.now();
        const found = this.#judge.revocation(connection.podUid, connection, time);
        if (found !== undefined && connection.end())
          onRevoked({ ...found, time, layer: "proxy", connection });
      }
    };
    // Side by side, so that nobody waits for a pod whose policies take long.
    await Promise.all([...Map.groupBy(proxied(), ({ podUid }) => podUid).values()].map(judge));
  }

  /** Returns the pods whose connections could not be read or ended, by UID. */
  async pods(pods: readonly RegisteredPod[]): Promise<ReadonlyMap<string, Error>> {
    const failures = new Map<string, Error>();
    await byTurns(
      pods.map((pod) => this.#pod(pod, failures)),
      this.#turns,
    );
    return failures;
  }

  async *#pod(
    { pod: { uid }, cgroupPaths, netnsCookies }: RegisteredPod,
    failures: Map<string, Error>,
  ): Steps {
    const [path] = cgroupPaths;
    if (path === undefined) return;
    const cgroup = this.#options.cgroupOf(path);
    try {
      for (const cookie of netnsCookies) yield* this.#netns(uid, { cgroup, cookie });
    } catch (error) {
      failures.set(uid, error as Error);
    }
  }

  async *#netns(podUid: string, place: NetnsPlace): Steps {
    const { table, clock } = this.#options;
    let before: Reading["before"];
    for (let times = 1; ; times++) {
      const reading: Reading = { podUid, place, times, before, unclear: new Map() };
      for await (const piece of table.connections(place, this.#remote)) yield* this.#piece(piece, reading);
      if (reading.unclear.size === 0) return;
      before = reading.unclear;
      await clock.sleep(UNCLEAR_MS);
    }
  }

  async *#piece(piece: readonly TcpConnection[], reading: Reading): Steps {
    const { podUid, place, times, before, unclear } = reading;
    const revoked: (() => Promise<void>)[] = [];
    for (const socket of piece) {
      if (this.#turns.isOver()) yield;
      if (before?.has(socket.cookie) === false) continue;
      const found = this.#revocation(podUid, socket);
      if (found === undefined) continue;
      const dialled = isDialled(socket);
      const what = whatToDo(dialled, before?.get(socket.cookie), times);
      if (what === "end") revoked.push(() => this.#end(place, socket, found));
      if (what === "ask again") unclear.set(socket.cookie, dialled);
    }
    await inParallel(revoked, (end) => end());
    yield;
  }

  #revocation(podUid: string, socket: TcpConnection): Omit<Revoked, "time"> | undefined {
    const remote = placeOf(socket.remote);
    const dialled = this.#forwarded.get(socket.cookie)?.dialled ?? remote;
    const connection = { client: placeOf(socket.local), dialled, remote };
    const found = this.#judge.revocation(podUid, connection, this.#options.clock.now());
    if (found === undefined || this.#isOwn(socket)) return undefined;
    return { ...found, layer: `connect${socket.family}`, connection };
  }

  async #end(place: NetnsPlace, socket: TcpConnection, found: Omit<Revoked, "time">): Promise<void> {
    const { clock, table, onRevoked } = this.#options;
    if ((await table.destroy(place, [socket])) === 0) return;
    this.hasEnded = true;
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
