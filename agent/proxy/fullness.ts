/**
 * What is full, so that the kernel is told to refuse who wants more of it. It has room again only when an eighth of it is
 * free: a pod at its limit is not told every other moment.
 */
const ROOM = 7 / 8;

export class Fullness {
  readonly #full = new Set<string | undefined>();

  /** `podUid` undefined: what all pods have together. */
  has(podUid: string | undefined): boolean {
    return this.#full.has(podUid);
  }

  /** Whether that has changed, now that `used` of `limit` is taken. */
  update(podUid: string | undefined, used: number, limit: number): boolean {
    const before = this.has(podUid);
    const now = before ? used > Math.min(limit - 1, limit * ROOM) : used >= limit;
    if (now) this.#full.add(podUid);
    else this.#full.delete(podUid);
    return now !== before;
  }
}
