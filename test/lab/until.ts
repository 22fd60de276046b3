/** Waits for something to become true, and says what it waited for if it does not. */
import { setTimeout as sleep } from "node:timers/promises";

export interface Patience {
  readonly timeoutMs?: number;
  readonly intervalMs?: number;
}

/** Resolves with the first value that is neither undefined nor false. `detail` says how things stand when time is up. */
export async function until<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  { timeoutMs = 20_000, intervalMs = 10 }: Patience = {},
  detail: () => string = () => "",
): Promise<T> {
  for (const deadline = Date.now() + timeoutMs; ; ) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > deadline)
      throw new Error(`wait ${timeoutMs} ms for ${what}: it did not happen${detail()}`);
    await sleep(intervalMs);
  }
}
