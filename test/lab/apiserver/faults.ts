/**
 * What can go wrong between a client and its API server, on demand. Every fault says how often it strikes
 * (`times`, once if not said; Infinity until `remove`), so that a test is not left guessing.
 */
import { EventFaults, type EventMatch, type HeldEvents } from "./event-faults.ts";
import { type Fault, injected, matchesRequest, RequestFaults, type RequestMatch } from "./request-faults.ts";
import { expired } from "./status.ts";
import type { Store } from "./store.ts";
import type { WatchStream } from "./watch-stream.ts";

export class Faults {
  /** For the server, as `events` is; tests use the methods below. */
  readonly requests = new RequestFaults();
  readonly events = new EventFaults();
  readonly #store: Store;
  readonly #streams: ReadonlySet<WatchStream>;
  #tokenGeneration = 0;
  #connectionsToReset = 0;

  constructor(store: Store, streams: ReadonlySet<WatchStream>) {
    this.#store = store;
    this.#streams = streams;
  }

  // Requests

  /** Answers with a Status of this code instead of doing what is asked. `retryAfter`: seconds. */
  respond(match: RequestMatch, code: number, options: { retryAfter?: number; times?: number } = {}): Fault {
    const error = injected(code, options.retryAfter);
    return this.requests.add(match, { kind: "respond", error }, options.times ?? 1);
  }

  /** Resets the TCP connection: before any answer, or after the first half of it. */
  reset(match: RequestMatch, options: { when?: "at once" | "mid-reply"; times?: number } = {}): Fault {
    return this.requests.add(match, { kind: "reset", when: options.when ?? "at once" }, options.times ?? 1);
  }

  /** Does what is asked, but later. */
  delay(match: RequestMatch, milliseconds: number, options: { times?: number } = {}): Fault {
    return this.requests.add(match, { kind: "delay", milliseconds }, options.times ?? 1);
  }

  /** Resets the next connections as soon as they are accepted. */
  resetConnections(times = 1): void {
    this.#connectionsToReset = times;
  }

  // Watches that are open now

  /** Ends them properly. Returns how many there were, as the three below do. */
  closeWatches(match: RequestMatch = {}): number {
    return this.#eachWatch(match, (stream) => stream.end());
  }

  resetWatches(match: RequestMatch = {}): number {
    return this.#eachWatch(match, (stream) => stream.reset());
  }

  /** They stay open and say nothing more, like a connection whose peer has vanished. */
  silenceWatches(match: RequestMatch = {}): number {
    return this.#eachWatch(match, (stream) => stream.silence());
  }

  /** Sends an ERROR event with Status 410, then closes the stream or leaves it open. */
  expireWatches(match: RequestMatch = {}, options: { close?: boolean } = {}): number {
    const status = expired("The resourceVersion for the provided watch is too old.").toStatus();
    return this.#eachWatch(match, (stream) => {
      stream.send({ type: "ERROR", object: status });
      if (options.close !== false) stream.end();
    });
  }

  /** Sends a line that need not be an event. */
  sendLine(text: string, match: RequestMatch = {}): number {
    return this.#eachWatch(match, (stream) => stream.sendLine(text));
  }

  // Events on their way to watches

  /** Loses events. Each watch that would have got one counts as a time. */
  dropEvents(match: EventMatch, options: { times?: number } = {}): Fault {
    return this.events.drop(match, options.times ?? 1);
  }

  /** Keeps events back until `release`, which may also turn their order round. */
  holdEvents(match: EventMatch): HeldEvents {
    return this.events.hold(match);
  }

  // Versions

  /** Forgets the history: a watch or a further page from any version known so far gets 410. */
  compact(): void {
    this.#store.history.compact();
  }

  /** Continue tokens handed out so far get 410. */
  expireContinueTokens(): void {
    this.#tokenGeneration++;
  }

  /** Takes back every fault and drops what is held. */
  clear(): void {
    this.requests.clear();
    this.events.clear();
    this.#connectionsToReset = 0;
  }

  // For the server

  get tokenGeneration(): number {
    return this.#tokenGeneration;
  }

  /** Whether a connection just accepted is to be reset. */
  takeConnection(): boolean {
    if (this.#connectionsToReset <= 0) return false;
    this.#connectionsToReset--;
    return true;
  }

  #eachWatch(match: RequestMatch, action: (stream: WatchStream) => void): number {
    const struck = [...this.#streams].filter((stream) => matchesRequest(match, stream.target));
    for (const stream of struck) action(stream);
    return struck.length;
  }
}
