/** CEL's timestamps and durations: nanoseconds, within the ranges the specification gives. */
import { Failure } from "./value.ts";

const SECOND = 1_000_000_000n;
/** 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999999Z. */
const MIN_TIME = -62_135_596_800n * SECOND;
const MAX_TIME = 253_402_300_800n * SECOND - 1n;
/** What 64 bits of nanoseconds hold: some 292 years. */
const MAX_DURATION = 2n ** 63n - 1n;
const UNITS: ReadonlyMap<string, bigint> = new Map([
  ["h", 3_600n * SECOND],
  ["m", 60n * SECOND],
  ["s", SECOND],
  ["ms", 1_000_000n],
  ["us", 1_000n],
  ["µs", 1_000n],
  ["μs", 1_000n],
  ["ns", 1n],
]);

export class Timestamp {
  /** Since 1970. */
  readonly nanoseconds: bigint;

  constructor(nanoseconds: bigint) {
    this.nanoseconds = nanoseconds;
  }

  /** Whole seconds since 1970, rounded down. */
  get seconds(): bigint {
    return floorDivide(this.nanoseconds, SECOND);
  }

  get milliseconds(): bigint {
    return floorDivide(this.nanoseconds, 1_000_000n);
  }

  /** RFC 3339 in UTC, with as many digits of a second as it takes. */
  toString(): string {
    const whole = new Date(Number(this.seconds) * 1_000).toISOString().slice(0, 19);
    return `${whole}${fraction(this.nanoseconds - this.seconds * SECOND)}Z`;
  }
}

export class Duration {
  readonly nanoseconds: bigint;

  constructor(nanoseconds: bigint) {
    this.nanoseconds = nanoseconds;
  }

  /** Seconds, with as many digits as it takes: `-1.5s`. */
  toString(): string {
    const size = this.nanoseconds < 0n ? -this.nanoseconds : this.nanoseconds;
    return `${this.nanoseconds < 0n ? "-" : ""}${size / SECOND}${fraction(size % SECOND)}s`;
  }
}

export function timestamp(nanoseconds: bigint): Timestamp | Failure {
  if (nanoseconds >= MIN_TIME && nanoseconds <= MAX_TIME) return new Timestamp(nanoseconds);
  return new Failure("timestamp out of range: use the years 1 to 9999");
}

export function timestampFromSeconds(seconds: bigint): Timestamp | Failure {
  return timestamp(seconds * SECOND);
}

export function timestampFromDate(date: Date): Timestamp | Failure {
  const milliseconds = date.getTime();
  return Number.isNaN(milliseconds)
    ? new Failure("the time is not a valid date")
    : timestamp(BigInt(milliseconds) * 1_000_000n);
}

export function duration(nanoseconds: bigint): Duration | Failure {
  if (nanoseconds >= -MAX_DURATION - 1n && nanoseconds <= MAX_DURATION) return new Duration(nanoseconds);
  return new Failure("duration out of range: use at most 292 years");
}

/** RFC 3339. */
export function parseTimestamp(text: string): Timestamp | Failure {
  const parts =
    /^(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$/.exec(
      text,
    );
  const [, day = "", time = "", digits = "", zone = ""] = parts ?? [];
  const milliseconds = Date.parse(`${day}T${time}${zone.toUpperCase()}`);
  // Date.parse takes the 31st of February for the 3rd of March.
  const exists = new Date(Date.parse(`${day}T00:00:00Z`) || 0).toISOString().startsWith(day);
  if (parts === null || Number.isNaN(milliseconds) || !exists || time.startsWith("24")) {
    return new Failure("the text is no timestamp: write it as 2006-01-02T15:04:05Z");
  }
  return timestamp(BigInt(milliseconds) * 1_000_000n + BigInt(digits.padEnd(9, "0")));
}

/** Go's form: a sign, then numbers with units, such as `1h30m`, `-1.5s`; or `0`. */
export function parseDuration(text: string): Duration | Failure {
  const wrong = new Failure("the text is no duration: write it as 1h30m, 90s or 1.5ms");
  const [, sign = "", body = ""] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  if (body === "0") return new Duration(0n);
  if (text.length > 100 || !/^((\d+(\.\d*)?|\.\d+)(h|ms|us|µs|μs|ns|m|s))+$/.test(body)) return wrong;
  let total = 0n;
  for (const [, whole = "", digits = "", name = ""] of body.matchAll(/(\d*)(?:\.(\d*))?([a-zµμ]+)/g)) {
    const unit = UNITS.get(name) ?? 0n;
    total += BigInt(whole || "0") * unit + (BigInt(digits || "0") * unit) / 10n ** BigInt(digits.length);
  }
  return duration(sign === "-" ? -total : total);
}

function fraction(nanoseconds: bigint): string {
  if (nanoseconds === 0n) return "";
  return `.${nanoseconds.toString().padStart(9, "0").replace(/0+$/, "")}`;
}

function floorDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value % by < 0n ? quotient - 1n : quotient;
}
