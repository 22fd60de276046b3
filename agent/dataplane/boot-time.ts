/** From the kernel's clock to the calendar. */
import { readFileSync } from "node:fs";

const readUptime = () => readFileSync("/proc/uptime", "utf8");

/** CLOCK_BOOTTIME in ns, as the kernel's programs read it; up to 10 ms behind, never ahead. */
export function bootTimeNs(uptime = readUptime): bigint {
  const [seconds = "", hundredths = ""] = uptime().split(" ")[0]?.split(".") ?? [];
  return BigInt(seconds) * 1_000_000_000n + BigInt(hundredths) * 10_000_000n;
}

/** Milliseconds to add to CLOCK_BOOTTIME to get milliseconds since 1970; exact to 10 ms. */
export function bootTimeOffset(now: () => number, uptime = readUptime): number {
  return now() - Number(uptime().split(" ")[0]) * 1000;
}
