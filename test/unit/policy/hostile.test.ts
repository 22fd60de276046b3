import { describe, expect, it } from "vitest";
import type { Identity } from "../../../agent/model/identity.ts";
import { parsePolicy } from "../../../agent/policy/parse.ts";
import { ask, forward, M, oversized, pod, predicate } from "./builders.ts";
import { milliseconds } from "./cpu-time.ts";
import { hostileExpressions } from "./hostile-expressions.ts";

const hostile = hostileExpressions(M);

/** Annotations as large as they get, made to be slow to search. */
const callers: readonly Identity[] = [
  pod({ annotations: new Map([["a", `${"a".repeat(1_000)}!`]]) }),
  pod({
    annotations: new Map(
      Array.from({ length: 85 }, (_, i) => [`ngrok.com/${String(i).padStart(2, "0")}`, ""]),
    ),
  }),
  pod({
    name: "abaabbb".repeat(36),
    annotations: new Map([["a", "abbabaaabbbabab".repeat(68)]]),
  }),
  oversized,
];

describe("a hostile expression", () => {
  it.each(hostile)("%s is read and evaluated in under 20 ms", (_title, text) => {
    expect(milliseconds(() => predicate(text))).toBeLessThan(20);
    const compiled = predicate(text);
    if (compiled instanceof Error) return;
    for (const caller of callers) expect(milliseconds(() => compiled.evaluate(caller))).toBeLessThan(20);
  });

  it.each(hostile)("%s gives true, false or an Error, and forwards only where it is true", (_title, text) => {
    const before = Object.getOwnPropertyNames(Object.prototype);
    const parsed = parsePolicy(
      { on_tcp_connect: [{ ...forward, expressions: [text] }, { actions: [{ type: "deny" }] }] },
      "",
    );
    const compiled = predicate(text);
    expect(parsed.ok).toBe(!(compiled instanceof Error));
    if (!parsed.ok || compiled instanceof Error) return;
    for (const caller of callers) {
      const value = compiled.evaluate(caller);
      const outcome = ask(parsed.policy, caller);
      expect(value === true || value === false || value instanceof Error).toBe(true);
      // Forwarded only where CEL says true; an error denies.
      expect(outcome.kind).toBe(value === true ? "forward" : "deny");
    }
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
  });

  it("15: makes 1,000 connects from a slow annotation cost no other pod more than 20 ms", () => {
    const parsed = parsePolicy(
      {
        on_tcp_connect: [
          { expressions: [`${M}.annotations["a"].matches("^(a+)+$")`], actions: [{ type: "deny" }] },
        ],
      },
      "",
    );
    if (!parsed.ok) throw new Error("the pattern is linear in RE2 and was refused");
    const slow = pod({ annotations: new Map([["a", `${"a".repeat(60)}!`]]) });
    expect(milliseconds(() => Array.from({ length: 1_000 }, () => ask(parsed.policy, slow)))).toBeLessThan(
      20,
    );
  });
});
