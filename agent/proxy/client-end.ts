/** The application's side of a connection, from its verdict on: joined with an upstream socket, or reset. */
import type { Native, Pump } from "../dataplane/native.ts";

export interface JoinOptions {
  /** Without a byte in either direction; 0: never. */
  readonly idleMs: number;
}

/** Owns its socket. Exactly one of its methods is called, once. */
export interface ClientEnd {
  /**
   * Takes over the connected socket `upstream`. `onEnd` once, on the event loop, when both sides are closed. The result
   * resets both. @throws Error when they cannot be joined: `upstream` is closed then, and `reset` may still be called.
   */
  join(upstream: number, options: JoinOptions, onEnd: () => void): () => void;
  reset(): void;
}

/** As it was accepted: the pump moves its bytes. */
export function plainEnd(
  client: number,
  pump: Pump,
  native: Pick<Native, "resetSocket" | "closeDescriptor">,
): ClientEnd {
  return {
    join: (upstream, { idleMs }, onEnd) => {
      try {
        const id = pump.start(client, upstream, { idleMs }, onEnd);
        return () => pump.stop(id);
      } catch (error) {
        native.closeDescriptor(upstream);
        throw error;
      }
    },
    reset: () => native.resetSocket(client),
  };
}
