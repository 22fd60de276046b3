/**
 * Of which pods the kernel shall send no more connections here, and why: it then refuses them at connect(). What is full
 * has room again only when an eighth of it is free, so that a pod at its limit is not told every other moment.
 */

/** Connections that are open; those not joined yet; notes of connects that nobody accepts. */
export type Cause = "open" | "pending" | "waiting";

const ROOM = 7 / 8;

/** Whether what was full (or not) is so with `used` of `limit`. */
function isFull(used: number, limit: number, before: boolean): boolean {
  return before ? used > Math.min(limit - 1, limit * ROOM) : used >= limit;
}

export class OverLimit {
  readonly #full: Readonly<Record<Cause, Set<string | undefined>>> = {
    open: new Set(),
    pending: new Set(),
    waiting: new Set(),
  };
  readonly #onChange: (podUid: string | undefined) => void;

  /** `onChange`: ask again about that pod; undefined: about all. */
  constructor(onChange: (podUid: string | undefined) => void) {
    this.#onChange = onChange;
  }

  has(podUid: string): boolean {
    return Object.values(this.#full).some((pods) => pods.has(podUid) || pods.has(undefined));
  }

  /** `podUid` undefined: what all pods have together. */
  update(cause: Cause, podUid: string | undefined, used: number, limit: number): void {
    const pods = this.#full[cause];
    const before = pods.has(podUid);
    if (isFull(used, limit, before) === before) return;
    if (before) pods.delete(podUid);
    else pods.add(podUid);
    this.#onChange(podUid);
  }
}
