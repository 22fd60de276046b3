/**
 * What can go wrong between a client and its API server, on demand. Every fault says how often it strikes
 * (`times`, once if not said; Infinity until `remove`), so that a test is not left guessing.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { EventFaults, type EventMatch, type HeldEvents } from "./event-faults.ts";
import type { Target, Verb } from "./paths.ts";
import { ApiError, expired } from "./status.ts";
import type { Store } from "./store.ts";
import type { WatchStream } from "./watch-stream.ts";

/** Which requests; what is not said matches all. */
export interface RequestMatch {
  /** `pods`, `endpointslices.discovery.k8s.io`. */
  readonly resource?: string;
  readonly verb?: Verb | readonly Verb[];
  readonly namespace?: string;
  readonly name?: string;
}

export interface Fault {
  /** How often it struck. */
  readonly hits: number;
  remove(): void;
}

interface RequestFault {
  readonly match: RequestMatch;
  readonly strike: Strike;
  left: number;
  hits: number;
}

type Strike =
  | { readonly kind: "respond"; readonly error: ApiError }
  | { readonly kind: "reset"; readonly when: "at once" | "mid-reply" }
  | { readonly kind: "delay"; readonly milliseconds: number };

export class Faults {
  readonly events = new EventFaults();
  readonly #store: Store;
  readonly #streams: ReadonlySet<WatchStream>;
  readonly #requests = new Set<RequestFault>();
  #tokenGeneration = 0;
  #connectionsToReset = 0;

  constructor(store: Store, streams: ReadonlySet<WatchStream>) {
    this.#store = store;
    this.#streams = streams;
  }

  // Requests

  /** Answers with a Status of this code instead of doing what is asked. `retryAfter`: seconds. */
  respond(match: RequestMatch, code: number, options: { retryAfter?: number; times?: number } = {}): Fault {
    const details = options.retryAfter === undefined ? {} : { retryAfterSeconds: options.retryAfter };
    const error = new ApiError(code, reasons[code] ?? "Unknown", `injected fault ${code}`, details);
    return this.#add(match, { kind: "respond", error }, options.times);
  }

  /** Resets the TCP connection: before any answer, or after the first half of it. */
  reset(match: RequestMatch, options: { when?: "at once" | "mid-reply"; times?: number } = {}): Fault {
    return this.#add(match, { kind: "reset", when: options.when ?? "at once" }, options.times);
  }

  /** Does what is asked, but later. */
  delay(match: RequestMatch, milliseconds: number, options: { times?: number } = {}): Fault {
    return this.#add(match, { kind: "delay", milliseconds }, options.times);
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

  /** Loses events. */
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
    this.#requests.clear();
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

  /** Lets the faults of a request strike. False: the connection is gone, answer nothing. Throws the injected failure. */
  async strike(target: Target, request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    for (const fault of [...this.#requests]) {
      if (!this.#requests.has(fault) || !matches(fault.match, target)) continue;
      fault.hits++;
      fault.left--;
      if (fault.left <= 0) this.#requests.delete(fault);
      const { strike } = fault;
      if (strike.kind === "respond") throw strike.error;
      if (strike.kind === "delay") await new Promise((resolve) => setTimeout(resolve, strike.milliseconds));
      else if (strike.when === "mid-reply") resetHalfway(response);
      else {
        request.socket.resetAndDestroy();
        return false;
      }
    }
    return !response.destroyed;
  }

  #add(match: RequestMatch, strike: Strike, times = 1): Fault {
    const fault: RequestFault = { match, strike, left: times, hits: 0 };
    this.#requests.add(fault);
    const remove = () => void this.#requests.delete(fault);
    return {
      get hits() {
        return fault.hits;
      },
      remove,
    };
  }

  #eachWatch(match: RequestMatch, action: (stream: WatchStream) => void): number {
    const struck = [...this.#streams].filter((stream) => matches(match, stream.target));
    for (const stream of struck) action(stream);
    return struck.length;
  }
}

const reasons: Readonly<Record<number, string>> = {
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  409: "Conflict",
  410: "Expired",
  429: "TooManyRequests",
  500: "InternalError",
  503: "ServiceUnavailable",
  504: "Timeout",
};

function matches(match: RequestMatch, target: Target): boolean {
  const verbs = match.verb === undefined ? [target.verb] : [match.verb].flat();
  return (
    (match.resource ?? target.resourceName) === target.resourceName &&
    verbs.includes(target.verb) &&
    (match.namespace ?? target.namespace) === target.namespace &&
    (match.name ?? target.name) === target.name
  );
}

/** The reply announces its full length; its reader gets half of it, then a reset. */
function resetHalfway(response: ServerResponse): void {
  response.end = ((body?: unknown) => {
    const half = body instanceof Buffer ? body.subarray(0, body.length >> 1) : "";
    response.write(half, () => response.socket?.resetAndDestroy());
    return response;
  }) as ServerResponse["end"];
}
