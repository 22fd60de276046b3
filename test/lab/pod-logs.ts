/** Reads what containers wrote: the files behind `kubectl logs`. */
import { closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs";
import { StringDecoder } from "node:string_decoder";
import { setTimeout as sleep } from "node:timers/promises";

export interface LogRequest {
  readonly follow: boolean;
  /** Last lines only. */
  readonly tailLines?: number;
  readonly limitBytes?: number;
  /** Aborted when the reader leaves. */
  readonly signal: AbortSignal;
}

const CHUNK = 64 * 1024;
const FOLLOW_MS = 50;

/**
 * The text of one run of a container, and what it still writes where the request says follow. `isRunning` tells
 * whether the run goes on. The lab keeps no time per line, so `sinceSeconds` and `timestamps` change nothing.
 */
export async function* readLog(
  path: string,
  request: LogRequest,
  isRunning: () => boolean,
): AsyncGenerator<string> {
  const file = openSync(path, "r");
  const decoder = new StringDecoder("utf8");
  let left = request.limitBytes ?? Number.POSITIVE_INFINITY;
  try {
    let position = request.tailLines === undefined ? 0 : tailStart(file, request.tailLines);
    while (!request.signal.aborted && left > 0) {
      // Asked before reading: what was written before the end is read all the same.
      const running = isRunning();
      const chunk = Buffer.alloc(Math.min(CHUNK, left));
      const size = readSync(file, chunk, 0, chunk.length, position);
      position += size;
      left -= size;
      if (size > 0) yield decoder.write(chunk.subarray(0, size));
      else if (!request.follow || !running) return;
      else await sleep(FOLLOW_MS, undefined, { signal: request.signal }).catch(() => {});
    }
  } finally {
    closeSync(file);
  }
}

/** Where the last `lines` lines begin. */
function tailStart(file: number, lines: number): number {
  const end = fstatSync(file).size;
  if (lines === 0) return end;
  let found = 0;
  for (let from = end; from > 0; ) {
    const size = Math.min(CHUNK, from);
    from -= size;
    const chunk = Buffer.alloc(size);
    readSync(file, chunk, 0, size, from);
    for (let index = size - 1; index >= 0; index--) {
      if (chunk[index] !== 0x0a || from + index === end - 1) continue;
      found++;
      if (found === lines) return from + index + 1;
    }
  }
  return 0;
}

/** The newest run's number, or the one before it; undefined if there was none. */
export function runToRead(directory: string, previous: boolean): number | undefined {
  let count = 0;
  while (existsSync(`${directory}/${count}.log`)) count++;
  const run = count - (previous ? 2 : 1);
  return run < 0 ? undefined : run;
}
