/**
 * How many of something there may be at a time: of one pod, and of all together. When all of it is taken, a pod that has
 * fewer takes the place of the last that came of the pod that has most. So nobody is kept out by what others hold, and
 * nobody loses what is not more than the newcomer has.
 */
import { Fullness } from "./fullness.ts";

export interface Limits {
  readonly perPod: number;
  readonly all: number;
}

export interface Holder {
  readonly podUid: string;
  /** Its place is another's now: it has to end at once. */
  displace(): void;
}

const none: ReadonlySet<Holder> = new Set();

export class Quota {
  readonly #limits: Limits;
  readonly #onChange: (podUid: string | undefined) => void;
  /** By pod, in the order in which they came. */
  readonly #holders = new Map<string, Set<Holder>>();
  /** How many pods have so many. */
  readonly #having: number[] = [];
  readonly #full = new Fullness();
  #all = 0;
  #most = 0;

  /** `onChange`: `isFull` may be another for that pod; undefined: for any. */
  constructor(limits: Limits, onChange: (podUid: string | undefined) => void = () => {}) {
    this.#limits = limits;
    this.#onChange = onChange;
  }

  get size(): number {
    return this.#all;
  }

  of(podUid: string): number {
    return (this.#holders.get(podUid) ?? none).size;
  }

  hasRoom(podUid: string): boolean {
    const isModest = this.#all < this.#limits.all || this.#isModest(podUid);
    return isModest && this.of(podUid) < this.#limits.perPod;
  }

  /** Whether the kernel shall send no more of that pod. */
  isFull(podUid: string): boolean {
    return this.#full.has(podUid) || (this.#full.has(undefined) && !this.#isModest(podUid));
  }

  /** False: there is no room, and none is taken. */
  take(holder: Holder): boolean {
    const { podUid } = holder;
    if (!this.hasRoom(podUid)) return false;
    if (this.#all >= this.#limits.all) this.#displace();
    const before = this.#most;
    const holders = this.#holders.get(podUid) ?? new Set();
    this.#holders.set(podUid, holders.add(holder));
    this.#all += 1;
    this.#count(holders.size - 1, -1);
    this.#count(holders.size, 1);
    this.#most = Math.max(this.#most, holders.size);
    this.#tell(podUid, before);
    return true;
  }

  /** Nothing happens if it has no room. */
  give(holder: Holder): void {
    const { podUid } = holder;
    const holders = this.#holders.get(podUid);
    if (holders === undefined || !holders.delete(holder)) return;
    const before = this.#most;
    if (holders.size === 0) this.#holders.delete(podUid);
    this.#all -= 1;
    this.#count(holders.size + 1, -1);
    this.#count(holders.size, 1);
    if (this.#having[this.#most] === 0) this.#most -= 1;
    this.#tell(podUid, before);
  }

  /** With one more it would still have fewer than the pod that has most. */
  #isModest(podUid: string): boolean {
    return this.of(podUid) + 1 < this.#most;
  }

  #displace(): void {
    for (const holders of this.#holders.values()) {
      if (holders.size < this.#most) continue;
      const last = [...holders].at(-1);
      if (last === undefined) continue;
      this.give(last);
      last.displace();
      return;
    }
  }

  #count(taken: number, pods: number): void {
    this.#having[taken] = (this.#having[taken] ?? 0) + pods;
  }

  #tell(podUid: string, mostBefore: number): void {
    const { perPod, all } = this.#limits;
    const ofAll = this.#full.update(undefined, this.#all, all);
    const ofPod = this.#full.update(podUid, this.of(podUid), perPod);
    const isFull = this.#full.has(undefined);
    if (ofAll || (isFull && this.#most !== mostBefore)) this.#onChange(undefined);
    else if (ofPod || isFull) this.#onChange(podUid);
  }
}
