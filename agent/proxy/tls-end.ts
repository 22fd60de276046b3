/** A client whose TLS ends here. Its bytes go through Node: what is enciphered cannot be spliced. */
import { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Native } from "../dataplane/native.ts";
import type { SecuredEnd } from "./connecting.ts";

export type SetReset = Pick<Native, "resetOnClose">;

/**
 * A socket below TLS or behind it. However it comes to be closed, by Node or with the process: that is a reset unless both
 * sides have ended.
 */
export class RawSocket extends Socket {
  /** Whether everything was said and heard. */
  hasEnded: () => boolean = () => false;
  readonly native: SetReset;
  readonly #fd: number;
  #resets = false;

  /** Takes over the descriptor, unless it throws: EBADF, ENOTSOCK. */
  constructor(fd: number, native: SetReset, options?: { readonly allowHalfOpen: boolean }) {
    native.resetOnClose(fd, true);
    super({ fd, readable: true, writable: true, ...options });
    this.#fd = fd;
    this.native = native;
    this.setNoDelay(true);
    // What goes wrong with it is what goes wrong with the TLS above.
    this.on("error", () => {});
  }

  override destroy(error?: Error): this {
    if (this.#resets || this.destroyed) return super.destroy(error);
    if (this.hasEnded()) {
      this.native.resetOnClose(this.#fd, false);
      return super.destroy(error);
    }
    this.#resets = true;
    return this.resetAndDestroy();
  }
}

export class TlsEnd implements SecuredEnd {
  readonly #secure: TLSSocket;
  readonly #raw: RawSocket;
  #onError: () => void = () => this.reset();

  /** Of a handshake that has just been made. `raw`: below `secure`. */
  constructor(secure: TLSSocket, raw: RawSocket) {
    this.#secure = secure;
    this.#raw = raw;
    // Only until here is the end of what it says the end of the client.
    secure.allowHalfOpen = true;
    raw.hasEnded = () => secure.errored === null && secure.readableEnded && secure.writableFinished;
    secure.on("error", () => this.#onError());
    // A client that asks for new keys again and again asks for work.
    secure.disableRenegotiation();
  }

  join(fd: number, { idleMs }: { readonly idleMs: number }, onEnd: () => void): () => void {
    const secure = this.#secure;
    const upstream = new RawSocket(fd, this.#raw.native, { allowHalfOpen: true });
    upstream.hasEnded = () => upstream.readableEnded && upstream.writableFinished;
    let closed = secure.closed ? 1 : 0;
    const stop = () => {
      this.reset();
      upstream.destroy();
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
    carry(secure, upstream);
    carry(upstream, secure);
    if (secure.destroyed) stop();
    return stop;
  }

  reset(): void {
    destroyLater(this.#raw);
  }
}

/** As `from.pipe(to)`, which costs 3 KB more of each connection. Their errors are for who owns them. */
function carry(from: Socket, to: Socket): void {
  from.on("data", (bytes) => {
    if (!to.write(bytes)) from.pause();
  });
  to.on("drain", () => from.resume());
  from.on("end", () => to.end());
}

/**
 * What is above it is destroyed with it. Never at once: TLS calls back in the middle of its work, and Node 24 crashes when
 * the socket is gone as it comes back.
 */
export function destroyLater(raw: RawSocket): void {
  setImmediate(() => raw.destroy());
}
