import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

const BENCH = join(import.meta.dirname, "../bench/bench.ts");

test.each([
  [["--help"], 0, /^usage: npm run bench .*\n\nconnects .*\nmaps .*\nproxy .*\n.*\n$/, /^$/],
  [["--round", "3"], 1, /^$/, /^bench: Unknown option '--round'\nusage: .*\n$/],
  [["--rounds", "many"], 1, /^$/, /^bench: --rounds many: it must be a number above 0\n$/],
  [["--only", "all"], 1, /^$/, /^bench: --only all: it must be one of connects, maps, proxy\n$/],
])("npm run bench -- %j says what it takes, and measures nothing", (words, status, stdout, stderr) => {
  const said = spawnSync(process.execPath, [BENCH, ...words], { encoding: "utf8" });
  expect(said).toMatchObject({
    status,
    stdout: expect.stringMatching(stdout),
    stderr: expect.stringMatching(stderr),
  });
});
