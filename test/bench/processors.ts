/** How long processes have run on a processor, all their threads together. */
import { readdirSync, readFileSync } from "node:fs";

/** The function returned says how many seconds they have run since. */
export function watchProcessors(pids: readonly number[]): () => number {
  const before = processorTime(pids);
  return () => processorTime(pids) - before;
}

/** In seconds; the kernel counts it in nanoseconds. */
function processorTime(pids: readonly number[]): number {
  const nanoseconds = pids.flatMap((pid) =>
    readdirSync(`/proc/${pid}/task`).map((task) => {
      try {
        return Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]);
      } catch {
        return 0; // a thread that has ended meanwhile
      }
    }),
  );
  return nanoseconds.reduce((sum, each) => sum + each, 0) / 1e9;
}
