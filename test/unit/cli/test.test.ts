import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readCaseFile } from "../../../agent/trial/case-file.ts";
import { podgateHere, start } from "./podgate.ts";

const CASE = join(import.meta.dirname, "../../policies/fail-closed");
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "podgate-test-"));
  cpSync(CASE, join(directory, "one"), { recursive: true });
});
afterEach(() => rmSync(directory, { recursive: true }));

const run = (...args: string[]) => podgateHere(["test", ...args]);
const edit = (file: string, change: (text: string) => string) => {
  const path = join(directory, "one", file);
  writeFileSync(path, change(readFileSync(path, "utf8")));
};

test("a directory whose tests pass ends with 0", async () => {
  const { status, stdout, stderr } = await run(directory);
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/one: 6 of 6 passed\n6 tests in 1 directory, 6 passed, 3 of 3 rules hit\n$/);
});

test("a test that fails ends with 1, and is shown at its place with what came instead", async () => {
  edit("tests.yaml", (text) =>
    text.replace("from: sandbox/crawler, expect: deny", "from: sandbox/crawler, expect: allow"),
  );
  const { status, stdout } = await run(directory);
  expect(status).toBe(1);
  expect(stdout).toMatch(
    /FAIL a pod of another is refused\n {4}\S+\/one\/tests\.yaml:4:\d+: expected allow, got deny: rule 1 of .*metadata\.namespace = "sandbox"/,
  );
});

test("a policy that changes its meaning fails its tests, and its verdicts", async () => {
  edit("policy.yaml", (text) => text.replace('namespace != "orders"', 'namespace == "orders"'));
  const { status, stdout } = await run(directory);
  expect(status).toBe(1);
  expect(stdout).toMatch(/verdicts\.txt: it is not what the kernel would hold now: --update-verdicts/);
});

test("verdicts.txt alone makes it fail; it is written anew on request, and need not be there", async () => {
  edit("verdicts.txt", (text) => text.replace("deny ", "allow"));
  expect((await run(directory)).status).toBe(1);
  expect((await run("--update-verdicts", directory)).status).toBe(0);
  expect(readFileSync(join(directory, "one/verdicts.txt"), "utf8")).toBe(
    readFileSync(join(CASE, "verdicts.txt"), "utf8"),
  );
  rmSync(join(directory, "one/verdicts.txt"));
  expect((await run(directory)).status).toBe(0);
  expect(existsSync(join(directory, "one/verdicts.txt"))).toBe(false);
});

test("a rule that no test hits is shown, and fails where coverage is required", async () => {
  edit("tests.yaml", (text) => text.replace(/^.*rule: 2.*\n/m, ""));
  const { status, stdout } = await run(directory);
  expect(status).toBe(0);
  expect(stdout).toMatch(/policy\.yaml:\d+:\d+: no test hits rule 2 of CloudEndpoint shop\/ledger/);
  expect((await run("--require-coverage", directory)).status).toBe(1);
});

describe("wrong files or usage end with 2:", () => {
  test("a fault of tests.yaml, with its place", async () => {
    edit("tests.yaml", (text) => text.replace("expect: allow", "expect: alow"));
    const { status, stdout } = await run(directory);
    expect(status).toBe(2);
    expect(stdout).toMatch(/one: cannot be run\n {2}\S+tests\.yaml:3:\d+: PODGATE_TEST: it is `alow`/);
  });

  test("no tests", async () => {
    const empty = join(directory, "empty");
    mkdirSync(empty);
    writeFileSync(join(empty, "policy.yaml"), "{}");
    const { status, stderr } = await run(empty);
    expect([status, stderr]).toEqual([2, expect.stringMatching(/there is no tests\.yaml in it or below it/)]);
  });

  test.each([[["/nowhere"]], [[]], [["-o", "tap", "."]]])("%j", async (args) => {
    const { status, stderr } = await run(...args);
    expect(status).toBe(2);
    expect(stderr).toMatch(/ENOENT|missing required argument|text, json, junit/);
  });
});

test("the tests.yaml that help shows is one", async () => {
  const { status, stdout } = await run("--help");
  const [, example = ""] = /tests\.yaml:\n\n((?: {2}.*\n)+)/.exec(stdout) ?? [];
  const { cases, diagnostics } = readCaseFile(example.replace(/^ {2}/gm, ""), "help");
  expect([status, diagnostics, cases.length]).toEqual([0, [], 3]);
});

test("results can be had as JUnit and as JSON, in a file too", async () => {
  const file = join(directory, "results.xml");
  const { stdout } = await run("-o", "junit", "--output-file", file, directory);
  expect(stdout).toMatch(/6 passed/);
  const xml = readFileSync(file, "utf8");
  expect(xml).toMatch(/^<\?xml version="1\.0"/);
  expect(xml).toMatch(/<testsuite name="\S+\/one" tests="6" failures="0" errors="0">/);
  const [one] = JSON.parse((await run("-o", "json", directory)).stdout);
  expect(one.tests.every(({ passed }: { passed: boolean }) => passed)).toBe(true);
});

test("who reads no more of the output than its beginning gets no stack trace", async () => {
  const cases = join(import.meta.dirname, "../../policies");
  // Closed before anything is written, so that the first write fails.
  const run = start(["test", cases, "-o", "json"]);
  run.child.stdout?.destroy();
  expect(await run.ended).toMatchObject({ status: 0, stderr: "" });
});
