/** Messages to a peer that may not read at once. Owns the descriptors it is given until they are sent. */
import type { FdChannel } from "../dataplane/native.ts";

const RETRY_MS = 2;
/** Messages that may wait; a peer that lets more wait does not read at all. */
const MOST_WAITING = 1024;

interface Letter {
  readonly message: Buffer;
  readonly descriptors: readonly number[];
}

export class Outbox {
  readonly #channel: Pick<FdChannel, "send">;
  readonly #closeDescriptor: (fd: number) => void;
  readonly #onFailure: (error: Error) => void;
  readonly #waiting: Letter[] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** `onFailure`: at most once; nothing is sent afterwards. */
  constructor(
    channel: Pick<FdChannel, "send">,
    closeDescriptor: (fd: number) => void,
    onFailure: (error: Error) => void,
  ) {
    this.#channel = channel;
    this.#closeDescriptor = closeDescriptor;
    this.#onFailure = onFailure;
  }

  send(message: Buffer, descriptors: readonly number[] = []): void {
    this.#waiting.push({ message, descriptors });
    if (this.#waiting.length > MOST_WAITING) this.#fail(new Error("send to the peer: it does not read"));
    this.#flush();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const { descriptors } of this.#waiting.splice(0)) descriptors.forEach(this.#closeDescriptor);
  }

  #flush(): void {
    if (this.#closed) this.close();
    for (
      let next = this.#waiting[0];
      next !== undefined && this.#timer === undefined;
      next = this.#waiting[0]
    ) {
      const error = this.#attempt(next);
      if (error?.code === "EAGAIN") {
        this.#timer = setTimeout(() => {
          this.#timer = undefined;
          this.#flush();
        }, RETRY_MS);
        return;
      }
      if (error !== undefined) {
        this.#fail(error);
        return;
      }
      this.#waiting.shift();
      next.descriptors.forEach(this.#closeDescriptor);
    }
  }

  #attempt({ message, descriptors }: Letter): NodeJS.ErrnoException | undefined {
    try {
      this.#channel.send(message, descriptors);
      return undefined;
    } catch (error) {
      return error as Error;
    }
  }

  #fail(error: Error): void {
    if (this.#closed) return;
    this.close();
    this.#onFailure(error);
  }
}
