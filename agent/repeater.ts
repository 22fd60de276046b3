/** Runs one task again and again: when asked, when it asks for it, and periodically; never twice at a time. */
import type { Clock } from "./model/clock.ts";

/** Between two runs, so that a burst of changes costs one run. */
const PAUSE_MS = 20;
/** A run is followed by a rest this many times as long: however busy the cluster, runs take a quarter of a core at most. */
const REST = 3;
const LONGEST_REST_MS = 2000;
const FIRST_RETRY_MS = 200;

export class Repeater {
  readonly #clock: Clock;
  readonly #everyMs: number;
  readonly #onError: (error: Error) => void;
  readonly #stop = new AbortController();
  #wake = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(clock: Clock, everyMs: number, onError: (error: Error) => void) {
    this.#clock = clock;
    this.#everyMs = everyMs;
    this.#onError = onError;
  }

  /** `task` returns in how many ms it wants to run again, or undefined for the usual time. */
  start(task: () => Promise<number | undefined>): void {
    this.#running = this.#loop(task);
  }

  /** Something may have changed: a run begins soon, after the one that is under way. */
  again(): void {
    this.#wake.abort();
  }

  /** Resolves when no run is under way any more. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#wake.abort();
    await this.#running;
  }

  async #loop(task: () => Promise<number | undefined>): Promise<void> {
    let failures = 0;
    while (!this.#stop.signal.aborted) {
      // Armed before the run: a change during it means another run.
      this.#wake = new AbortController();
      const began = this.#clock.now();
      let pause = this.#everyMs;
      try {
        pause = Math.min(pause, (await task()) ?? pause);
        failures = 0;
      } catch (error) {
        this.#onError(error instanceof Error ? error : new Error(String(error)));
        pause = Math.min(pause, FIRST_RETRY_MS * 2 ** failures++);
      }
      const rest = Math.min(LONGEST_REST_MS, REST * (this.#clock.now() - began));
      await this.#clock.sleep(Math.max(PAUSE_MS, rest), this.#stop.signal);
      if (!this.#stop.signal.aborted) await this.#clock.sleep(pause, this.#wake.signal);
    }
  }
}
