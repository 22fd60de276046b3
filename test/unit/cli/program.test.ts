import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, type MockInstance, test, vi } from "vitest";
import { run } from "../../../agent/cli/program.ts";

let out: MockInstance;
let err: MockInstance;

beforeEach(() => {
  out = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  err = vi.spyOn(process.stderr, "write").mockReturnValue(true);
});
afterEach(() => vi.restoreAllMocks());

const text = (stream: MockInstance) => stream.mock.calls.map(([chunk]) => String(chunk)).join("");

test.each([
  [["agent", "--log-level", "loud"], "use one of trace, debug, info, warn, error, fatal"],
  [["agent", "--events-per-second", "many"], "use a whole number"],
  [["agent", "--trusted-namespaces", "Default"], "`Default` is not a namespace name"],
  [["agent", "--host-network-identity", "ip"], "use one of none, cgroup"],
  [["agent", "--no-such-flag"], "unknown option '--no-such-flag'"],
  [["agent", "--node-name"], "option '--node-name <name>' argument missing"],
  [["agent", "one-more"], "too many arguments"],
  [["check", "-o", "yaml"], "use one of table, json"],
  [["check", "--state-dir", "/run"], "unknown option '--state-dir'"],
  [["cleanup", "now"], "too many arguments"],
  [["frobnicate"], "unknown command 'frobnicate'"],
  [["agnet"], "unknown command 'agnet' (Did you mean agent?)"],
])("%j is wrong usage: status 2 and one line that says what is wrong", async (args, message) => {
  expect(await run(args)).toBe(2);
  expect(text(out)).toBe("");
  expect(text(err)).toMatch(/^podgate: [^\n]+\n$/);
  expect(text(err)).toContain(message);
});

test.each([["agent"], ["check"], ["cleanup"]])("`%s --help` has an example and status 0", async (command) => {
  expect(await run([command, "--help"])).toBe(0);
  expect(text(out)).toContain(`Usage: podgate ${command}`);
  expect(text(out)).toContain(`Example:\n  podgate ${command}`);
  expect(text(err)).toBe("");
});

test("--help lists every command, and no command at all is wrong usage", async () => {
  expect(await run(["--help"])).toBe(0);
  for (const command of ["agent", "check", "cleanup"])
    expect(text(out)).toMatch(new RegExp(`^  ${command} `, "m"));
  expect(await run([])).toBe(2);
});

test("--version is the package's", async () => {
  const packageJson = JSON.parse(readFileSync(join(import.meta.dirname, "../../../package.json"), "utf8"));
  expect(await run(["--version"])).toBe(0);
  expect(text(out)).toBe(`${packageJson.version}\n`);
});

test.each([
  "--pin-path",
  "--state-dir",
])("what cannot be done is status 1 and one line with the reason: cleanup removes nothing at a relative %s", async (flag) => {
  expect(await run(["cleanup", flag, "podgate"])).toBe(1);
  expect(text(err)).toBe(`podgate: remove what is at ${flag} podgate: use an absolute path\n`);
});
