/** What the end-to-end tests need of the machine. */
import { spawnSync } from "node:child_process";

/** Why tests with a real kernel cannot run here; undefined when they can. In CI they must run. */
export function obstacle(): string | undefined {
  return process.getuid?.() === 0 ? undefined : inCi("needs root");
}

/** Why tests with a real kubectl cannot run here; undefined when they can. */
export function kubectlObstacle(): string | undefined {
  const { status, stdout } = spawnSync("kubectl", ["version", "--client", "-o", "json"], {
    encoding: "utf8",
  });
  if (status !== 0) return inCi("needs kubectl 1.27 or newer: there is none");
  const { minor } = (JSON.parse(stdout) as { clientVersion: { minor: string } }).clientVersion;
  return Number.parseInt(minor, 10) >= 27 ? undefined : inCi(`needs kubectl 1.27 or newer: it is 1.${minor}`);
}

/** In CI a test that does not run is a failure. */
function inCi(why: string): string {
  if (process.env.CI) throw new Error(`the end-to-end tests must run in CI: ${why}`);
  console.warn(`skipped: ${why}`);
  return why;
}
