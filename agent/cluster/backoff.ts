/** How long to stay away after a failure: doubles, and is never the same for two agents. */

const FIRST_MS = 400;
const LONGEST_MS = 30_000;

export class Backoff {
  #failures = 0;
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Milliseconds to wait now: half to one and a half of 0.4, 0.8, 1.6 ... 30 s, and no less than the server asked for. */
  next(atLeastMs = 0): number {
    const ms = Math.min(FIRST_MS * 2 ** this.#failures++, LONGEST_MS);
    // A thousand agents that were told "retry after 5 s" must not all come back in that millisecond.
    return Math.max(jitter(ms, this.#random), atLeastMs * (1 + this.#random() / 2));
  }

  reset(): void {
    this.#failures = 0;
  }
}

/** `ms`, more or less: between a half and one and a half of it. */
export function jitter(ms: number, random: () => number): number {
  return ms * (0.5 + random());
}
