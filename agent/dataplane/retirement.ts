/** Deletions that must wait until no program can still be looking: the grace period. */
import type { Clock } from "../model/clock.ts";

export class Retirement {
  readonly #clock: Clock;
  readonly #graceMs: number;
  readonly #queue: { readonly due: number; readonly action: () => void }[] = [];

  constructor(clock: Clock, graceMs: number) {
    this.#clock = clock;
    this.#graceMs = graceMs;
  }

  add(action: () => void): void {
    this.#queue.push({ due: this.#clock.now() + this.#graceMs, action });
  }

  /** Runs what is due. Returns ms until the next one, or undefined if there is none. */
  sweep(): number | undefined {
    const now = this.#clock.now();
    for (let next = this.#queue[0]; next !== undefined && next.due <= now; next = this.#queue[0]) {
      this.#queue.shift();
      next.action();
    }
    const next = this.#queue[0];
    return next === undefined ? undefined : next.due - now;
  }

  /** Forgets what is left: the kernel's state is about to be read anew, and garbage is then found again. */
  clear(): void {
    this.#queue.length = 0;
  }
}
