/** Moments as people write them: so long ago, or a time. */
import { InvalidArgumentError } from "commander";

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90s`, `5m`, `1h30m`, `2d` before `now`, or a time such as 2026-11-21T09:00:00Z. In ms since 1970. */
export function parseMoment(text: string, now: number): number | Error {
  if (/^(\d+[smhd])+$/.test(text)) {
    const parts = [...text.matchAll(/(\d+)([smhd])/g)];
    return now - parts.reduce((sum, [, count, unit = ""]) => sum + Number(count) * (UNITS[unit] ?? 0), 0);
  }
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(time)) return time;
  return new Error(`\`${text}\` is no moment: write 90s, 5m, 1h30m, 2d or 2026-11-21T09:00:00Z`);
}

/** An option value. */
export function moment(value: string): number {
  const time = parseMoment(value, Date.now());
  if (time instanceof Error) throw new InvalidArgumentError(`${time.message}.`);
  return time;
}
