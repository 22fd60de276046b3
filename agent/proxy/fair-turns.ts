/**
 * Work that pods cause on the one thread that serves all of them. While there is more than a turn's share of it, whoever
 * has caused least is served first: a pod whose policies take long waits for itself, and holds up nobody but for one of
 * its pieces.
 */
const SHARE_MS = 10;

export class FairTurns {
  readonly #now: () => number;
  readonly #waiting = new Map<string, (() => void)[]>();
  /** ms that each has had since nobody waited. */
  readonly #had = new Map<string, number>();
  #left = SHARE_MS;
  #isPlanned = false;

  /** `now`: ms that only ever grow. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** At once, or in a later turn of the event loop; in the order in which they came, among those of one pod. */
  run(pod: string, work: () => void): void {
    if (this.#waiting.size === 0 && this.#left > 0) {
      this.#plan();
      this.#work(pod, work);
      return;
    }
    const queue = this.#waiting.get(pod);
    if (queue === undefined) this.#waiting.set(pod, [work]);
    else queue.push(work);
  }

  /** Whenever some of the share is gone: it comes back then. */
  #plan(): void {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    setImmediate(() => this.#next());
  }

  #next(): void {
    this.#isPlanned = false;
    this.#left = SHARE_MS;
    while (this.#waiting.size > 0 && this.#left > 0) this.#serve(this.#modest());
    if (this.#left < SHARE_MS || this.#waiting.size > 0) this.#plan();
    else this.#had.clear();
  }

  #serve(pod: string): void {
    const queue = this.#waiting.get(pod) ?? [];
    const work = queue.shift();
    if (queue.length === 0) this.#waiting.delete(pod);
    if (work !== undefined) this.#work(pod, work);
  }

  #work(pod: string, work: () => void): void {
    const began = this.#now();
    try {
      work();
    } finally {
      const took = this.#now() - began;
      this.#left -= took;
      this.#had.set(pod, (this.#had.get(pod) ?? 0) + took);
    }
  }

  #modest(): string {
    let [least = ""] = this.#waiting.keys();
    for (const pod of this.#waiting.keys()) if (this.#hadBy(pod) < this.#hadBy(least)) least = pod;
    return least;
  }

  #hadBy(pod: string): number {
    return this.#had.get(pod) ?? 0;
  }
}
