/** The agent's side of the broker: asks it for sockets, and finds it again when it was away. */
import type { FdChannel, Native, TcpConnection } from "../dataplane/native.ts";
import type { Clock } from "../model/clock.ts";
import {
  type Answer,
  CONNECTIONS_PER_MESSAGE,
  decodeAnswer,
  encodeRequest,
  type Place,
  type Request,
} from "./broker-protocol.ts";
import { Outbox } from "./outbox.ts";
import { type Family, SpareSockets } from "./spare-sockets.ts";

const REQUEST_MS = 2000;
const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 500;
/** Several in the time for which one counts. */
const LONGEST_BEAT_MS = 500;
const BEATS_PER_TIME = 5;

/** A listening socket of each family that the namespace has. Whoever gets it owns the descriptors. */
export interface InPodListeners {
  readonly ipv4: { readonly fd: number; readonly port: number };
  readonly ipv6?: { readonly fd: number; readonly port: number };
}

/** What a broker can do. Every call, and every piece of a listing, rejects, within two seconds, with an Error that says why not. */
export interface Sockets {
  /** Whether there is a broker. */
  readonly connected: boolean;
  listen(place: Place): Promise<InPodListeners>;
  /** To be told of every namespace that a former broker has listened in. Never rejects: the next broker is told again. */
  watch(place: Place): Promise<void>;
  /** An unconnected TCP socket, which may have been made ahead; the caller owns it. */
  socket(place: Place, family: Family): Promise<number>;
  /** Closes what was made ahead for a namespace. */
  release(place: Pick<Place, "cookie">): void;
  /** Piece by piece, those whose remote end may be one of a sieve's, or all: as Listing has it. */
  connections(place: Place, remote?: Uint8Array): AsyncIterable<readonly TcpConnection[]>;
  /** How many of them there still were. */
  destroy(place: Place, connections: readonly TcpConnection[]): Promise<number>;
}

export interface BrokerClientOptions {
  readonly socketPath: string;
  readonly clock: Clock;
  /** In ms: for so long a sign of life of this process counts; then the broker ends whoever waits for it. */
  readonly agentDownAfter: number;
  /** Called when the broker comes and, with the reason, when it goes or is not there at first. */
  readonly onChange: (connected: boolean, why?: string) => void;
}

type Kernel = Pick<Native, "connectChannel" | "closeDescriptor">;
type Body<R extends Request = Request> = R extends Request ? Omit<R, "id"> : never;

interface Pending {
  readonly op: Request["op"];
  readonly answered: (answer: Answer, descriptors: readonly number[]) => void;
  readonly failed: (error: Error) => void;
}

export class BrokerClient implements Sockets {
  readonly #native: Kernel;
  readonly #options: BrokerClientOptions;
  readonly #stop = new AbortController();
  readonly #spares: SpareSockets;
  readonly #pending = new Map<number, Pending>();
  #channel: FdChannel | undefined;
  #outbox: Outbox | undefined;
  #beating: NodeJS.Timeout | undefined;
  #nextId = 0;
  #failures = 0;

  constructor(native: Kernel, options: BrokerClientOptions) {
    this.#native = native;
    this.#options = options;
    this.#spares = new SpareSockets((...asked) => this.#sockets(...asked), native.closeDescriptor);
  }

  get connected(): boolean {
    return this.#channel !== undefined;
  }

  /** Connects, now or as soon as there is a broker. */
  start(): void {
    if (this.#stop.signal.aborted) return;
    try {
      const channel = this.#native.connectChannel(this.#options.socketPath);
      this.#channel = channel;
      this.#outbox = new Outbox(channel, this.#native.closeDescriptor, (error) =>
        this.#lose(channel, error.message),
      );
      channel.receive(
        (message, descriptors) => this.#receive(message, descriptors),
        (error) => this.#lose(channel, error?.message ?? "it ended"),
      );
    } catch (error) {
      if (this.#failures++ === 0) this.#options.onChange(false, (error as Error).message);
      this.#retry();
      return;
    }
    this.#failures = 0;
    const period = Math.min(LONGEST_BEAT_MS, this.#options.agentDownAfter / BEATS_PER_TIME);
    this.#beating = setInterval(() => this.#beat(), period).unref();
    this.#options.onChange(true);
    this.#beat();
  }

  close(): void {
    this.#stop.abort();
    this.#drop("the agent stops");
  }

  async listen(place: Place): Promise<InPodListeners> {
    const { answer, descriptors } = await this.#ask({ op: "listen", ...place });
    const [four, six, ...others] = descriptors;
    const { port4, port6 } = "port4" in answer ? answer : {};
    if (
      port4 === undefined ||
      four === undefined ||
      (six === undefined) !== (port6 === undefined) ||
      others.length > 0
    ) {
      return this.#refuse(descriptors);
    }
    return {
      ipv4: { fd: four, port: port4 },
      ...(six !== undefined && port6 !== undefined && { ipv6: { fd: six, port: port6 } }),
    };
  }

  socket(place: Place, family: Family): Promise<number> {
    return this.#spares.take(place, family);
  }

  async *connections(place: Place, remote?: Uint8Array): AsyncGenerator<readonly TcpConnection[]> {
    let asked = this.#ask({ op: "connections", ...place, ...(remote && { remote }) });
    for (let of: number | undefined; ; ) {
      const { id, answer, descriptors } = await asked;
      if (!("connections" in answer) || descriptors.length > 0) return this.#refuse(descriptors);
      of ??= id;
      yield answer.connections;
      if (!answer.more) return;
      asked = this.#ask({ op: "more", of });
    }
  }

  async destroy(place: Place, connections: readonly TcpConnection[]): Promise<number> {
    let destroyed = 0;
    for (let at = 0; at < connections.length; at += CONNECTIONS_PER_MESSAGE) {
      const some = connections.slice(at, at + CONNECTIONS_PER_MESSAGE);
      const { answer, descriptors } = await this.#ask({ op: "destroy", ...place, connections: some });
      descriptors.forEach(this.#native.closeDescriptor);
      if ("destroyed" in answer) destroyed += answer.destroyed;
    }
    return destroyed;
  }

  async watch(place: Place): Promise<void> {
    await this.#tell({ op: "watch", ...place });
  }

  release(place: Pick<Place, "cookie">): void {
    this.#spares.release(place);
  }

  async #sockets(place: Place, family: Family, count: number): Promise<readonly number[]> {
    const { descriptors } = await this.#ask({ op: "sockets", ...place, family, count });
    return descriptors.length === count ? descriptors : this.#refuse(descriptors);
  }

  /** On the event loop that accepts: if that stands still, so does this. */
  #beat(): void {
    void this.#tell({ op: "beat", agentDownAfter: Math.ceil(this.#options.agentDownAfter) });
  }

  async #tell(body: Body): Promise<void> {
    try {
      const { descriptors } = await this.#ask(body);
      descriptors.forEach(this.#native.closeDescriptor);
    } catch {
      // A broker that is away, which onChange has said, or that knows no such words: it does without.
    }
  }

  #refuse(descriptors: readonly number[]): never {
    descriptors.forEach(this.#native.closeDescriptor);
    throw new Error("ask the broker: it answered something else");
  }

  /** Resolves with the answer to the request, which was `id`, and the descriptors with it. */
  #ask(body: Body): Promise<{ id: number; answer: Answer; descriptors: readonly number[] }> {
    const outbox = this.#outbox;
    if (outbox === undefined) return Promise.reject(new Error("ask the broker: it is not there"));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        this.#pending.delete(id);
      };
      const failed = (error: Error) => {
        end();
        reject(error);
      };
      const answered = (answer: Answer, descriptors: readonly number[]) => {
        end();
        resolve({ id, answer, descriptors });
      };
      const late = () => failed(new Error(`ask the broker: no answer in ${REQUEST_MS / 1000} s`));
      const timer = setTimeout(late, REQUEST_MS);
      this.#pending.set(id, { op: body.op, answered, failed });
      outbox.send(encodeRequest({ id, ...body }));
    });
  }

  #receive(message: Buffer, descriptors: readonly number[]): void {
    const answer = decodeAnswer(message);
    const pending = answer && this.#pending.get(answer.id);
    if (answer !== undefined && pending !== undefined && !("error" in answer)) {
      pending.answered(answer, descriptors);
      return;
    }
    // Too late, nobody waits for it any more; or it failed.
    descriptors.forEach(this.#native.closeDescriptor);
    if (answer !== undefined && "error" in answer)
      pending?.failed(new Error(`ask the broker to ${pending.op}: ${answer.error}`));
  }

  #lose(channel: FdChannel, why: string): void {
    if (this.#channel !== channel) return;
    this.#drop(why);
    this.#failures = 1;
    this.#options.onChange(false, why);
    this.#retry();
  }

  #drop(why: string): void {
    clearInterval(this.#beating);
    this.#outbox?.close();
    this.#outbox = undefined;
    this.#channel?.close();
    this.#channel = undefined;
    // Without the broker there is none: also not one that it has made before.
    this.#spares.clear();
    for (const { failed } of [...this.#pending.values()]) failed(new Error(`ask the broker: ${why}`));
  }

  #retry(): void {
    const pause = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.#failures - 1, 10));
    void this.#options.clock.sleep(pause, this.#stop.signal).then(() => this.start());
  }
}
