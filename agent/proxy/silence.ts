/**
 * What becomes of connections that wait for an agent that does not answer: they are ended in the time that the agent has
 * set, not when it goes on. Those are all that its event loop has to do with: not accepted, not decided, on their way to
 * their server, in a handshake, or with TLS that ends in the agent. What a pump moves goes on, or waits, without it.
 */
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
const { established, synSent, synReceived, closeWait, listen } = TCP_STATES;
/** In none of them is a socket that its owner has closed. */
const OPEN: readonly number[] = [established, synReceived, closeWait];

export interface SilenceOptions {
  /** By an agent that a former broker has heard: it has its time from now on to be heard again. */
  readonly told: Told;
  /** Something else than before. */
  readonly onTold: (told: Told) => void;
  /** @throws Error when the namespace is not there any more. */
  readonly find: (place: Place) => Pick<Netns, "table" | "destroy">;
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
    this.close();
    this.#places.clear();
    this.#tell();
  }

  /** This process is. What it was told, the next one has to know. */
  close(): void {
    clearTimeout(this.#timer);
  }

  #tell(): void {
    this.#options.onTold({ agentDownAfter: this.#agentDownAfter, places: [...this.#places.values()] });
  }

  #wait(time: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      // After what has arrived is read: it may be this process that stood still.
      setImmediate(() => this.#look());
    }, time);
  }

  #look(): void {
    const silentFor = this.#options.now() - this.#lastBeat;
    const left = PART * this.#agentDownAfter - silentFor;
    // A timer counts from its loop's own clock, which may be a little behind.
    if (left > 0) this.#wait(left);
    if (left > 0 || this.#places.size === 0) return;
    let ended = 0;
    for (const place of this.#places.values()) {
      try {
        ended += this.#sweep(place);
      } catch (error) {
        // Else the pod is gone, and who waited there too; or it is tried again.
        if (isLacking(error) && !this.#isUnable) {
          this.#isUnable = true;
          this.#options.onUnable(error);
        }
      }
    }
    if (ended > 0) this.#options.onEnded(ended, silentFor);
    // The kernel sends nobody any more after that time; who was on the way arrives.
    if (ended > 0 || silentFor < 2 * this.#agentDownAfter) this.#wait(this.#agentDownAfter / SWEEPS_PER_TIME);
  }

  #sweep(place: Place): number {
    const netns = this.#options.find(place);
    const some = waiting(netns.table()).slice(0, MOST_AT_ONCE);
    return some.filter((connection) => netns.destroy(connection)).length;
  }
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
