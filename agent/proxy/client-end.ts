/** The application's side of a connection, from its verdict on: joined with its server, or reset. */
import type { Native, Pump } from "../dataplane/native.ts";
import { addressBytes } from "../model/address.ts";
import type { At } from "./tcp-proxy.ts";

export interface JoinOptions {
  /** In ms, without an answer. */
  readonly connectTimeoutMs: number;
  /** Without a byte in either direction; 0: never. */
  readonly idleMs: number;
}

/** Owns its socket. Exactly one of its methods is called, once. */
export interface ClientEnd {
  /**
   * Takes over the socket `upstream`, which it connects to `target`. `onJoined` once it is, and `onEnd` once, on the event
   * loop, when both sides are closed; `code` says why it could not be connected. The result resets both. @throws Error when
   * they cannot be joined: `upstream` is closed then, and `reset` may still be called.
   */
  join(
    upstream: number,
    target: At,
    options: JoinOptions,
    onJoined: () => void,
    onEnd: (code?: string) => void,
  ): () => void;
  reset(): void;
}

/** As it was accepted: the pump connects its upstream, and moves its bytes. */
export function plainEnd(
  client: number,
  pump: Pump,
  native: Pick<Native, "resetSocket" | "closeDescriptor">,
): ClientEnd {
  return {
    join: (upstream, { address, port }, { connectTimeoutMs, idleMs }, onJoined, onEnd) => {
      const bytes = addressBytes(address) ?? new Uint8Array();
      const connect = { address: bytes, port, timeoutMs: connectTimeoutMs, onConnected: onJoined };
      try {
        const id = pump.start(client, upstream, { idleMs, connect }, ({ error }) => onEnd(error));
        return () => pump.stop(id);
      } catch (error) {
        native.closeDescriptor(upstream);
        throw error;
      }
    },
    reset: () => native.resetSocket(client),
  };
}
