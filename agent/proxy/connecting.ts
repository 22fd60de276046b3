/** The way on: a socket made in the pod, and connected from there. */
import type { Native, NativeError, TcpEnd } from "../dataplane/native.ts";
import { addressBytes, formatAddress, isIpv4, isLoopback } from "../model/address.ts";
import type { Sockets } from "./broker-client.ts";
import type { Place } from "./broker-protocol.ts";
import type { ClientEnd } from "./client-end.ts";
import type { At } from "./tcp-proxy.ts";

export interface SocketSource {
  readonly native: Pick<Native, "closeDescriptor" | "bindSource">;
  readonly sockets: Pick<Sockets, "socket">;
}

/**
 * A socket in the pod that can be connected to `target`: from the address that the client has chosen if it has, else the
 * client is at loopback, like the listener. The caller owns it. @throws Error that says why there is none.
 */
export async function socketTo(
  { address }: At,
  place: Place,
  client: TcpEnd,
  { native, sockets }: SocketSource,
): Promise<number> {
  const fd = await sockets.socket(place, isIpv4(address) ? 4 : 6);
  try {
    if (!isLoopback(formatAddress(client.address))) native.bindSource(fd, client.address);
    return fd;
  } catch (error) {
    native.closeDescriptor(fd);
    throw error;
  }
}

/** A client's side that can be joined with what is connected alone. `join` throws as a ClientEnd's, but leaves the socket. */
export interface SecuredEnd {
  join(connected: number, options: { readonly idleMs: number }, onEnd: () => void): () => void;
  reset(): void;
}

/** The same, once its upstream is connected. */
export function connectedFirst(
  end: SecuredEnd,
  native: Pick<Native, "closeDescriptor" | "connectTcp">,
): ClientEnd {
  return {
    join: (upstream, { address, port }, { connectTimeoutMs, idleMs }, onJoined, onEnd) => {
      const fail = (code?: string) => {
        stop = () => {};
        native.closeDescriptor(upstream);
        end.reset();
        onEnd(code);
      };
      let stop = () => {
        handle.close();
        fail();
      };
      const done = (error?: NativeError) => {
        if (error !== undefined) return fail(error.code);
        try {
          stop = end.join(upstream, { idleMs }, onEnd);
        } catch {
          return fail();
        }
        onJoined();
      };
      const to = addressBytes(address) ?? new Uint8Array();
      const handle = native.connectTcp(upstream, to, port, connectTimeoutMs, done);
      return () => stop();
    },
    reset: () => end.reset(),
  };
}

/** Why there is no connection to it, in words. */
export function unconnected({ address, port }: At, code: string | undefined, timeoutMs: number): string {
  if (code === undefined) return "stopped";
  const place = isIpv4(address) ? `${address}:${port}` : `[${address}]:${port}`;
  const why =
    code === "ETIMEDOUT"
      ? `no answer in ${timeoutMs / 1000} s`
      : code === "ECONNREFUSED"
        ? "it refuses (ECONNREFUSED)"
        : code;
  return `connect to ${place}: ${why}`;
}
