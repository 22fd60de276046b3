/** `listeners`: where in each network namespace the proxy listens. Without an entry, what needs the proxy is refused. */
import { encodeU64, LISTENER_OVER_LIMIT, layouts } from "./abi.ts";
import { type KernelMap, readEntries } from "./table.ts";

interface ListenerEntry {
  /** On 127.0.0.1; absent: none. */
  readonly port4?: number;
  /** On ::1; absent: none. */
  readonly port6?: number;
  /** The namespace has as many connections as it may: further ones are refused, reason over-limit. */
  readonly overLimit?: boolean;
}

export class ListenerTable {
  readonly #map: KernelMap;

  constructor(map: KernelMap) {
    this.#map = map;
  }

  /** The sockets must be listening. @throws Error when the map is full, RangeError if a port is none. */
  put(netnsCookie: bigint, { port4 = 0, port6 = 0, overLimit = false }: ListenerEntry): void {
    const at = layouts.listener;
    const value = Buffer.alloc(at.size);
    value.writeUInt16BE(port4, at.port4);
    value.writeUInt16BE(port6, at.port6);
    value.writeUInt32LE(overLimit ? LISTENER_OVER_LIMIT : 0, at.flags);
    this.#map.put(encodeU64(netnsCookie), value);
  }

  /** Before the sockets close: otherwise somebody else may listen there. False: there was no entry. */
  delete(netnsCookie: bigint): boolean {
    return this.#map.delete(encodeU64(netnsCookie));
  }

  /** Forgets what an earlier agent left: its sockets died with it. */
  clear(): void {
    const keys = readEntries(this.#map).map(({ key }) => key);
    if (keys.length > 0) this.#map.deleteBatch(Buffer.concat(keys));
  }
}
