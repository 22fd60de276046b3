/** Much work of many, at most eight at a time. */
import type { Turns } from "../dataplane/turns.ts";

const AT_ONCE = 8;
/** 10 ms each, or one evaluation. */
const MOST_PAUSES = 2;

/** Work that lets others have their turn at every yield, which says whether it will take long. */
export type Steps<Result = void> = AsyncGenerator<"pause" | "long", Result>;

interface Work {
  readonly name: string;
  readonly steps: Steps;
  readonly stopWaiting: () => void;
  pauses: number;
}

export interface Failure {
  readonly error: Error;
  /** One after the other. */
  readonly times: number;
}

/** A step of each after the other. What has come last goes before what takes long. */
export class Rounds {
  readonly #turns: Turns;
  readonly #fresh: Work[] = [];
  readonly #long: Work[] = [];
  /** What is under way, by name, and what to do afterwards. */
  readonly #busy = new Map<string, { next: (() => Steps) | undefined }>();
  readonly #failures = new Map<string, Failure>();
  #workers = 0;

  constructor(turns: Turns) {
    this.#turns = turns;
  }

  /** Something takes so long that nobody has waited for its end. */
  get isBusy(): boolean {
    return this.#busy.size > 0;
  }

  /** Of what failed when it was last done, by name. */
  get failures(): ReadonlyMap<string, Failure> {
    return this.#failures;
  }

  forget(isGone: (name: string) => boolean): void {
    for (const name of this.#failures.keys()) if (isGone(name)) this.#failures.delete(name);
  }

  /**
   * Resolves when it is over, or takes long and goes on by itself. What bears the name of something that is under way
   * is done afterwards, and nobody waits for it.
   */
  run(name: string, begin: () => Steps): Promise<void> {
    const busy = this.#busy.get(name);
    if (busy !== undefined) {
      busy.next = begin;
      return Promise.resolve();
    }
    this.#busy.set(name, { next: undefined });
    return new Promise((resolve) => this.#begin(name, begin, resolve));
  }

  #begin(name: string, begin: () => Steps, stopWaiting: () => void): void {
    this.#fresh.push({ name, steps: begin(), stopWaiting, pauses: 0 });
    if (this.#workers < AT_ONCE) void this.#work();
  }

  async #work(): Promise<void> {
    this.#workers++;
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      await this.#step(next);
      if (this.#turns.isOver()) await this.#turns.pause();
    }
    this.#workers--;
  }

  #next(): Work | undefined {
    return this.#fresh.shift() ?? this.#long.shift();
  }

  async #step(work: Work): Promise<void> {
    const { name, steps, stopWaiting } = work;
    try {
      const { done, value } = await steps.next();
      if (done !== true) {
        const isLong = value === "long" || ++work.pauses > MOST_PAUSES;
        if (isLong) stopWaiting();
        (isLong ? this.#long : this.#fresh).push(work);
        return;
      }
      this.#failures.delete(name);
    } catch (error) {
      this.#failures.set(name, {
        error: error as Error,
        times: (this.#failures.get(name)?.times ?? 0) + 1,
      });
    }
    this.#end(work);
  }

  #end({ name, stopWaiting }: Work): void {
    const busy = this.#busy.get(name);
    if (busy?.next !== undefined) {
      this.#begin(name, busy.next, stopWaiting);
      busy.next = undefined;
      return;
    }
    this.#busy.delete(name);
    stopWaiting();
  }
}

/** Rejects with the first error, when all that had begun is over. */
export async function inParallel<T>(waiting: Iterable<T>, work: (each: T) => Promise<void>): Promise<void> {
  const queue = waiting[Symbol.iterator]();
  const worker = async () => {
    for (let next = queue.next(); next.done !== true; next = queue.next()) await work(next.value);
  };
  const results = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
