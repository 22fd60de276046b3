/**
 * `listeners` and `note_counts`: where in each network namespace the proxy listens, and how many connects may wait there to
 * be taken. Without an entry, what needs the proxy is refused.
 */
import { encodeU32, encodeU64, layouts } from "./abi.ts";
import { type KernelMap, readEntries } from "./table.ts";

interface ListenerEntry {
  /** On 127.0.0.1; absent: none. */
  readonly port4?: number;
  /** On ::1; absent: none. */
  readonly port6?: number;
  /** The namespace has as many connections as it may: further ones are refused, reason over-limit. */
  readonly overLimit?: boolean;
}

/** What the kernel may note for a namespace is how many notes it has given up, and how many may wait. */
interface Notes {
  readonly slot: number;
  taken: number;
  overLimit: boolean;
}

type ListenerMaps = Readonly<Record<"listeners" | "note_counts" | "redirects", KernelMap>>;

export class ListenerTable {
  readonly #maps: ListenerMaps;
  readonly #waiting: number;
  readonly #notes = new Map<bigint, Notes>();

  /** `waiting`: how many connects of one namespace may wait to be taken. */
  constructor(maps: ListenerMaps, waiting = 1000) {
    this.#maps = maps;
    this.#waiting = waiting;
  }

  /** The sockets must be listening. @throws Error when the map is full, RangeError if a port is none. */
  put(netnsCookie: bigint, { port4 = 0, port6 = 0, overLimit = false }: ListenerEntry): void {
    const at = layouts.listener;
    const notes = this.#notes.get(netnsCookie) ?? this.#begin(netnsCookie);
    const value = Buffer.alloc(at.size);
    value.writeUInt16BE(port4, at.port4);
    value.writeUInt16BE(port6, at.port6);
    value.writeUInt32LE(notes.slot, at.slot);
    notes.overLimit = overLimit;
    this.#allow(notes);
    const key = encodeU64(netnsCookie);
    if (this.#maps.listeners.get(key)?.equals(value) !== true) this.#maps.listeners.put(key, value);
    this.#notes.set(netnsCookie, notes);
  }

  /** One that waited does not any more. */
  take(netnsCookie: bigint): void {
    const notes = this.#notes.get(netnsCookie);
    if (notes === undefined) return;
    notes.taken += 1;
    this.#allow(notes);
  }

  /** Before the sockets close: otherwise somebody else may listen there. False: there was no entry. */
  delete(netnsCookie: bigint): boolean {
    const deleted = this.#maps.listeners.delete(encodeU64(netnsCookie));
    this.#notes.delete(netnsCookie);
    return deleted;
  }

  /** Forgets what an earlier agent left: its sockets died with it. */
  clear(): void {
    for (const map of [this.#maps.listeners, this.#maps.redirects]) {
      const keys = readEntries(map).map(({ key }) => key);
      if (keys.length > 0) map.deleteBatch(Buffer.concat(keys));
    }
    this.#notes.clear();
  }

  /** Without a listener the kernel adds no notes there, so those of an earlier one can go, and none is counted. */
  #begin(netnsCookie: bigint): Notes {
    const { redirects, note_counts } = this.#maps;
    const old = readEntries(redirects)
      .map(({ key }) => key)
      .filter((key) => key.readBigUInt64LE(layouts.redirect_key.netns_cookie) === netnsCookie);
    if (old.length > 0) redirects.deleteBatch(Buffer.concat(old));
    const slots = new Set([...this.#notes.values()].map(({ slot }) => slot));
    let slot = 0;
    while (slots.has(slot)) slot += 1;
    note_counts.put(encodeU32(2 * slot), encodeU32(0));
    return { slot, taken: 0, overLimit: false };
  }

  #allow({ slot, taken, overLimit }: Notes): void {
    const most = (taken + (overLimit ? 0 : this.#waiting)) >>> 0;
    this.#maps.note_counts.put(encodeU32(2 * slot + 1), encodeU32(most));
  }
}
