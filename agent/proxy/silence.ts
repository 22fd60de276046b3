/**
 * What becomes of connections that wait for an agent that does not answer: they are ended in the time that the agent has
 * set, not when it goes on. Only those that it has not accepted: what it has accepted, it has decided (or a policy's
 * handshake is under way), and the bytes of joined connections go on with it.
 */
import type { Netns, TcpConnection, TcpEnd } from "../dataplane/native.ts";
import type { Place } from "./broker-protocol.ts";

/** Of the agent's time. The kernel sends connections on until it is over, and none shall wait for longer than that. */
const PART = 0.9;
const SWEEPS_PER_TIME = 40;
/** As in the kernel's net/tcp_states.h. A socket that its owner has closed is in neither of these. */
const ESTABLISHED = 1;
const SYN_SENT = 2;
const SYN_RECV = 3;
const CLOSE_WAIT = 8;
const LOOPBACK = new Set(["00000000000000000000ffff7f000001", "00000000000000000000000000000001"]);

interface Listening {
  readonly place: Place;
  readonly ports: ReadonlySet<number>;
}

export interface SilenceOptions {
  /** @throws Error when the namespace is not there any more. */
  readonly find: (place: Place) => Pick<Netns, "connections" | "destroy">;
  /** Some were ended because the agent was silent for so long, in ms. */
  readonly onEnded: (ended: number, silentFor: number) => void;
  /** ms that only ever grow. */
  readonly now: () => number;
}

export class Silence {
  readonly #options: SilenceOptions;
  readonly #listening = new Map<bigint, Listening>();
  #timer: NodeJS.Timeout | undefined;
  #lastBeat = 0;
  #agentDownAfter = 0;

  constructor(options: SilenceOptions) {
    this.#options = options;
  }

  /** The agent lives. `agentDownAfter`: how long that counts, in ms. */
  beat(agentDownAfter: number): void {
    this.#lastBeat = this.#options.now();
    this.#agentDownAfter = agentDownAfter;
    this.#wait(PART * agentDownAfter);
  }

  /** The agent has got listeners in that namespace; earlier ones there are its no more. */
  listen(place: Place, ports: readonly number[]): void {
    this.#listening.set(place.cookie, { place, ports: new Set(ports) });
  }

  unlisten(cookie: bigint): void {
    this.#listening.delete(cookie);
  }

  /** The agent is gone: its listeners ended with it, and whoever waited there. */
  end(): void {
    clearTimeout(this.#timer);
    this.#listening.clear();
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
    if (this.#listening.size === 0 || silentFor < PART * this.#agentDownAfter) return;
    let ended = 0;
    for (const [cookie, listening] of this.#listening) {
      try {
        ended += this.#sweep(listening);
      } catch {
        this.#listening.delete(cookie); // The pod is gone, and who waited there too.
      }
    }
    if (ended > 0) this.#options.onEnded(ended, silentFor);
    // The kernel sends nobody any more after that time; who was on the way arrives.
    if (ended > 0 || silentFor < 2 * this.#agentDownAfter) this.#wait(this.#agentDownAfter / SWEEPS_PER_TIME);
  }

  #sweep({ place, ports }: Listening): number {
    const netns = this.#options.find(place);
    return waiting(netns.connections(), ports).filter((connection) => netns.destroy(connection)).length;
  }
}

/** The clients whose connections to these ports of the loopback addresses nobody has accepted. */
export function waiting(
  connections: readonly TcpConnection[],
  ports: ReadonlySet<number>,
): readonly TcpConnection[] {
  const isThere = ({ address, port }: TcpEnd) => ports.has(port) && LOOPBACK.has(hex(address));
  const unaccepted = new Set(
    connections
      .filter(({ local, inode, state }) => {
        const isOpen = state === ESTABLISHED || state === SYN_RECV || state === CLOSE_WAIT;
        return isOpen && inode === 0n && isThere(local);
      })
      .map(({ local, remote }) => pair(remote, local)),
  );
  return connections.filter(
    ({ local, remote, state }) =>
      isThere(remote) && (state === SYN_SENT || unaccepted.has(pair(local, remote))),
  );
}

const hex = (address: Uint8Array) => Buffer.from(address).toString("hex");
const pair = (client: TcpEnd, server: TcpEnd) =>
  `${hex(client.address)} ${client.port} ${hex(server.address)} ${server.port}`;
