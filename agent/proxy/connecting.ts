/** The way on: a socket made in the pod, and connected from there. */
import type { Handle, Native, TcpEnd } from "../dataplane/native.ts";
import { addressBytes, formatAddress, isIpv4, isLoopback } from "../model/address.ts";
import type { Sockets } from "./broker-client.ts";
import type { Place } from "./broker-protocol.ts";
import type { At } from "./tcp-proxy.ts";

export interface Connector {
  readonly native: Pick<Native, "closeDescriptor" | "bindSource" | "connectTcp">;
  readonly sockets: Pick<Sockets, "socket">;
  readonly connectTimeoutMs: number;
}

/**
 * A socket that is connected to `target` from within the pod, and from the address that the client has chosen if it has:
 * else the client is at loopback, like the listener. The caller owns it. @throws Error that says why there is none.
 */
export async function connectFrom(
  place: Place,
  client: TcpEnd,
  target: At,
  signal: AbortSignal,
  { native, sockets, connectTimeoutMs }: Connector,
): Promise<number> {
  const fd = await sockets.socket(place, isIpv4(target.address) ? 4 : 6);
  try {
    if (!isLoopback(formatAddress(client.address))) native.bindSource(fd, client.address);
    await new Promise<void>((resolve, reject) => {
      signal.throwIfAborted();
      let handle: Handle | undefined;
      const abort = () => {
        handle?.close();
        reject(signal.reason);
      };
      signal.addEventListener("abort", abort);
      const address = addressBytes(target.address) ?? new Uint8Array();
      handle = native.connectTcp(fd, address, target.port, connectTimeoutMs, (error) => {
        signal.removeEventListener("abort", abort);
        if (error === undefined) resolve();
        else reject(new Error(words(target, error.code, connectTimeoutMs), { cause: error }));
      });
    });
    signal.throwIfAborted();
    return fd;
  } catch (error) {
    native.closeDescriptor(fd);
    throw error;
  }
}

function words({ address, port }: At, code: string, timeoutMs: number): string {
  const place = isIpv4(address) ? `${address}:${port}` : `[${address}]:${port}`;
  const why =
    code === "ETIMEDOUT"
      ? `no answer in ${timeoutMs / 1000} s`
      : code === "ECONNREFUSED"
        ? "it refuses (ECONNREFUSED)"
        : code;
  return `connect to ${place}: ${why}`;
}
