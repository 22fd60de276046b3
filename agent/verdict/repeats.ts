/** Lines about what comes and goes: however often it does, the log has room for others. */
import type { AgentLog } from "./log.ts";

const MOST = 10;
const WINDOW_MS = 60_000;

/**
 * The same log, with ten lines of the same message a minute. The first after more than that says in `suppressed` how many
 * there would have been. `now`: ms.
 */
export function limitRepeats(log: AgentLog["log"], now: () => number): AgentLog["log"] {
  const windows = new Map<string, { start: number; lines: number; suppressed: number }>();
  return (level, message, fields) => {
    const time = now();
    const window = windows.get(message) ?? { start: time, lines: 0, suppressed: 0 };
    windows.set(message, window);
    if (time - window.start >= WINDOW_MS || time < window.start) {
      window.start = time;
      window.lines = 0;
    }
    if (window.lines >= MOST) {
      window.suppressed += 1;
      return;
    }
    window.lines += 1;
    const { suppressed } = window;
    window.suppressed = 0;
    log(level, message, suppressed === 0 ? fields : { ...fields, suppressed });
  };
}
