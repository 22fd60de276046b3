import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { compiledVerdicts } from "../../agent/explain/compiled.ts";
import { formatPlaced } from "../../agent/policy/yaml.ts";
import { missed } from "../../agent/trial/coverage.ts";
import { findTrials } from "../../agent/trial/find-trials.ts";
import { runTrial } from "../../agent/trial/trial.ts";
import { podgate } from "./cli/podgate.ts";

const folder = join(import.meta.dirname, "../policies");
const results = findTrials(folder).map(runTrial);

/** `case: test` -> why it may fail for now. One that passes must leave the list. */
const failing: ReadonlyMap<string, string> = new Map();

describe.each(results.map((result) => [basename(result.name), result] as const))("%s", (name, result) => {
  test("its files can be read", () => {
    expect(result.diagnostics.map(formatPlaced)).toEqual([]);
    for (const file of ["policy.yaml", "cluster.yaml", "tests.yaml"]) {
      expect(existsSync(join(result.name, file)), file).toBe(true);
    }
  });

  for (const { case: each, failures } of result.results) {
    const why = failing.get(`${name}: ${each.name}`);
    if (why === undefined) test(each.name, () => expect(failures).toEqual([]));
    else test(`${each.name} (fails: ${why})`, () => expect(failures).not.toEqual([]));
  }

  test("every rule is met by some test", () => {
    expect(missed(result.coverage).map(({ object, index }) => `rule ${index} of ${object}`)).toEqual([]);
  });

  test("the kernel would hold what verdicts.txt says (UPDATE_GOLDEN=1 writes it anew)", () => {
    const path = join(result.name, "verdicts.txt");
    const now = result.world === undefined ? "" : compiledVerdicts(result.world, result.callers);
    if (process.env.UPDATE_GOLDEN === "1") writeFileSync(path, now);
    expect(now).toBe(readFileSync(path, "utf8"));
  });
});

test("no test is on the list of those that may fail without being there", () => {
  const names = results.flatMap(({ name, results: cases }) =>
    cases.map((each) => `${basename(name)}: ${each.case.name}`),
  );
  expect([...failing.keys()].filter((key) => !names.includes(key))).toEqual([]);
});

test("`podgate test` says the same of all of them", async () => {
  const { status, stdout, stderr } = await podgate(["test", "--require-coverage", folder]);
  const all = results.flatMap(({ results: cases }) => cases).length;
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout.trimEnd().split("\n").at(-1)).toMatch(
    new RegExp(`^${all} tests in ${results.length} directories, ${all} passed, `),
  );
});
