import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Connection, UNKNOWN } from "../../../agent/model/connection.ts";
import { type Identity, unresolved } from "../../../agent/model/identity.ts";
import { alwaysTerminates, type Evaluate, rememberingEvaluate } from "../../../agent/policy/evaluate.ts";
import type { Expression, Policy, Rule } from "../../../agent/policy/policy.ts";
import { constant } from "../../../agent/policy/template.ts";
import { ask, CONNECTION, decide, deny, factsOf, forward, M, pod, policyOf, rule, said } from "./builders.ts";

function stub(result: unknown): Expression {
  return {
    text: "stub",
    reads: new Set(),
    evaluate: () => {
      if (result === "throws") throw new TypeError("it threw");
      return result;
    },
  };
}

function ruleOf(index: number, results: readonly unknown[], terminal: "deny" | "forward"): Rule {
  const action =
    terminal === "deny"
      ? { type: terminal }
      : {
          type: "forward-internal" as const,
          url: constant("http://a.b.internal"),
          continueOnError: false,
        };
  return { index, name: "", expressions: results.map(stub), actions: [action] };
}

function policyWith(...rules: Rule[]): Policy {
  return { rules, scope: "pod", reads: new Set(), readsPod: true, cost: 0 };
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
        const outcome = ask(policyWith(ruleOf(0, [wrong], terminal)), pod());
        expect(outcome).toMatchObject({ kind: "deny", reason: "expression-error", rule: 0, expression: 0 });
      }
    }
  });

  it("lets a false absorb errors on either side, and names the first expression that failed otherwise", () => {
    fc.assert(
      fc.property(fc.array(anyResult, { maxLength: 6 }), (results) => {
        const outcome = said(ask(policyWith(ruleOf(0, results, "deny")), pod()));
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
        expect(said(ask(policy, pod()))).toBe(expected);
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
  const resolve = () => undefined;

  /** A policy that denies the namespace payments, and how often it was asked. */
  function counted(scope: Policy["scope"], reads: readonly string[]) {
    let asked = 0;
    const expression: Expression = {
      text: "counted",
      reads: new Set(reads),
      evaluate: (values) => {
        asked += 1;
        return (
          (values as { conn: { k8s: { pod: { metadata: { namespace: string } } } } }).conn.k8s.pod.metadata
            .namespace === "payments"
        );
      },
    };
    const rules = [{ index: 0, name: "", expressions: [expression], actions: [{ type: "deny" as const }] }];
    const policy: Policy = { rules, scope, reads: new Set(reads), readsPod: true, cost: 0 };
    return { policy, asked: () => asked };
  }
  const NAMESPACE = [`${M}.namespace`];
  const remembered = (remember: Evaluate, policy: Policy, identity: Identity) =>
    remember(policy, factsOf(identity), resolve);

  it("asks again for another pod, another value of the same pod, another policy, and nobody", () => {
    const remember = rememberingEvaluate();
    const { policy, asked } = counted("pod", NAMESPACE);
    const [first, changed] = [pod(), pod()];
    for (const caller of [first, first, changed, unresolved("x"), unresolved("y")]) {
      expect(remembered(remember, policy, caller)).toEqual(ask(policy, caller));
    }
    const byEvaluateItself = 5;
    expect(asked() - byEvaluateItself).toBe(3);
    const other = counted("pod", NAMESPACE);
    expect(remembered(remember, other.policy, first)).toMatchObject({
      kind: "deny",
      reason: "rule",
      rule: 0,
    });
    expect(other.asked()).toBe(1);
  });

  it("asks once for all pods of a namespace where nothing else is read", () => {
    const remember = rememberingEvaluate();
    const { policy, asked } = counted("namespace", NAMESPACE);
    expect(remembered(remember, policy, pod())).toMatchObject({ kind: "deny", rule: 0 });
    expect(remembered(remember, policy, pod({ id: "2", name: "b" }))).toMatchObject({
      kind: "deny",
      rule: 0,
    });
    expect(asked()).toBe(1);
    expect(remembered(remember, policy, pod({ namespace: "sandbox" }))).toMatchObject({
      kind: "fell-through",
    });
    remembered(remember, policy, pod({ errorCode: "ERR_NGROK_28000" }));
    remembered(remember, policy, unresolved("x"));
    expect(asked()).toBe(4);
  });

  it("asks once for each address ahead of time, whatever of the connection the policy reads", () => {
    const remember = rememberingEvaluate();
    const { policy, asked } = counted("pod", [...NAMESPACE, "conn.client_port", "conn.server_port"]);
    const caller = pod();
    const ahead = (port: number): Connection => ({
      client: { ip: "192.0.2.9", port: UNKNOWN },
      server: { ip: "192.0.2.1", port },
      start: UNKNOWN,
      now: UNKNOWN,
    });
    for (const port of [80, 443, 80, 443]) remember(policy, factsOf(caller, ahead(port)), resolve);
    expect(asked()).toBe(2);
    remember(policy, factsOf(caller, { ...ahead(80), client: { ip: "192.0.2.8", port: UNKNOWN } }), resolve);
    remember(policy, factsOf(pod(), ahead(80)), resolve);
    expect(asked()).toBe(4);
  });

  it("always asks a policy that hangs on more than the caller", () => {
    const remember = rememberingEvaluate();
    const { policy, asked } = counted("pod", [...NAMESPACE, "conn.server_port"]);
    for (const port of [80, 443]) {
      const connection = { ...CONNECTION, server: { ip: "192.0.2.1", port } };
      remember(policy, factsOf(pod(), connection), resolve);
      remember(policy, factsOf(pod(), connection), resolve);
    }
    expect(asked()).toBe(4);
  });
});
