/**
 * What becomes of connections that wait for an agent that does not answer: they are ended in the time that the agent has
 * set, not when it goes on. Those are all that its event loop has to do with: not accepted, not decided, on their way to
 * their server, in a handshake, or with TLS that ends in the agent. What a pump moves goes on, or waits, without it.
 */
import { pieces } from "../dataplane/listing.ts";
import {
  type Netns,
  TCP_STATES,
  type TcpConnection,
  type TcpEnd,
  type TcpSocket,
} from "../dataplane/native-sockets.ts";
import type { Place } from "./broker-protocol.ts";
import type { Told } from "./broker-record.ts";

/** Of the agent's time. The kernel sends connections on until it is over, and none shall wait for longer than that. */
const PART = 0.9;
const SWEEPS_PER_TIME = 40;
/** Of one namespace in a sweep, some 0.1 ms each: a pod can make any number of sockets that look like the agent's. */
const MOST_AT_ONCE = 1024;
/** Of one namespace to choose from. Who has made more that look so may be found at the next sweep. */
const MOST_KEPT = 16 * MOST_AT_ONCE;
const { established, synSent, synReceived, closeWait, listen } = TCP_STATES;
/** In none of them is a socket that its owner has closed. */
const OPEN: readonly number[] = [established, synReceived, closeWait];

export interface SilenceOptions {
  /** By an agent that a former broker has heard: it has its time from now on to be heard again. */
  readonly told: Told;
  /** Something else than before. */
  readonly onTold: (told: Told) => void;
  /** @throws Error when the namespace is not there any more. */
  readonly find: (place: Place) => Pick<Netns, "list" | "destroy">;
  /** Some were ended because the agent was silent for so long, in ms. */
  readonly onEnded: (ended: number, silentFor: number) => void;
  /** Connections cannot be ended here: the kernel lacks what that takes. Once. */
  readonly onUnable: (error: Error) => void;
  /** ms that only ever grow. */
  readonly now: () => number;
}

export class Silence {
  readonly #options: SilenceOptions;
  readonly #places = new Map<bigint, Place>();
  #timer: NodeJS.Timeout | undefined;
  #lastBeat = 0;
  #agentDownAfter = 0;
  #isUnable = false;
  #isOver = false;

  constructor(options: SilenceOptions) {
    this.#options = options;
    const { agentDownAfter, places } = options.told;
    for (const { cgroup, cookie } of places) this.#places.set(cookie, { cgroup, cookie });
    this.#agentDownAfter = agentDownAfter;
    if (agentDownAfter > 0) this.beat(agentDownAfter);
  }

  /** The agent lives. `agentDownAfter`: how long that counts, in ms. */
  beat(agentDownAfter: number): void {
    this.#lastBeat = this.#options.now();
    const isNew = this.#agentDownAfter !== agentDownAfter;
    this.#agentDownAfter = agentDownAfter;
    if (isNew) this.#tell();
    this.#wait(PART * agentDownAfter);
  }

  /** The agent has sockets in that namespace. Connections may outlast the listener that they came to. */
  watch({ cgroup, cookie }: Place): void {
    if (this.#places.get(cookie)?.cgroup === cgroup) return;
    this.#places.set(cookie, { cgroup, cookie });
    this.#tell();
  }

  /** The namespace is gone. */
  forget(cookie: bigint): void {
    if (this.#places.delete(cookie)) this.#tell();
  }

  /** The agent is gone: its sockets ended with it, and whoever waited there. */
  end(): void {
    this.#stop();
    this.#places.clear();
    this.#tell();
  }

  /** This process is. What it was told, the next one has to know. */
  close(): void {
    this.#stop();
    this.#isOver = true;
  }

  #tell(): void {
    this.#options.onTold({ agentDownAfter: this.#agentDownAfter, places: [...this.#places.values()] });
  }

  #stop(): void {
    clearTimeout(this.#timer);
  }

  #wait(time: number): void {
    this.#stop();
    if (this.#isOver) return;
    this.#timer = setTimeout(() => void this.#look(), time);
  }

  async #look(): Promise<void> {
    const left = PART * this.#agentDownAfter - (this.#options.now() - this.#lastBeat);
    // A timer counts from its loop's own clock, which may be a little behind.
    if (left > 0) this.#wait(left);
    if (left > 0 || this.#places.size === 0) return;
    // Side by side: some may have very many sockets.
    const counts = await Promise.all([...this.#places.values()].map((place) => this.#sweep(place)));
    const silentFor = this.#silentFor();
    if (silentFor === undefined) return;
    const ended = counts.reduce((sum, count) => sum + count, 0);
    if (ended > 0) this.#options.onEnded(ended, silentFor);
    // The kernel sends nobody any more after that time; who was on the way arrives.
    if (ended > 0 || silentFor < 2 * this.#agentDownAfter) this.#wait(this.#agentDownAfter / SWEEPS_PER_TIME);
  }

  /** Undefined: it was heard. */
  #silentFor(): number | undefined {
    const silentFor = this.#options.now() - this.#lastBeat;
    return silentFor < PART * this.#agentDownAfter ? undefined : silentFor;
  }

  /** Returns how many it has ended. */
  async #sweep(place: Place): Promise<number> {
    try {
      const netns = this.#options.find(place);
      const some = waiting(await candidates(netns)).slice(0, MOST_AT_ONCE);
      // After what has arrived is read: it may be this process that stood still.
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#silentFor() === undefined || this.#places.get(place.cookie) !== place) return 0;
      return some.filter((connection) => netns.destroy(connection)).length;
    } catch (error) {
      // Else the pod is gone, and who waited there too; or it is tried again.
      if (isLacking(error) && !this.#isUnable) {
        this.#isUnable = true;
        this.#options.onUnable(error);
      }
      return 0;
    }
  }
}

/** What `waiting` has to choose from. */
async function candidates(netns: Pick<Netns, "list">): Promise<readonly TcpSocket[]> {
  const kept: TcpSocket[] = [];
  const listening = new Set<string>();
  for await (const piece of pieces(netns.list({ listeners: true }))) {
    for (const socket of piece) {
      const { local, remote, state, onEventLoop } = socket;
      if (onEventLoop && state === listen) listening.add(name(local));
      const isOne = onEventLoop || listening.has(name(local)) || listening.has(name(remote));
      if (isOne && kept.length < MOST_KEPT) kept.push(socket);
    }
  }
  return kept;
}

/** Of the sockets in a namespace those to be ended: the agent's own, and of clients that it has not accepted theirs. */
export function waiting(sockets: readonly TcpSocket[]): readonly TcpConnection[] {
  const listeners = sockets.filter(({ onEventLoop, state }) => onEventLoop && state === listen);
  const listening = new Set(listeners.map(({ local }) => name(local)));
  const queued = sockets.filter(
    ({ local, inode, state }) => OPEN.includes(state) && inode === 0n && listening.has(name(local)),
  );
  const unaccepted = new Set(queued.map(({ local, remote }) => `${name(remote)} ${name(local)}`));
  return sockets.filter(
    ({ local, remote, state, inode, onEventLoop }) =>
      (onEventLoop && inode !== 0n && state !== listen) ||
      (state === synSent && listening.has(name(remote))) ||
      unaccepted.has(`${name(local)} ${name(remote)}`),
  );
}

function isLacking(error: unknown): error is Error {
  return (error as NodeJS.ErrnoException).code === "EOPNOTSUPP";
}

const name = ({ address, port }: TcpEnd) => `${Buffer.from(address).toString("hex")} ${port}`;
