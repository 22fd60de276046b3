/**
 * Where the proxy listens: on 127.0.0.1 and ::1 of every pod that may have connections to decide. The kernel learns of a
 * listener when it is there, and forgets it before it goes; where there is none it refuses.
 */
import type { Handle, Native, TcpEnd } from "../dataplane/native.ts";
import type { InPodListeners, Sockets } from "./broker-client.ts";
import type { Place } from "./broker-protocol.ts";

/** A pod's network namespace. */
export interface PodPlace extends Place {
  readonly podUid: string;
}

interface Ports {
  readonly port4: number;
  readonly port6?: number;
}

/** The kernel's map: namespace cookie -> ports. */
export interface ListenerPorts {
  put(cookie: bigint, ports: Ports & { readonly overLimit: boolean }): void;
  delete(cookie: bigint): void;
}

/** An accepted socket, which is the callee's from then on. `client`: 16 bytes, IPv4 as ::ffff:a.b.c.d, and a port. */
export type OnConnection = (place: PodPlace, family: 4 | 6, fd: number, client: TcpEnd) => void;

export interface ListenersOptions {
  readonly native: Pick<Native, "Acceptor" | "closeDescriptor">;
  readonly sockets: Pick<Sockets, "listen" | "watch" | "release" | "connected">;
  readonly ports: ListenerPorts;
  readonly onConnection: OnConnection;
  /** Whether the kernel shall refuse further connections of that pod; `refresh` when that changes. */
  readonly isOverLimit: (podUid: string) => boolean;
  /** A pod has no listener, so what is undecided about its connections is refused. Once until it works again. */
  readonly onFailure: (place: PodPlace, error: Error) => void;
}

/** Opened at the same time. */
const AT_ONCE = 8;

interface Open {
  readonly place: PodPlace;
  readonly ports: Ports;
  readonly acceptors: readonly Handle[];
  /** What the kernel knows; undefined: nothing yet. */
  overLimit?: boolean;
}

export class Listeners {
  readonly #options: ListenersOptions;
  readonly #open = new Map<bigint, Open>();
  readonly #failed = new Set<bigint>();
  #wanted: ReadonlyMap<bigint, PodPlace> = new Map();
  #running: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: ListenersOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#open.size;
  }

  /** The namespace in which a pod has listeners. */
  cookieOf(podUid: string): bigint | undefined {
    for (const { place } of this.#open.values()) if (place.podUid === podUid) return place.cookie;
    return undefined;
  }

  *places(): Iterable<PodPlace> {
    for (const { place } of this.#open.values()) yield place;
  }

  /** Tells the kernel again whether a pod, undefined: any pod, has as many connections as it may. Never throws. */
  refresh(podUid: string | undefined): void {
    for (const open of this.#open.values()) {
      if (podUid !== undefined && open.place.podUid !== podUid) continue;
      try {
        this.#put(open);
      } catch (error) {
        this.#fail(open.place, error as Error);
      }
    }
  }

  /**
   * Closes what nobody wants; opens what is missing and tries again what failed, unless the broker is away. Resolves when
   * that is done; never rejects.
   */
  want(places: readonly PodPlace[]): Promise<void> {
    this.#wanted = new Map(places.map((place) => [place.cookie, place]));
    this.#running = this.#running.then(() => this.#run());
    return this.#running;
  }

  /** Tells a broker that has just come. One after the other: a channel has room for some 250 messages. */
  async watch(): Promise<void> {
    for (const place of [...this.places()]) await this.#options.sockets.watch(place);
  }

  close(): void {
    this.#closed = true;
    for (const cookie of [...this.#open.keys()]) this.#end(cookie);
  }

  async #run(): Promise<void> {
    for (const [cookie, { place }] of this.#open) {
      const wanted = this.#wanted.get(cookie);
      if (wanted === undefined || wanted.podUid !== place.podUid) this.#end(cookie);
    }
    for (const cookie of this.#failed) if (!this.#wanted.has(cookie)) this.#failed.delete(cookie);
    if (!this.#options.sockets.connected) return;
    const missing = [...this.#wanted.values()].filter(({ cookie }) => !this.#open.has(cookie)).values();
    const worker = async () => {
      for (const place of missing) await this.#begin(place);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  }

  async #begin(place: PodPlace): Promise<void> {
    if (this.#closed) return;
    try {
      const listeners = await this.#options.sockets.listen(place);
      this.#accept(place, listeners);
      this.#failed.delete(place.cookie);
    } catch (error) {
      this.#fail(place, error as Error);
    }
  }

  #accept(place: PodPlace, { ipv4, ipv6 }: InPodListeners): void {
    const { native } = this.#options;
    const acceptors: Handle[] = [];
    const sockets = [{ ...ipv4, family: 4 as const }, ...(ipv6 ? [{ ...ipv6, family: 6 as const }] : [])];
    // Stopped, or no longer wanted, while the broker worked.
    if (this.#closed || this.#wanted.get(place.cookie)?.podUid !== place.podUid) {
      for (const { fd } of sockets) native.closeDescriptor(fd);
      return;
    }
    try {
      for (const { fd, family } of sockets) {
        const accepted = (client: number, port: number, address: Uint8Array) =>
          this.#options.onConnection(place, family, client, { address, port });
        const failed = (error: Error, isOver: boolean) => {
          if (isOver) this.#end(place.cookie);
          this.#fail(place, error);
        };
        acceptors.push(new native.Acceptor(fd, accepted, failed));
      }
      const open: Open = { place, acceptors, ports: { port4: ipv4.port, ...(ipv6 && { port6: ipv6.port }) } };
      this.#open.set(place.cookie, open);
      this.#put(open);
    } catch (error) {
      this.#open.delete(place.cookie);
      for (const acceptor of acceptors) acceptor.close();
      for (const { fd } of sockets.slice(acceptors.length)) native.closeDescriptor(fd);
      throw error;
    }
  }

  #put(open: Open): void {
    const { place, ports } = open;
    const overLimit = this.#options.isOverLimit(place.podUid);
    if (overLimit === open.overLimit) return;
    this.#options.ports.put(place.cookie, { ...ports, overLimit });
    open.overLimit = overLimit;
  }

  #end(cookie: bigint): void {
    const open = this.#open.get(cookie);
    if (open === undefined) return;
    this.#open.delete(cookie);
    try {
      this.#options.ports.delete(cookie);
    } finally {
      for (const acceptor of open.acceptors) acceptor.close();
      this.#options.sockets.release(open.place);
    }
  }

  #fail(place: PodPlace, error: Error): void {
    if (this.#closed || this.#failed.has(place.cookie)) return;
    this.#failed.add(place.cookie);
    this.#options.onFailure(place, error);
  }
}
