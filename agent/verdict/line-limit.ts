/** How many verdict lines one caller may fill the log with: the kernel's own limit, for who decides elsewhere. */

/** A caller's lines about all guards together, as a multiple of those about one. */
const OF_ALL = 10;
const WINDOW_MS = 1000;
/** Pairs that are remembered. Forgetting one costs a line more, or a count. */
const MOST = 1 << 14;
/** Stands for all guards of a caller; no guard has the number. */
const ALL = 0;

interface Window {
  start: number;
  lines: number;
  suppressed: number;
}

export class LineLimit {
  readonly #perSecond: number;
  readonly #windows = new Map<string, Window>();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** How many of the pair had no line since its last one; undefined: this one gets none either. `now`: ms. */
  take(caller: bigint, guard: number, now: number): number | undefined {
    const own = this.#window(`${caller}/${guard}`, now);
    const all = this.#window(`${caller}/${ALL}`, now);
    if (own.lines >= this.#perSecond || all.lines >= this.#perSecond * OF_ALL) {
      own.suppressed += 1;
      return undefined;
    }
    own.lines += 1;
    all.lines += 1;
    const { suppressed } = own;
    own.suppressed = 0;
    return suppressed;
  }

  #window(key: string, now: number): Window {
    const window = this.#windows.get(key) ?? { start: now, lines: 0, suppressed: 0 };
    // The latest used is the last to be forgotten.
    this.#windows.delete(key);
    this.#windows.set(key, window);
    if (now - window.start >= WINDOW_MS || now < window.start) {
      window.start = now;
      window.lines = 0;
    }
    for (const oldest of this.#windows.keys()) {
      if (this.#windows.size <= MOST) break;
      this.#windows.delete(oldest);
    }
    return window;
  }
}
