/**
 * The broker: makes sockets in the pods' network namespaces and hands them to the agent. It is the only process that may
 * enter a namespace, so it does that and nothing else: no Kubernetes, no maps, no decisions.
 */
import type { Piece } from "../dataplane/listing.ts";
import type { FdChannel, Handle, Native, NativeError, Netns, OnAcceptError } from "../dataplane/native.ts";
import {
  type Answer,
  decodeRequest,
  encodeAnswer,
  type PlacedRequest,
  type Request,
} from "./broker-protocol.ts";
import { keepTold, recallTold, type Told } from "./broker-record.ts";
import { Listings } from "./listings.ts";
import { NodeNamespace } from "./node-namespace.ts";
import { Outbox } from "./outbox.ts";
import { PodNamespaces } from "./pod-namespaces.ts";
import { Silence } from "./silence.ts";

const BACKLOG = 1024;
const SWEEP_MS = 5000;

export interface BrokerOptions {
  readonly socketPath: string;
  /** The cgroup that holds the pods' directories. */
  readonly cgroupRoot: string;
  /** Only a process of this user is served. */
  readonly uid: number;
  /** No agent can connect any more. */
  readonly onBroken: (error: Error) => void;
  readonly log: (level: "info" | "warn", message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

type Kernel = Pick<Native, "Netns" | "cgroupId" | "listenChannel" | "closeDescriptor">;

/** One that is connected, and what it has to be given. */
interface Agent {
  readonly channel: FdChannel;
  readonly outbox: Outbox;
  readonly listings: Listings;
}

export class Broker {
  readonly #native: Kernel;
  readonly #options: BrokerOptions;
  readonly #namespaces: PodNamespaces;
  readonly #node: NodeNamespace;
  readonly #listener: Handle;
  readonly #timer: NodeJS.Timeout;
  readonly #silence: Silence;
  #agent: Agent | undefined;

  /** Serves from now on. @throws Error that says what is missing. */
  constructor(native: Kernel, options: BrokerOptions) {
    this.#native = native;
    this.#options = options;
    this.#node = openNode(native);
    const forbidden = [this.#node.netns.cookie, ...cookieOfFirst(native)];
    this.#namespaces = new PodNamespaces(native.Netns, options.cgroupRoot, new Set(forbidden));
    const record = `${options.socketPath}.told`;
    this.#silence = new Silence({
      told: recallTold(record),
      onTold: (told) => this.#keep(record, told),
      find: (place) => this.#namespaces.find(place),
      onEnded: (ended, silentFor) =>
        options.log("warn", "the agent is silent: connections that waited for it were ended", {
          ended,
          silent_ms: Math.round(silentFor),
        }),
      onUnable: (error) =>
        options.log("warn", "who waits for a silent agent waits on, and open connections stay open", {
          error: error.message,
        }),
      now: () => performance.now(),
    });
    this.#listener = listen(
      native,
      options.socketPath,
      (channel) => this.#welcome(channel),
      (error, isOver) => {
        if (isOver) options.onBroken(error);
        else options.log("warn", "an agent could not be welcomed", { error: error.message });
      },
    );
    this.#timer = setInterval(() => {
      for (const cookie of this.#namespaces.sweep()) this.#silence.forget(cookie);
      this.#agent?.listings.sweep();
    }, SWEEP_MS);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#listener.close();
    this.#silence.close();
    this.#hangUp();
    this.#namespaces.close();
    this.#node.close();
  }

  #welcome(channel: FdChannel): void {
    const { pid, uid } = channel.peer;
    if (uid !== this.#options.uid) {
      this.#options.log("warn", "a process of another user was turned away", { pid, uid });
      channel.close();
      return;
    }
    // An agent that died without a word may still be connected for a moment: the newer one counts.
    this.#part(this.#agent?.channel);
    const outbox = new Outbox(channel, this.#native.closeDescriptor, (error) => this.#lost(channel, error));
    const agent = { channel, outbox, listings: new Listings(() => performance.now()) };
    this.#agent = agent;
    this.#options.log("info", "an agent is connected", { pid });
    channel.receive(
      (message, descriptors) => {
        // No request has any.
        descriptors.forEach(this.#native.closeDescriptor);
        this.#serve(message, agent);
      },
      (error) => this.#lost(channel, error),
    );
  }

  #lost(channel: FdChannel, error?: Error): void {
    if (this.#agent?.channel === channel) {
      this.#options.log("info", "the agent is gone", error && { error: error.message });
    }
    this.#part(channel);
  }

  #part(channel: FdChannel | undefined): void {
    if (channel === undefined || this.#agent?.channel !== channel) {
      channel?.close();
      return;
    }
    this.#silence.end();
    this.#hangUp();
  }

  #hangUp(): void {
    this.#agent?.channel.close();
    this.#agent?.listings.close();
    this.#agent?.outbox.close();
    this.#agent = undefined;
  }

  #keep(path: string, told: Told): void {
    try {
      keepTold(path, told);
    } catch (error) {
      const { message } = error as Error;
      this.#options.log("warn", "another broker will not know who waits for an agent that is silent then", {
        error: message,
      });
    }
  }

  #serve(message: Buffer, agent: Agent): void {
    const { outbox } = agent;
    const request = decodeRequest(message);
    if ("error" in request) {
      const { id, error } = request;
      if (id === undefined) this.#options.log("warn", "a message was no request", { error });
      else outbox.send(encodeAnswer({ id, error }));
      return;
    }
    const { id } = request;
    const fail = (error: unknown) =>
      outbox.send(encodeAnswer({ id, error: error instanceof Error ? error.message : String(error) }));
    const descriptors: number[] = [];
    try {
      const answer = this.#perform(request, agent, descriptors);
      if (!(answer instanceof Promise)) outbox.send(encodeAnswer(answer), descriptors.splice(0));
      else answer.then((piece) => outbox.send(encodeAnswer(piece)), fail);
    } catch (error) {
      descriptors.forEach(this.#native.closeDescriptor);
      fail(error);
    }
  }

  /** Adds what goes with the answer to `descriptors`. */
  #perform(request: Request, { listings }: Agent, descriptors: number[]): Answer | Promise<Answer> {
    const { id } = request;
    if (request.op === "beat") {
      this.#silence.beat(request.agentDownAfter);
      return { id, heard: true };
    }
    if (request.op === "more") return listings.next(request.of).then((piece) => ({ id, ...piece }));
    const { netns, cgroups } = this.#within(request);
    switch (request.op) {
      case "watch":
        this.#silence.watch(request);
        return { id, heard: true };
      case "listen": {
        this.#silence.watch(request);
        const four = netns.listen(4, BACKLOG);
        descriptors.push(four.fd);
        const six = withoutIpv6(() => netns.listen(6, BACKLOG));
        if (six !== undefined) descriptors.push(six.fd);
        return { id, port4: four.port, ...(six && { port6: six.port }) };
      }
      case "sockets":
        descriptors.push(...netns.sockets(request.family, request.count));
        return { id, sockets: true };
      case "connections": {
        const { remote } = request;
        const listing = netns.list({ ...(remote && { remote }), ...(cgroups && { cgroups }) });
        return listings.begin(id, listing).then(
          (piece) => ({ id, ...piece }),
          (error) => ({ id, ...this.#withoutCgroups(error, cgroups) }),
        );
      }
      case "destroy":
        return { id, destroyed: request.connections.filter((it) => netns.destroy(it, cgroups)).length };
    }
  }

  /** Of the node's own namespace nobody gets but the connections that the pod has made there. */
  #within(request: PlacedRequest): { readonly netns: Netns; readonly cgroups?: BigUint64Array } {
    const { op, cookie, cgroup } = request;
    const isOnNode = cookie === this.#node.netns.cookie && (op === "connections" || op === "destroy");
    if (!isOnNode) return { netns: this.#namespaces.find(request) };
    const directory = this.#namespaces.directory(cgroup);
    return { netns: this.#node.netns, cgroups: this.#node.cgroupsOf(directory) };
  }

  /** A kernel that tells no cgroups will not do so the next time. */
  #withoutCgroups(error: NativeError, cgroups: BigUint64Array | undefined): Piece {
    if (cgroups === undefined || error.code !== "EOPNOTSUPP") throw error;
    this.#options.log("warn", "open connections of hostNetwork pods stay open", { error: error.message });
    return { connections: [], more: false };
  }
}

function openNode(native: Kernel): NodeNamespace {
  try {
    return new NodeNamespace(native);
  } catch (cause) {
    throw new Error(
      `enter network namespaces: ${(cause as Error).message}: the broker needs root with SYS_ADMIN, SYS_PTRACE and NET_ADMIN, and Linux 5.14 or newer`,
      { cause },
    );
  }
}

/** Of the machine's first process, where it can be looked at: it may be in another namespace than this one. */
function cookieOfFirst(native: Kernel): bigint[] {
  try {
    const netns = native.Netns.open("/proc/1/ns/net");
    netns.close();
    return [netns.cookie];
  } catch {
    return [];
  }
}

function listen(
  native: Kernel,
  path: string,
  onChannel: (channel: FdChannel) => void,
  onError: OnAcceptError,
): Handle {
  try {
    return native.listenChannel(path, onChannel, onError);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`listen at ${path}: ${why}: pass --socket with a path in a directory that exists`, {
      cause,
    });
  }
}

/** Undefined where the namespace has no IPv6. */
function withoutIpv6<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch (error) {
    if (["EADDRNOTAVAIL", "EAFNOSUPPORT"].includes((error as NodeJS.ErrnoException).code ?? ""))
      return undefined;
    throw error;
  }
}
