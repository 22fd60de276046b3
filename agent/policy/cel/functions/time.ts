/** The parts of timestamps, in UTC or a time zone, and of durations. */
import { reading, SCALAR } from "../shape.ts";
import type { Duration, Timestamp } from "../time.ts";
import { Failure, type Value } from "../value.ts";
import { overload } from "./overload.ts";

const DAY = 86_400_000;

/** All of them take the date as if it were in UTC. */
const PARTS: Readonly<Record<string, (date: Date) => number>> = {
  getFullYear: (date) => date.getUTCFullYear(),
  getMonth: (date) => date.getUTCMonth(),
  getDate: (date) => date.getUTCDate(),
  getDayOfMonth: (date) => date.getUTCDate() - 1,
  getDayOfWeek: (date) => date.getUTCDay(),
  getDayOfYear: (date) => {
    const newYear = new Date(date);
    newYear.setUTCMonth(0, 1);
    return Math.round((date.getTime() - newYear.getTime()) / DAY);
  },
  getHours: (date) => date.getUTCHours(),
  getMinutes: (date) => date.getUTCMinutes(),
  getSeconds: (date) => date.getUTCSeconds(),
  getMilliseconds: (date) => date.getUTCMilliseconds(),
};

const WHOLE: Readonly<Record<string, bigint>> = {
  getHours: 3_600_000_000_000n,
  getMinutes: 60_000_000_000n,
  getSeconds: 1_000_000_000n,
};

export const TIMES = [
  ...Object.entries(PARTS).flatMap(([name, part]) => [
    overload(`timestamp.${name}(): int`, (time: Timestamp) =>
      BigInt(part(new Date(Number(time.milliseconds)))),
    ),
    overload(
      `timestamp.${name}(string): int`,
      (time: Timestamp, zone: string) => partIn(zone, time, part),
      // Measured: making the calendar of a named zone takes some 100 microseconds.
      (operands) => ({ work: 1_000 + reading(operands), result: SCALAR }),
    ),
  ]),
  ...Object.entries(WHOLE).map(([name, unit]) =>
    overload(`duration.${name}(): int`, (length: Duration) => length.nanoseconds / unit),
  ),
  overload(
    "duration.getMilliseconds(): int",
    (length: Duration) => (length.nanoseconds % 1_000_000_000n) / 1_000_000n,
  ),
];

function partIn(zone: string, time: Timestamp, part: (date: Date) => number): Value | Failure {
  const ahead = offset(zone, time);
  if (ahead instanceof Failure) return ahead;
  return BigInt(part(new Date(Number(time.milliseconds) + ahead * 1_000)));
}

/** Seconds that the clocks of `zone` are ahead of UTC at `time`. */
function offset(zone: string, time: Timestamp): number | Failure {
  const [, sign, hours, minutes] = /^([+-]?)(\d{1,2}):(\d{2})$/.exec(zone) ?? [];
  if (hours !== undefined && minutes !== undefined) {
    const exists = Number(hours) <= 23 && Number(minutes) <= 59;
    return exists ? inSeconds(sign, hours, minutes, "0") : unknownZone(zone);
  }
  if (!/^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/.test(zone)) return unknownZone(zone);
  try {
    const format = new Intl.DateTimeFormat("en-US", { timeZone: zone, timeZoneName: "longOffset" });
    const name = format.formatToParts(Number(time.milliseconds)).find(({ type }) => type === "timeZoneName");
    // Before there were time zones, clocks went by the sun: to the second.
    const [, ahead, h, m, s] = /^GMT(?:([+-])(\d+):(\d+)(?::(\d+))?)?$/.exec(name?.value ?? "") ?? [];
    return inSeconds(ahead, h, m, s);
  } catch {
    return unknownZone(zone);
  }
}

function inSeconds(sign: string | undefined, hours = "0", minutes = "0", seconds = "0"): number {
  const size = Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds);
  return sign === "-" ? -size : size;
}

function unknownZone(zone: string): Failure {
  return new Failure(`there is no time zone \`${zone.slice(0, 64)}\``);
}
