/** Much work of many, at most eight at a time. */
import type { Turns } from "../dataplane/turns.ts";

const AT_ONCE = 8;
/** 10 ms each. */
const MOST_PAUSES = 10;

/** Work that lets others have their turn at every yield, which says whether it will take long. */
export type Steps<Result = void> = AsyncGenerator<"pause" | "long", Result>;

interface Waiting {
  readonly steps: Steps;
  readonly onLong: () => void;
  readonly onEnd: (error?: unknown) => void;
  pauses: number;
}

/** A step of each after the other. What has come last goes before what takes long. */
export class Rounds {
  readonly #turns: Turns;
  readonly #fresh: Waiting[] = [];
  readonly #long: Waiting[] = [];
  #workers = 0;

  constructor(turns: Turns) {
    this.#turns = turns;
  }

  /** Resolves when it is over, and rejects with what it throws. `onLong`: it takes long; perhaps more than once. */
  run(steps: Steps, onLong: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const onEnd = (error?: unknown) => (error === undefined ? resolve() : reject(error));
      this.#fresh.push({ steps, onLong, onEnd, pauses: 0 });
      if (this.#workers < AT_ONCE) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.#workers++;
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      await this.#step(next);
      if (this.#turns.isOver()) await this.#turns.pause();
    }
    this.#workers--;
  }

  #next(): Waiting | undefined {
    return this.#fresh.shift() ?? this.#long.shift();
  }

  async #step(waiting: Waiting): Promise<void> {
    try {
      const { done, value } = await waiting.steps.next();
      if (done === true) return waiting.onEnd();
      const isLong = value === "long" || ++waiting.pauses > MOST_PAUSES;
      if (isLong) waiting.onLong();
      (isLong ? this.#long : this.#fresh).push(waiting);
    } catch (error) {
      waiting.onEnd(error);
    }
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
