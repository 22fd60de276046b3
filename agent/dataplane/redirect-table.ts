/**
 * `redirects` and `forwarded_sockets`: connections that went elsewhere than they were dialled. The kernel writes them and
 * deletes them when their socket closes.
 */
import { formatAddress, type IpAddress } from "../model/address.ts";
import {
  actionOf,
  decodeComm,
  decodeEndpoint,
  type KernelEndpoint,
  type Layer,
  layerOf,
  layouts,
} from "./abi.ts";
import { type KernelMap, readEntries } from "./table.ts";

/** One of them, in the kernel's numbers. Who asked is who asked at connect(), whatever became of the process. */
export interface Redirect {
  /** "proxy": it went to the proxy's listener. "forward": a policy named its target. */
  readonly action: "proxy" | "forward";
  /** CLOCK_BOOTTIME of the connect(), ns. */
  readonly time: bigint;
  /** Of the pod; of a caller without identity, a directory above it. */
  readonly cgroup: bigint;
  readonly netnsCookie: bigint;
  /** The client socket's cookie, as sock_diag has it. */
  readonly socket: bigint;
  readonly pod: number;
  readonly guard: number;
  /** In the initial PID namespace. */
  readonly pid: number;
  /** Chosen by the workload. */
  readonly comm: string;
  readonly layer: Layer;
  /** Of the packets: a v4-mapped address is family 4. */
  readonly family: 4 | 6;
  readonly dialled: KernelEndpoint;
  /** Of "proxy": what the verdict was about, after forwards in the kernel. Of "forward": where it went. */
  readonly target: KernelEndpoint;
  /** The client's own address: two clients may have one port, at different addresses. */
  readonly source: IpAddress;
}

interface RedirectMaps {
  readonly redirects: KernelMap;
  readonly forwarded_sockets: KernelMap;
}

export class RedirectTable {
  readonly #maps: RedirectMaps;
  readonly #onTaken: (netnsCookie: bigint) => void;

  /** `onTaken`: an entry of `redirects` has been deleted. */
  constructor(maps: RedirectMaps, onTaken: (netnsCookie: bigint) => void = () => {}) {
    this.#maps = maps;
    this.#onTaken = onTaken;
  }

  /**
   * What the client at `port` of that namespace dialled, once: its entry is deleted. `family`: of the listener that
   * accepted it. `source`: the client's own address, 16 bytes. Undefined: nothing sent it there, it came by itself, or the
   * kernel had no room; reset it.
   */
  take(netnsCookie: bigint, port: number, family: 4 | 6, source: Uint8Array): Redirect | undefined {
    const key = encodeRedirectKey(netnsCookie, port, family, source);
    const value = this.#maps.redirects.get(key);
    if (value !== undefined && this.#maps.redirects.delete(key)) this.#onTaken(netnsCookie);
    return value && decodeRedirect(value);
  }

  /** What the open forwarded sockets were dialled with, by their cookie. */
  forwarded(): ReadonlyMap<bigint, Redirect> {
    const redirects = readEntries(this.#maps.forwarded_sockets).flatMap(
      ({ value }) => decodeRedirect(value) ?? [],
    );
    return new Map(redirects.map((redirect) => [redirect.socket, redirect]));
  }
}

/** `port` and `source`, 16 bytes: the client's own. @throws RangeError if they are none. */
export function encodeRedirectKey(
  netnsCookie: bigint,
  port: number,
  family: 4 | 6,
  source: Uint8Array,
): Buffer {
  if (source.length !== 16) throw new RangeError(`encode a source address: ${source.length} bytes, not 16`);
  const at = layouts.redirect_key;
  const key = Buffer.alloc(at.size);
  key.writeBigUInt64LE(netnsCookie, at.netns_cookie);
  key.set(source, at.source);
  key.writeUInt16LE(port, at.port);
  key.writeUInt8(family, at.family);
  return key;
}

/** Undefined for a value that no program of this version wrote. */
export function decodeRedirect(value: Buffer): Redirect | undefined {
  const at = layouts.redirect;
  if (value.length < at.size) return undefined;
  const action = actionOf(value.readUInt8(at.action));
  const family = value.readUInt8(at.family);
  if ((action !== "proxy" && action !== "forward") || (family !== 4 && family !== 6)) return undefined;
  return {
    action,
    time: value.readBigUInt64LE(at.time),
    cgroup: value.readBigUInt64LE(at.cgroup),
    netnsCookie: value.readBigUInt64LE(at.netns_cookie),
    socket: value.readBigUInt64LE(at.socket),
    pod: value.readUInt32LE(at.pod),
    guard: value.readUInt32LE(at.guard),
    pid: value.readUInt32LE(at.pid),
    comm: decodeComm(value, at.comm),
    layer: layerOf(value.readUInt8(at.layer)),
    family,
    dialled: decodeEndpoint(value, at.dialled, at.dialled_port),
    target: decodeEndpoint(value, at.target, at.target_port),
    source: formatAddress(value.subarray(at.source, at.source + 16)),
  };
}
