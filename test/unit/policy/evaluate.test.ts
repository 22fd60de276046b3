import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Identity, type PodIdentity, unresolved } from "../../../agent/model/identity.ts";
import { alwaysTerminates, evaluate, rememberingEvaluate } from "../../../agent/policy/evaluate.ts";
import type { Expression, Policy, Rule } from "../../../agent/policy/policy.ts";
import { decide, deny, forward, pod, policyOf, rule, said } from "./builders.ts";

function stub(result: unknown): Expression {
  return {
    text: "stub",
    evaluate: () => {
      if (result === "throws") throw new TypeError("it threw");
      return result as boolean;
    },
  };
}

function ruleOf(index: number, results: readonly unknown[], terminal: "deny" | "forward"): Rule {
  const action =
    terminal === "deny"
      ? { type: terminal }
      : { type: "forward-internal" as const, url: "http://a.b.internal" };
  return { index, name: "", expressions: results.map(stub), actions: [action] };
}

function policyWith(...rules: Rule[]): Policy {
  return { rules, scope: "pod", readsPod: true };
}

/** What CEL's && makes of a list: written out from the language definition, with nothing of the code under test. */
function conjunction(results: readonly (boolean | Error)[]): boolean | "error" {
  if (results.includes(false)) return false;
  return results.every((result) => result === true) ? true : "error";
}

const anyResult = fc.constantFrom<boolean | Error>(true, false, new Error("no such key"));

describe("evaluate", () => {
  it("14: takes nothing but true for a match, in a rule that denies and in one that forwards", () => {
    for (const wrong of [
      new Error("x"),
      "true",
      "",
      null,
      undefined,
      1,
      0,
      Number.NaN,
      {},
      [],
      Promise.resolve(true),
      "throws",
    ]) {
      for (const terminal of ["deny", "forward"] as const) {
        const outcome = evaluate(policyWith(ruleOf(0, [wrong], terminal)), pod());
        expect(outcome).toMatchObject({ kind: "deny", reason: "expression-error", rule: 0, expression: 0 });
      }
    }
  });

  it("lets a false absorb errors on either side, and names the first expression that failed otherwise", () => {
    fc.assert(
      fc.property(fc.array(anyResult, { maxLength: 6 }), (results) => {
        const outcome = said(evaluate(policyWith(ruleOf(0, results, "deny")), pod()));
        const expected = conjunction(results);
        const failed = results.findIndex((result) => result instanceof Error);
        expect(outcome).toBe(
          expected === "error" ? `error 0.${failed}` : expected ? "deny 0" : "fell-through",
        );
      }),
    );
  });

  it("19: decides by the first rule that matches or fails, whatever comes after", () => {
    const anyRule = fc.tuple(
      fc.array(anyResult, { maxLength: 3 }),
      fc.constantFrom("deny" as const, "forward" as const),
    );
    fc.assert(
      fc.property(fc.array(anyRule, { maxLength: 12 }), (rules) => {
        const policy = policyWith(
          ...rules.map(([results, terminal], index) => ruleOf(index, results, terminal)),
        );
        const first = rules.findIndex(([results]) => conjunction(results) !== false);
        const [results, terminal] = rules[first] ?? [[], undefined];
        const failed = results.findIndex((result) => result instanceof Error);
        const expected =
          terminal === undefined
            ? "fell-through"
            : failed >= 0
              ? `error ${first}.${failed}`
              : `${terminal} ${first}`;
        expect(said(evaluate(policy, pod()))).toBe(expected);
      }),
      { numRuns: 1000 },
    );
  });

  it("treats a list of expressions as one joined by &&", () => {
    const terms = ['conn.k8s.pod.metadata.annotations["x"] == "1"', "false", "true", 'conn.k8s.pod.id != ""'];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...terms), { minLength: 1, maxLength: 4 }), (expressions) => {
        const apart = decide(policyOf(rule(...expressions)), pod()).replace(/\.\d+$/, "");
        const joined = decide(policyOf(rule(expressions.join(" && "))), pod()).replace(/\.\d+$/, "");
        expect(apart).toBe(joined);
      }),
    );
  });
});

describe("alwaysTerminates", () => {
  it("holds only for a policy with a rule that every caller matches", () => {
    expect(alwaysTerminates(policyOf(rule("false"), deny))).toBe(true);
    expect(alwaysTerminates(policyOf(rule("false"), forward))).toBe(true);
    expect(alwaysTerminates(policyOf(rule("true")))).toBe(false);
    expect(alwaysTerminates(policyOf())).toBe(false);
  });
});

describe("an evaluation that remembers", () => {
  function counted(scope: Policy["scope"]) {
    let asked = 0;
    const expression: Expression = {
      text: "counted",
      evaluate: (identity) => {
        asked += 1;
        return identity.kind === "pod" && identity.pod.namespace === "payments";
      },
    };
    const actions = [{ type: "deny" as const }];
    const policy: Policy = {
      rules: [{ index: 0, name: "", expressions: [expression], actions }],
      scope,
      readsPod: true,
    };
    return { policy, asked: () => asked };
  }
  const same = (over: Partial<PodIdentity> = {}): Identity => ({
    kind: "pod",
    pod: {
      id: "1",
      name: "a",
      namespace: "payments",
      annotations: new Map(),
      errorCode: "",
      errorMessage: "",
      ...over,
    },
  });

  it("asks again for another pod, another value of the same pod, another policy, and nobody", () => {
    const remember = rememberingEvaluate();
    const { policy, asked } = counted("pod");
    const [pod, changed] = [same(), same()];
    for (const caller of [pod, pod, changed, unresolved("x"), unresolved("y")]) {
      expect(remember(policy, caller)).toEqual(evaluate(policy, caller));
    }
    const byEvaluateItself = 5;
    expect(asked() - byEvaluateItself).toBe(3);
    const other = counted("pod");
    expect(remember(other.policy, pod)).toEqual({ kind: "deny", reason: "rule", rule: 0 });
    expect(other.asked()).toBe(1);
  });

  it("asks once for all pods of a namespace where nothing else is read", () => {
    const remember = rememberingEvaluate();
    const { policy, asked } = counted("namespace");
    expect(remember(policy, same())).toEqual({ kind: "deny", reason: "rule", rule: 0 });
    expect(remember(policy, same({ id: "2", name: "b" }))).toEqual({ kind: "deny", reason: "rule", rule: 0 });
    expect(asked()).toBe(1);
    expect(remember(policy, same({ namespace: "sandbox" }))).toEqual({ kind: "fell-through" });
    remember(policy, same({ errorCode: "ERR_NGROK_28000" }));
    remember(policy, unresolved("x"));
    expect(asked()).toBe(4);
  });
});
