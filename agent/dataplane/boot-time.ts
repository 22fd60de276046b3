/** From the kernel's clock to the calendar. */
import { readFileSync } from "node:fs";

/** Milliseconds to add to CLOCK_BOOTTIME to get milliseconds since 1970; exact to 10 ms. */
export function bootTimeOffset(
  now: () => number,
  uptime = () => readFileSync("/proc/uptime", "utf8"),
): number {
  return now() - Number(uptime().split(" ")[0]) * 1000;
}
