/**
 * The language and its combination against models written from the documents alone: lists of what each rule and action
 * would do, with none of the code under test in them.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decide as decideGuard } from "../../../agent/guard/decide.ts";
import type { Guard, GuardPolicy } from "../../../agent/guard/guard.ts";
import { parsePolicy } from "../../../agent/policy/parse.ts";
import type { Policy } from "../../../agent/policy/policy.ts";
import { Cluster, caller, connectionPolicy, type Rule, service } from "./builders.ts";

const AT = "192.0.2.10:80";
const from = caller("payments/web", { "ngrok.com/n": "7" });
const services = [
  service("payments/ledger", ["192.0.2.10"], [80]),
  service("payments/a", ["192.0.2.21"], [80]),
  service("payments/b", ["192.0.2.22"], [80]),
];

/** What an expression is for `from`: true, false, an error, or open until there is a connection. */
type Truth = "true" | "false" | "error" | "open";
const EXPRESSIONS: Readonly<Record<Truth, readonly string[]>> = {
  true: [
    "true",
    'conn.k8s.pod.metadata.name == "web"',
    'conn.k8s.pod.metadata.annotations["ngrok.com/n"] == "7"',
  ],
  false: [
    "false",
    'conn.k8s.pod.metadata.namespace != "payments"',
    'conn.k8s.pod.metadata.name.startsWith("x")',
  ],
  error: ['conn.k8s.pod.metadata.annotations["none"] == ""', "1 / 0 == 1"],
  open: ["conn.client_port > 1023", 'time.now > "2026"', "rand.double() < 0.5"],
};
const truth = fc.constantFrom<Truth>("true", "false", "error", "open");
const expression = truth.chain((value) =>
  fc.constantFrom(...EXPRESSIONS[value]).map((text) => ({ value, text })),
);

/** CEL's `&&` over a list, with what is open going before errors. */
function conjunction(values: readonly Truth[]): Truth {
  if (values.includes("false")) return "false";
  if (values.includes("open")) return "open";
  return values.includes("error") ? "error" : "true";
}

/** An action, and what it does: nothing but a log entry, an end, an error or an open question. */
interface Act {
  readonly action: Rule["actions"][number];
  readonly effect: "log" | "next" | "deny" | "error" | "open" | `forward ${string}`;
}
const act = (type: string, effect: Act["effect"], config?: Readonly<Record<string, unknown>>): Act => ({
  action: config === undefined ? { type } : { type, config },
  effect,
});
const to = (name: string, on_error = "halt") => ({ url: `http://${name}.payments.internal`, on_error });
const unended = [
  act("log", "log", { metadata: { n: "${conn.k8s.pod.metadata.annotations['ngrok.com/n']}" } }),
  act("set-vars", "next", { vars: [{ x: "${1 + 1}" }] }),
  act("forward-internal", "next", to("nowhere", "continue")),
  act("log", "error", { metadata: { n: "${1 / 0}" } }),
  act("set-vars", "open", { vars: [{ y: "${conn.client_port}" }] }),
];
const ended = [
  act("deny", "deny"),
  act("close-connection", "deny"),
  act("forward-internal", "forward a", to("a")),
  act("forward-internal", "forward b", to("b", "continue")),
  act("forward-internal", "forward ledger", to("${'ledger'}")),
];

interface ModelRule {
  readonly expressions: readonly { readonly value: Truth; readonly text: string }[];
  readonly acts: readonly Act[];
}
const modelRule = fc.record({
  // At least one expression, so that no rule makes those after it unreachable, which is refused.
  expressions: fc.array(expression, { minLength: 1, maxLength: 3 }),
  acts: fc
    .tuple(fc.array(fc.constantFrom(...unended), { maxLength: 3 }), fc.option(fc.constantFrom(...ended)))
    .map(([before, end]) => (end === null ? before : [...before, end]))
    .filter((acts) => acts.length > 0),
});

interface ModelOutcome {
  readonly says: string;
  readonly rule: number | undefined;
  readonly logs: number;
}

/** First match wins; actions in order; what errs denies; what is open stays open. */
function model(rules: readonly ModelRule[]): ModelOutcome {
  let logs = 0;
  for (const [rule, { expressions, acts }] of rules.entries()) {
    const matched = conjunction(expressions.map(({ value }) => value));
    if (matched === "false") continue;
    if (matched !== "true") return { says: matched, rule, logs };
    for (const { effect } of acts) {
      if (effect === "log") logs++;
      else if (effect !== "next") return { says: effect, rule, logs };
    }
  }
  return { says: "fell-through", rule: undefined, logs };
}

function written(rules: readonly ModelRule[]): Rule[] {
  return rules.map(({ expressions, acts }) => ({
    expressions: expressions.map(({ text }) => text),
    actions: acts.map(({ action }) => action),
  }));
}

/** What an outcome is called in a verdict. */
function expected({ says, rule, logs }: ModelOutcome) {
  const by = rule === undefined ? {} : { rule };
  const log = logs > 0 ? { log: Array.from({ length: logs }, () => ({ n: "7" })) } : {};
  if (says === "fell-through") return { action: "allow", reason: "fell-through", ...log };
  if (says === "forward ledger") return { action: "allow", reason: "rule", ...by, ...log };
  if (says.startsWith("forward")) return { action: "forward", reason: "rule", ...by, ...log };
  if (says === "deny") return { action: "deny", reason: "rule", ...by, ...log };
  if (says === "error") return { action: "deny", reason: "expression-error", ...by, ...log };
  return { action: "proxy", reason: "pending", ...by, ...log };
}

const policies = fc.array(
  fc.record({ rules: fc.array(modelRule, { minLength: 1, maxLength: 6 }), audit: fc.boolean() }),
  {
    minLength: 1,
    maxLength: 4,
  },
);

/** Never: an empty rule list is no policy. */
function clusterOf(list: readonly { rules: readonly ModelRule[]; audit: boolean }[]): Cluster {
  const connectionPolicies = list.map(({ rules, audit }, i) =>
    connectionPolicy(`payments/p${i}`, ["ledger"], written(rules), { audit }),
  );
  return new Cluster({ services, connectionPolicies });
}

describe("any policy", () => {
  test("14, 19: decides by its first rule that matches, fails or is open; its actions in order", () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.array(modelRule, { minLength: 1, maxLength: 8 }), (rules) => {
        const outcome = model(rules);
        seen.add(outcome.says);
        const verdict = clusterOf([{ rules, audit: false }]).connect(from, AT);
        expect(verdict).toMatchObject(expected(outcome));
        expect(verdict === "not guarded" || verdict.log?.length).toBe(outcome.logs || undefined);
      }),
      { numRuns: 2000 },
    );
    expect(seen).toEqual(
      new Set(["fell-through", "deny", "error", "open", "forward a", "forward b", "forward ledger"]),
    );
  });
});

describe("any policies of one guard", () => {
  /** Deny before what is open, that before forwards (which must agree), those before allow; of equals the first. */
  function combined(list: readonly ModelOutcome[]): { action: string; reason?: string } {
    const verdicts = list.map(expected);
    const find = (action: string) => verdicts.find((each) => each.action === action);
    const decided = find("deny") ?? find("proxy");
    if (decided !== undefined) return { action: decided.action, reason: decided.reason };
    const targets = new Set(
      list.filter(({ says }) => says === "forward a" || says === "forward b").map(({ says }) => says),
    );
    if (targets.size > 1) return { action: "deny", reason: "conflict" };
    return targets.size === 1 ? { action: "forward", reason: "rule" } : { action: "allow" };
  }

  test("refuse together what one of them refuses", () => {
    fc.assert(
      fc.property(policies, (list) => {
        const verdict = clusterOf(list).connect(from, AT);
        const enforced = list.filter(({ audit }) => !audit).map(({ rules }) => model(rules));
        expect(verdict).toMatchObject(combined(enforced));
      }),
      { numRuns: 300 },
    );
  });

  test("that are audited never refuse, and change nothing but what is recorded", () => {
    fc.assert(
      fc.property(policies, (list) => {
        const all = list.map((each) => ({ ...each, audit: true }));
        expect(clusterOf(all).connect(from, AT)).toMatchObject({ action: "allow", reason: "fell-through" });
        const verdict = clusterOf(list).connect(from, AT);
        if (verdict === "not guarded") throw new Error("the policies guard it");
        const enforced = combined(list.filter(({ audit }) => !audit).map(({ rules }) => model(rules)));
        const wouldBe = combined(list.map(({ rules }) => model(rules)));
        const differs = enforced.action !== wouldBe.action;
        expect(verdict.action).toBe(enforced.action);
        if (differs) expect(verdict.audited).toMatchObject(wouldBe);
      }),
      { numRuns: 200 },
    );
  });

  test("20: say the same in whatever order they arrive", () => {
    fc.assert(
      fc.property(policies, (list) => {
        const names = list.map((each, i) => ({ ...each, name: `payments/p${i}` }));
        const verdictOf = (order: typeof names) => {
          const connectionPolicies = order.map(({ rules, audit, name }) =>
            connectionPolicy(name, ["ledger"], written(rules), { audit }),
          );
          return new Cluster({ services, connectionPolicies }).connect(from, AT);
        };
        expect(verdictOf(names.toReversed())).toEqual(verdictOf(names));
      }),
      { numRuns: 200 },
    );
  });
});

describe("70,000 rules", () => {
  const POLICIES = 70;
  const RULES = 1_000;

  /** What rule `r` of policy `p` compares, and with what end. Most match nobody. */
  const names = (p: number, r: number) => `pod-${(p * RULES + r) * 7}`;
  const ends = (p: number, r: number): "deny" | "ledger" => ((p + r) % 3 === 0 ? "deny" : "ledger");

  function policy(p: number): Policy {
    const on_tcp_connect = Array.from({ length: RULES }, (_, r) => ({
      expressions: [`conn.k8s.pod.metadata.name == "${names(p, r)}"`],
      actions: [
        ends(p, r) === "deny" ? { type: "deny" } : { type: "forward-internal", config: to("ledger") },
      ],
    }));
    const parsed = parsePolicy({ on_tcp_connect }, "");
    if (!parsed.ok) throw new Error(parsed.diagnostics[0]?.message);
    return parsed.policy;
  }

  test("19: in one policy set decide as a list looked through from the top does", () => {
    const routes = new Cluster({ services }).set.routes;
    const guardPolicies = Array.from(
      { length: POLICIES },
      (_, p): GuardPolicy => ({
        object: { kind: "ConnectionPolicy", namespace: "payments", name: `p${String(p).padStart(2, "0")}` },
        inForce: { kind: "policy", policy: policy(p) },
        audit: false,
        connectOnly: false,
        fallThrough: { kind: "allow" },
        home: [{ service: "payments/ledger", port: 80 }],
        endpoint: { id: "", url: "", protocol: "", host: "", port: 0 },
      }),
    );
    const context = { family: "unknown", serverIp: "unknown", serverPort: "unknown" } as const;
    const guard: Pick<Guard, "policies" | "context"> = { policies: guardPolicies, context };
    const asked = [0, 1, 2, 999, 1000, 34_567, 69_998, 69_999].map((index) => index * 7);
    for (const n of [...asked, -7, 3]) {
      const name = `pod-${n}`;
      const verdict = decideGuard(guard, caller(`payments/${name}`), routes);
      const index = n / 7;
      const known = Number.isInteger(index) && index >= 0;
      const [p, r] = [Math.floor(index / RULES), index % RULES];
      const object = {
        kind: "ConnectionPolicy",
        namespace: "payments",
        name: `p${String(p).padStart(2, "0")}`,
      };
      expect([name, verdict]).toEqual([
        name,
        known
          ? { action: ends(p, r) === "deny" ? "deny" : "allow", reason: "rule", policy: object, rule: r }
          : { action: "allow", reason: "fell-through" },
      ]);
    }
  });
});
