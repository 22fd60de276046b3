/** What tests do with sockets of a namespace; everything is closed when the test that asked for it is over. */
import { onTestFinished } from "vitest";
import type { Handle, Native, NativeError, Netns } from "../../agent/dataplane/native.ts";
import { bytesOf, codeOf } from "./namespace.ts";

export interface Listening {
  readonly port: number;
  readonly acceptor: Handle;
  readonly accepted: { fd: number; remotePort: number }[];
  readonly errors: [code: string, isOver: boolean][];
}

/** Whoever asks for it closes it. */
export function socketIn(netns: Netns, family: 4 | 6 = 4): number {
  const [fd = -1] = netns.sockets(family, 1);
  return fd;
}

export class Sockets {
  readonly #native: Native;
  readonly #netns: Netns;

  constructor(native: Native, netns: Netns) {
    this.#native = native;
    this.#netns = netns;
  }

  /** Accepts on loopback, or what a listener there has. */
  accept(family: 4 | 6 = 4, { fd, port } = this.#netns.listen(family, 512)): Listening {
    const accepted: Listening["accepted"] = [];
    const errors: Listening["errors"] = [];
    const acceptor = new this.#native.Acceptor(
      fd,
      (connection, remotePort) => accepted.push({ fd: connection, remotePort }),
      (error, isOver) => errors.push([error.code, isOver]),
    );
    onTestFinished(() => {
      acceptor.close();
      for (const one of accepted) codeOf(() => this.#native.closeDescriptor(one.fd));
    });
    return { port, acceptor, accepted, errors };
  }

  socket(family: 4 | 6 = 4): number {
    const fd = socketIn(this.#netns, family);
    onTestFinished(() => void codeOf(() => this.#native.closeDescriptor(fd)));
    return fd;
  }

  /** Undefined, or the error's code. */
  connect(fd: number, address: string, port: number, timeoutMs = 10_000): Promise<string | undefined> {
    return new Promise((resolve) => {
      const done = (error?: NativeError) => resolve(error?.code);
      this.#native.connectTcp(fd, bytesOf(address), port, timeoutMs, done);
    });
  }
}
