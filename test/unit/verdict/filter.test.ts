import { describe, expect, test } from "vitest";
import { lineFilter, placePattern, type Wanted } from "../../../agent/verdict/filter.ts";
import { readVerdictLine } from "../../../agent/verdict/line.ts";
import { lineOf, record } from "./lines.ts";

function fits(wanted: Wanted, parts: Parameters<typeof lineOf>[0] = {}): boolean {
  const line = readVerdictLine(lineOf(parts));
  if (line === undefined) throw new Error("not read as a verdict");
  return lineFilter(wanted)(line);
}

function to(...texts: string[]): Wanted {
  return {
    to: texts.map((text) => {
      const pattern = placePattern(text);
      if (pattern instanceof Error) throw pattern;
      return pattern;
    }),
  };
}

test("without filters every verdict is shown", () => {
  expect(fits({})).toBe(true);
});

describe("the caller", () => {
  test.each<[Wanted, boolean]>([
    [{ namespaces: ["sandbox"] }, true],
    [{ namespaces: ["payments", "sand*"] }, true],
    [{ namespaces: ["sand"] }, false],
    [{ namespaces: ["sandbo."] }, false],
    [{ pods: ["crawler-7c9"] }, true],
    [{ pods: ["crawler-*"] }, true],
    [{ pods: ["sandbox/crawler-*"] }, true],
    [{ pods: ["payments/crawler-*"] }, false],
    [{ pods: ["unresolved"] }, false],
  ])("%j: %s", (wanted, expected) => {
    expect(fits(wanted)).toBe(expected);
  });

  test("that is unresolved is of no namespace and has no name but that", () => {
    expect(fits({ pods: ["unresolved"] }, { pod: undefined })).toBe(true);
    expect(fits({ pods: ["*"] }, { pod: undefined })).toBe(false);
    expect(fits({ namespaces: ["*"] }, { pod: undefined })).toBe(false);
  });
});

describe("where to", () => {
  test.each<[string, boolean]>([
    ["ledger.payments", true],
    ["ledger.payments:443", true],
    ["ledger.payments.svc.cluster.local:443", true],
    ["payments/ledger", true],
    ["*.payments", true],
    ["ledger.payments:80", false],
    ["ledger.sandbox", false],
    ["192.0.2.10", true],
    ["192.0.2.10:443", true],
    ["[::ffff:192.0.2.10]:443", true],
    ["192.0.2.1", false],
    [":443", true],
    [":80", false],
  ])("%s: %s", (text, expected) => {
    expect(fits(to(text))).toBe(expected);
  });

  test("IPv6 addresses are written with or without brackets", () => {
    const destination = { address: "2001:db8::7", port: 80 };
    for (const text of ["2001:db8::7", "[2001:db8::7]", "[2001:db8:0::7]:80"]) {
      expect(fits(to(text), { destination })).toBe(true);
    }
    expect(fits(to("[2001:db8::7]:81"), { destination })).toBe(false);
  });

  test("where it went counts like where it was dialled", () => {
    const forwardedTo = { address: "192.0.2.11", port: 8080, service: "payments/web" };
    expect(fits(to("web.payments"), { verdict: "forward", forwardedTo })).toBe(true);
    expect(fits(to("web.payments"))).toBe(false);
  });

  test.each([
    "",
    "ledger",
    "a.b:0",
    "a.b:http",
    "a.b:70000",
    "a..b",
    "[2001:db8::7",
  ])("`%s` is refused", (text) => {
    expect(placePattern(text)).toBeInstanceOf(Error);
  });
});

test("verdicts, and among them those that audited policies would have changed", () => {
  const audited = { verdict: "deny", reason: "rule" };
  expect(fits({ verdicts: ["deny"] })).toBe(true);
  expect(fits({ verdicts: ["allow", "deny"] })).toBe(true);
  expect(fits({ verdicts: ["allow"] })).toBe(false);
  expect(fits({ verdicts: ["audited"] })).toBe(false);
  expect(fits({ verdicts: ["audited"] }, { verdict: "allow", audited })).toBe(true);
  expect(fits({ verdicts: ["deny"] }, { verdict: "allow", audited })).toBe(false);
});

test("a moment leaves out what was before it", () => {
  expect(fits({ since: record.time })).toBe(true);
  expect(fits({ since: record.time + 1 })).toBe(false);
});

test("every filter must fit", () => {
  expect(fits({ namespaces: ["sandbox"], verdicts: ["allow"] })).toBe(false);
  expect(fits({ namespaces: ["sandbox"], verdicts: ["deny"], ...to("ledger.payments") })).toBe(true);
});
