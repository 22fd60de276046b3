/** How many of something there may be at a time: of one pod, and of all together. */

export interface Limits {
  readonly perPod: number;
  readonly all: number;
}

/** How much is taken: of one pod, or with undefined of all together. */
export type OnQuota = (pod: string | undefined, taken: number, limit: number) => void;

export class Quota {
  readonly #limits: Limits;
  readonly #onChange: OnQuota;
  readonly #taken = new Map<string, number>();
  #all = 0;

  constructor(limits: Limits, onChange: OnQuota = () => {}) {
    this.#limits = limits;
    this.#onChange = onChange;
  }

  get size(): number {
    return this.#all;
  }

  of(pod: string): number {
    return this.#taken.get(pod) ?? 0;
  }

  /** False: there is no room, and none is taken. */
  take(pod: string): boolean {
    if (this.of(pod) >= this.#limitOfOne) return false;
    this.#all += 1;
    this.#taken.set(pod, this.of(pod) + 1);
    this.#tell(pod);
    return true;
  }

  /** Once for each time it was taken. */
  give(pod: string): void {
    const taken = this.of(pod);
    if (taken === 0) throw new RangeError(`give back room of pod ${pod}: it has none`);
    this.#all -= 1;
    if (taken === 1) this.#taken.delete(pod);
    else this.#taken.set(pod, taken - 1);
    this.#tell(pod);
  }

  /** No more than is still free: however many pods take all they get, there is something left for who comes next. */
  get #limitOfOne(): number {
    return Math.min(this.#limits.perPod, this.#limits.all - this.#all);
  }

  #tell(pod: string): void {
    this.#onChange(pod, this.of(pod), this.#limits.perPod);
    this.#onChange(undefined, this.#all, this.#limits.all);
  }
}
