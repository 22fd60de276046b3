/** Much work of many, at most eight at a time. */
import type { Turns } from "../dataplane/turns.ts";

const AT_ONCE = 8;

/** Work that lets others have their turn at every yield. Never throws. */
export type Steps = AsyncGenerator<undefined, void>;

/** A step of each after the other, until all are over, however many some of them take. */
export async function byTurns(all: readonly Steps[], turns: Turns): Promise<void> {
  const queue = [...all];
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { done } = await next.next();
      if (turns.isOver()) await turns.pause();
      if (done !== true) queue.push(next);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
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
