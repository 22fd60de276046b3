import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { failureOf } from "./cel-conformance/run-test.ts";
import { specTests } from "./cel-conformance/suite.ts";

/** `# reason`, and below it the tests that fail for that reason, by name. */
function knownFailures(): ReadonlyMap<string, string> {
  const known = new Map<string, string>();
  let reason = "";
  for (const line of readFileSync(`${import.meta.dirname}/cel-conformance/known-failures.txt`, "utf8").split(
    "\n",
  )) {
    if (line.startsWith("# ")) reason = line.slice(2);
    else if (line !== "") known.set(line, reason);
  }
  return known;
}

const known = knownFailures();
const outcomes = specTests().map((spec) => ({ ...spec, why: failureOf(spec.test) }));
const core = outcomes.filter(({ isCore }) => isCore);
const passed = core.filter(({ why }) => why === undefined);
const share = (100 * passed.length) / core.length;
console.log(`cel-conformance: ${passed.length} of ${core.length} core tests pass: ${share.toFixed(1)} %`);

describe("the conformance suite of CEL", () => {
  it("is there in full", () => {
    expect(outcomes.length).toBeGreaterThan(2_300);
    expect(core.length).toBeGreaterThan(1_000);
  });

  it("passes but for what is listed with a reason", () => {
    const unlisted = outcomes.filter(({ name, why }) => why !== undefined && !known.has(name));
    expect(unlisted.map(({ name, test, why }) => `${name}: ${test.expr}: ${why}`)).toEqual([]);
  });

  it("has no test on the list that passes, or that is not there", () => {
    const failing = new Set(outcomes.filter(({ why }) => why !== undefined).map(({ name }) => name));
    expect([...known.keys()].filter((name) => !failing.has(name))).toEqual([]);
  });

  it("lists no test without a reason", () => {
    expect([...known].filter(([, reason]) => reason === "")).toEqual([]);
  });

  it("passes to at least 95 % in the core, without messages", () => {
    expect(share).toBeGreaterThanOrEqual(95);
  });

  it("nowhere gets a value where CEL demands an error", () => {
    const wanted = outcomes.filter(({ test }) => /[eE]rror/.test(test.resultMatcher.case ?? ""));
    expect(wanted.length).toBeGreaterThan(200);
    expect(wanted.filter(({ why }) => why?.startsWith("silent")).map(({ name }) => name)).toEqual([]);
  });
});
