/** What a reflector does after a list or a watch ended, well or not: wait how long, and go on from where. */
import { ApiError } from "./api-error.ts";
import { Backoff } from "./backoff.ts";

export interface Step {
  /** Milliseconds. */
  readonly wait: number;
  /** The place to resume from is lost: list again. */
  readonly relist: boolean;
}

/** A watch that lived so long was a good one: the next failure is a new one. */
const STEADY_MS = 5_000;
/** Servers that start, or differ in version, say 404 for a moment; believing it would open what the objects guard. */
const ABSENT_ANSWERS = 3;
/** So many watches in a row refused by an answer (not by the network): what we resume from may be the reason. */
const REFUSED_WATCHES = 5;

export class Recovery {
  readonly #backoff: Backoff;
  #absentAnswers = 0;
  #refusedWatches = 0;

  constructor(random: () => number) {
    this.#backoff = new Backoff(random);
  }

  /** The server answered as it should. */
  answered(): void {
    this.#absentAnswers = 0;
  }

  watched(outcome: "ended" | "relist", lived: number): Step {
    this.#refusedWatches = 0;
    if (lived >= STEADY_MS) this.#backoff.reset();
    // Servers that end every watch at once would otherwise be asked thousands of times a second.
    const wait = outcome === "ended" && lived >= STEADY_MS ? 0 : this.#backoff.next();
    return { wait, relist: outcome === "relist" };
  }

  watchFailed(error: unknown, lived: number): Step {
    if (lived >= STEADY_MS) this.#backoff.reset();
    return { wait: this.#wait(error), relist: error instanceof ApiError && this.#isRefused(error) };
  }

  listFailed(error: unknown): Step {
    return { wait: this.#wait(error), relist: true };
  }

  /** The server does not know the resource. True once it has said so often enough to be believed. */
  isAbsent(): boolean {
    if (++this.#absentAnswers < ABSENT_ANSWERS) return false;
    this.#backoff.reset();
    return true;
  }

  #wait(error: unknown): number {
    return this.#backoff.next(error instanceof ApiError ? error.retryAfterMs : 0);
  }

  #isRefused({ expired, status }: ApiError): boolean {
    if (expired) return true;
    if (status === 429 || status === 503) return false; // busy; a list would make it worse
    if (status === 404 || status === 400 || status === 422) return true;
    if (++this.#refusedWatches < REFUSED_WATCHES) return false;
    this.#refusedWatches = 0;
    return true;
  }
}
