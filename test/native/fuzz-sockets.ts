/** The sockets' part of the fuzzer: instances, and calls that stay within what the fuzzer owns. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Handle, Native, Netns } from "../../agent/dataplane/native.ts";
import { makeSieve } from "../../agent/dataplane/sieve.ts";
import { socketIn } from "./sockets.ts";

const noop = () => {};
const loopback = Buffer.from("00000000000000000000ffff7f000001", "hex");

export class FuzzedSockets {
  readonly #native: Native;
  readonly #directory: string;
  readonly #path: string;
  /** Never among the instances: calls close those. */
  readonly #netns: Netns;
  readonly #opened: Handle[] = [];
  #made = 0;

  /** `directory` is for socket files, and the current one. */
  constructor(native: Native, netnsPath: string, directory = tmpdir()) {
    this.#native = native;
    this.#directory = directory;
    this.#path = netnsPath;
    this.#netns = native.Netns.open(netnsPath);
  }

  /** Instances, some of them closed, and what their methods take. */
  instances(): unknown[] {
    const path = join(this.#directory, "channel");
    const listener = this.#keep(
      this.#native.listenChannel(path, (it) => this.#keep(it).receive(noop, noop), noop),
    );
    const channel = this.#keep(this.#native.connectChannel(path));
    const receiving = this.#keep(this.#native.connectChannel(path));
    receiving.receive(noop, noop);
    const closedChannel = this.#native.connectChannel(path);
    closedChannel.close();
    const { fd, port } = this.#netns.listen(4, 8);
    const acceptor = this.#keep(new this.#native.Acceptor(fd, (it) => this.#native.resetSocket(it), noop));
    const client = socketIn(this.#netns);
    const connecting = this.#keep(this.#native.connectTcp(client, loopback, port, 1000, noop));
    const netns = this.#keep(this.#native.Netns.open(this.#path));
    const closedNetns = this.#native.Netns.open(this.#path);
    closedNetns.close();
    const listing = this.#keep(this.#netns.list());
    const reading = this.#keep(this.#netns.list({ remote: makeSieve(1) }));
    reading.next(noop);
    const closedListing = this.#netns.list();
    closedListing.next(noop);
    closedListing.close();
    this.#native.closeDescriptor(client);
    const end = { address: loopback, port: 1 };
    const names = { interfaceIndex: 0, cookie: 1n, inode: 1n, uid: 0, beyondPayload: 0 };
    const connection = { family: 4, state: 1, local: end, remote: end, ...names };
    const strange = { ...connection, remote: { port: 1 } };
    const filters = [
      { listeners: true, remote: makeSieve(9) },
      { remote: Buffer.alloc(7) },
      { cgroups: new BigUint64Array(9) },
    ];
    const descriptors = [[0, 1, 2], [-1], [1e6], Array(17).fill(0), Object.freeze([Number.NaN])];
    const closing = Object.defineProperty([0], 0, { get: () => channel.close() ?? 0 });
    return [
      ...[listener, channel, receiving, closedChannel, acceptor, connecting, netns, closedNetns],
      ...[listing, reading, closedListing, ...filters],
      ...[connection, strange, ...descriptors, closing],
    ];
  }

  /** The classes that cannot be reached by name. */
  get classes(): Record<string, unknown> {
    const [listener, channel, , , , connecting, , , listing] = this.instances();
    const classOf = (it: unknown) => (it as { constructor: unknown }).constructor;
    const classes = {
      FdChannel: classOf(channel),
      Listener: classOf(listener),
      Connecting: classOf(connecting),
      Listing: classOf(listing),
    };
    this.closeAll();
    return classes;
  }

  /** Calls, with a descriptor of our own in place of a number that could be somebody's, and paths below ours. */
  call(name: string, act: (parameters: unknown[]) => unknown, parameters: unknown[]): unknown {
    if (/listenChannel|Listener/.test(name) && String(parameters[0]).startsWith("/")) {
      return this.#keep(act([join(this.#directory, "x"), ...parameters.slice(1)]));
    }
    if (!/^(closeDescriptor|resetSocket|bindSource|connectTcp|(new )?(Acceptor|Connecting))$/.test(name)) {
      return this.#keep(act(parameters));
    }
    const [number, ...rest] = parameters;
    if (typeof number !== "number" || !(number >= 3)) return this.#keep(act(parameters));
    const fd = this.#made++ % 2 === 0 ? this.#netns.listen(4, 8).fd : socketIn(this.#netns, 6);
    let isOurs = true;
    try {
      const result = this.#keep(act([fd, ...rest]));
      isOurs = /connect/i.test(name);
      return result;
    } finally {
      if (isOurs) this.#native.closeDescriptor(fd);
    }
  }

  #keep<T>(result: T): T {
    const close = (result as Partial<Handle> | undefined)?.close;
    if (typeof close === "function") this.#opened.push(result as unknown as Handle);
    return result;
  }

  closeAll(): void {
    for (const handle of this.#opened.splice(0)) {
      try {
        handle.close();
      } catch {
        // Not what it looks like.
      }
    }
  }
}
