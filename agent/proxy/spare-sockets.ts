/**
 * Sockets made ahead of need: a busy pod's connections then wait for no broker. Owns what it holds until it is taken. Of
 * one pod it holds at most what it was lately asked for, and nothing of a pod that has asked for none for a second.
 */
import { type Place, SOCKETS_PER_MESSAGE } from "./broker-protocol.ts";

/** Of all pods together, above which there are sockets only for those that wait: they are of the descriptors to spare. */
const MOST_SPARE = 128;
const IDLE_MS = 1000;

export type Family = 4 | 6;

/** `count` sockets, 1 to 32, which are the caller's. Rejects with an Error that says why there are none. */
export type MakeSockets = (place: Place, family: Family, count: number) => Promise<readonly number[]>;

/** Of one pod and family. */
interface Shelf {
  readonly place: Place;
  readonly family: Family;
  readonly spare: number[];
  readonly waiting: PromiseWithResolvers<number>[];
  readonly idle: NodeJS.Timeout;
  /** How many were made the last time. */
  made: number;
  isAsking: boolean;
}

export class SpareSockets {
  readonly #make: MakeSockets;
  readonly #close: (fd: number) => void;
  readonly #shelves = new Map<string, Shelf>();
  #spare = 0;

  constructor(make: MakeSockets, closeDescriptor: (fd: number) => void) {
    this.#make = make;
    this.#close = closeDescriptor;
  }

  /** How many are held. */
  get size(): number {
    return this.#spare;
  }

  /** A socket, which is the caller's. Rejects as `MakeSockets`. */
  async take(place: Place, family: Family): Promise<number> {
    const key = keyOf(place, family);
    const shelf = this.#shelves.get(key) ?? this.#open(key, place, family);
    shelf.idle.refresh();
    const fd = shelf.spare.pop();
    if (fd !== undefined) this.#spare -= 1;
    const waits = fd === undefined ? Promise.withResolvers<number>() : undefined;
    if (waits !== undefined) shelf.waiting.push(waits);
    if (shelf.spare.length * 2 < shelf.made || waits !== undefined) void this.#fill(shelf);
    return fd ?? (waits as PromiseWithResolvers<number>).promise;
  }

  /** Closes what is held of that namespace. Who waits for one still gets an answer. */
  release({ cookie }: Pick<Place, "cookie">): void {
    for (const [key, shelf] of this.#shelves) if (shelf.place.cookie === cookie) this.#shut(key, shelf);
  }

  /** The same of all. */
  clear(): void {
    for (const [key, shelf] of this.#shelves) this.#shut(key, shelf);
  }

  #open(key: string, place: Place, family: Family): Shelf {
    const idle = setTimeout(() => this.#shut(key, shelf), IDLE_MS).unref();
    const shelf: Shelf = { place, family, spare: [], waiting: [], idle, made: 0, isAsking: false };
    this.#shelves.set(key, shelf);
    return shelf;
  }

  #shut(key: string, { spare, idle }: Shelf): void {
    clearTimeout(idle);
    this.#shelves.delete(key);
    this.#spare -= spare.length;
    spare.splice(0).forEach(this.#close);
  }

  /** One request at a time, each for twice as many as the last. */
  async #fill(shelf: Shelf): Promise<void> {
    if (shelf.isAsking) return;
    shelf.isAsking = true;
    do {
      const { place, family, waiting } = shelf;
      const ahead = this.#spare < MOST_SPARE ? shelf.made * 2 : 0;
      const count = Math.min(SOCKETS_PER_MESSAGE, Math.max(1, waiting.length, ahead));
      try {
        this.#stock(shelf, await this.#make(place, family, count));
        shelf.made = count;
      } catch (error) {
        for (const { reject } of waiting.splice(0)) reject(error);
      }
    } while (shelf.waiting.length > 0);
    shelf.isAsking = false;
  }

  #stock(shelf: Shelf, made: readonly number[]): void {
    const isOpen = this.#shelves.get(keyOf(shelf.place, shelf.family)) === shelf;
    for (const fd of made) {
      const next = shelf.waiting.shift();
      if (next !== undefined) next.resolve(fd);
      else if (isOpen) {
        shelf.spare.push(fd);
        this.#spare += 1;
      } else this.#close(fd);
    }
  }
}

function keyOf({ cgroup, cookie }: Place, family: Family): string {
  return `${cgroup} ${cookie} ${family}`;
}
