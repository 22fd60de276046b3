/** What is decided before there is a connection holds for every connection; what needs one is left open, and no more. */
import { describe, expect, test } from "vitest";
import { type Connection, UNKNOWN } from "../../../agent/model/connection.ts";
import type { Policy } from "../../../agent/policy/policy.ts";
import { AHEAD, ask, CONNECTION, M, pod, policyOf, rule, said } from "./builders.ts";
import { randomExpression, randomFrom, randomIdentity } from "./random-expression.ts";

const other = `${M}.namespace != "payments"`;
const low = "conn.client_port < 1024";

describe("one expression of pod and connection", () => {
  test.each([
    [`${other} && ${low}`, "fell-through"],
    [`${low} && ${other}`, "fell-through"],
    [`!(${other}) || ${low}`, "deny 0"],
    [`${low} || !(${other})`, "deny 0"],
    [`${other} ? ${low} : true`, "deny 0"],
    [`[${other}, true].exists(x, x || ${low})`, "deny 0"],
    [`[0, 1].all(x, x == 0 && ${low})`, "fell-through"],
    [`${other} && rand.double() < 0.5`, "undecided 0"],
    [`${other} || ${low}`, "undecided 0"],
    [`${low} ? true : true`, "undecided 0"],
    [`(${low}) == (${low})`, "undecided 0"],
    [`has(conn.client_port) && ${low}`, "undecided 0"],
    ["!has(conn.client_port)", "undecided 0"],
    ["!has(conn.k8s.namespace.labels)", "undecided 0"],
    [`${M}.annotations["x"] == "" && ${low}`, "undecided 0"],
  ])("%s", (expression, decision) => {
    expect(said(ask(policyOf(rule(expression)), pod({ namespaceLabels: UNKNOWN }), AHEAD))).toBe(decision);
  });

  test("in a template", () => {
    const url = `\${${other} ? string(conn.client_port) : 'http://a.b.internal'}`;
    const policy = policyOf({ actions: [{ type: "forward-internal", config: { url } }] });
    expect(ask(policy, pod(), AHEAD)).toEqual({ kind: "forward", rule: 0, url: "http://a.b.internal" });
    expect(ask(policy, pod({ namespace: "x" }), AHEAD)).toMatchObject({ needs: ["conn.client_port"] });
  });
});

/** Replaces some of what an expression says of pods by what only a connection tells. */
const OF_CONNECTION: readonly (readonly [RegExp, string])[] = [
  [/\btrue\b/g, "(conn.client_port > 30000)"],
  [/\bfalse\b/g, '(time.now < "2026-11-21T12")'],
  [/"é"/g, "conn.client_ip"],
  [/"-"/g, "conn.k8s.namespace.labels['a']"],
  [/\b7\b/g, "conn.server_port"],
  [/"b"/g, "string(rand.int(0, 2))"],
  [/has\([^)]*\.x\)/g, "has(conn.server_ip)"],
];

test("random policies: whatever is decided ahead, each of their connections meets", () => {
  const random = randomFrom(20_261_122);
  const connections: readonly Connection[] = [
    CONNECTION,
    { client: { ip: "2001:db8::7", port: 1023 }, server: { ip: "a", port: 7 }, start: 0, now: 0 },
    {
      ...CONNECTION,
      client: { ip: "", port: 1 },
      server: { ip: "worker-a", port: 0 },
      now: Date.parse("2030-01-01"),
    },
  ];
  let decided = 0;
  for (let round = 0; round < 3000; round++) {
    const one = OF_CONNECTION.reduce(
      (text, [what, by]) => text.replaceAll(what, (word) => (random() < 0.7 ? by : word)),
      randomExpression(random),
    );
    const expressions = random() < 0.5 ? [one] : [one, randomExpression(random)];
    let policy: Policy;
    try {
      policy = policyOf(rule(...expressions), rule(randomExpression(random)));
    } catch {
      continue;
    }
    const identity = randomIdentity(random);
    const whole = identity.kind === "pod" ? pod({ ...identity.pod, namespaceLabels: UNKNOWN }) : identity;
    const ahead = ask(policy, whole, AHEAD);
    if (ahead.kind === "undecided") continue;
    if (policy.scope === "dynamic") decided++;
    const labels = new Map(random() < 0.5 ? [["a", "b"]] : []);
    const known = whole.kind === "pod" ? pod({ ...whole.pod, namespaceLabels: labels }) : whole;
    for (const connection of connections) {
      expect({ expressions, said: ask(policy, known, connection) }).toEqual({ expressions, said: ahead });
    }
  }
  expect(decided).toBeGreaterThan(100);
});
