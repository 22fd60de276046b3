/**
 * The agent's log: one JSON object a line on stdout, verdicts among them with the constant message "verdict".
 * Writing is asynchronous and bounded: a reader that does not read costs lines, never a verdict or memory.
 */
import pino, { type DestinationStream, type Level, type Logger } from "pino";
import { type VerdictRecord, verdictFields } from "./record.ts";
import { inert } from "./text.ts";

/** Bytes that may wait for a slow reader. */
const MAX_WAITING = 8 << 20;

export const levels = ["trace", "debug", "info", "warn", "error", "fatal"] as const;

export interface AgentLog {
  readonly verdict: (record: VerdictRecord) => void;
  /** `message` is constant; what varies is in `fields`. */
  readonly log: (level: Level, message: string, fields?: Readonly<Record<string, unknown>>) => void;
  /** Lines that were dropped because nobody read them. */
  readonly dropped: () => number;
  /** Writes what waits. For the end of the process. */
  readonly flush: () => void;
}

export function agentLog(
  level: Level,
  destination: DestinationStream & { flushSync?: () => void } = stdout(),
): AgentLog {
  let dropped = 0;
  if ("on" in destination && typeof destination.on === "function") destination.on("drop", () => dropped++);
  const base = {
    base: null,
    level,
    formatters: { level: (_: string, number: number) => ({ level: number }) },
  };
  const plain: Logger = pino(base, destination);
  // A verdict's time is when the kernel decided, not when the line is written.
  const verdicts: Logger = pino(
    { ...base, level: level === "fatal" ? "fatal" : "info", timestamp: false },
    destination,
  );
  return {
    verdict: (record) => verdicts.info(verdictFields(record), "verdict"),
    log: (at, message, fields = {}) => plain[at](readable(fields), message),
    dropped: () => dropped,
    flush: () => destination.flushSync?.(),
  };
}

/** Names and errors in the fields may be what somebody wrote into an object. Lines are kept: JSON shows where they end. */
function readable(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      key,
      typeof value === "string" ? value.split("\n").map(inert).join("\n") : value,
    ]),
  );
}

function stdout() {
  return pino.destination({ fd: 1, sync: false, maxLength: MAX_WAITING });
}
