/** A client whose TLS ends here. Its bytes go through Node: what is enciphered cannot be spliced. */
import { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { ClientEnd, JoinOptions } from "./client-end.ts";

export class TlsEnd implements ClientEnd {
  readonly #secure: TLSSocket;
  readonly #raw: Socket;
  #onError: () => void = () => this.reset();

  /** `raw`: below `secure`; only it can reset. */
  constructor(secure: TLSSocket, raw: Socket) {
    this.#secure = secure;
    this.#raw = raw;
    secure.on("error", () => this.#onError());
    // A client that asks for new keys again and again asks for work.
    secure.disableRenegotiation();
  }

  join(fd: number, { idleMs }: JoinOptions, onEnd: () => void): () => void {
    const secure = this.#secure;
    // Throws before it owns the descriptor only where that is none.
    const upstream = new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
    upstream.setNoDelay(true);
    let closed = secure.closed ? 1 : 0;
    const stop = () => {
      this.reset();
      upstream.resetAndDestroy();
    };
    const close = (other: Socket) => {
      closed += 1;
      if (closed === 2) onEnd();
      // One that closes before both directions have ended takes the other along.
      else if (!other.readableEnded || !other.writableEnded) stop();
    };
    this.#onError = stop;
    upstream.on("error", stop);
    secure.on("close", () => close(upstream));
    upstream.on("close", () => close(secure));
    if (idleMs > 0) secure.setTimeout(idleMs, stop);
    secure.pipe(upstream);
    upstream.pipe(secure);
    if (secure.destroyed) stop();
    return stop;
  }

  reset(): void {
    this.#raw.resetAndDestroy();
    this.#secure.destroy();
  }
}
