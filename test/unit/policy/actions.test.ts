import { describe, expect, it } from "vitest";
import { type Connection, UNKNOWN } from "../../../agent/model/connection.ts";
import type { Outcome } from "../../../agent/policy/policy.ts";
import { AHEAD, ask, CONNECTION, M, pod, policyOf, said } from "./builders.ts";

const action = (type: string, config?: unknown) => (config === undefined ? { type } : { type, config });
const log = (metadata: unknown) => action("log", { metadata });
const setVars = (...vars: unknown[]) => action("set-vars", { vars });
const forwardTo = (url: string, on_error = "halt") => action("forward-internal", { url, on_error });
const deny = action("deny");
const rule = (...actions: unknown[]) => ({ actions });
const when = (expression: string, ...actions: unknown[]) => ({ expressions: [expression], actions });

/** What the rules say of a connection that exists, from 192.0.2.7:40000 to 198.51.100.9:443, of pod payments/a. */
function outcome(...rules: unknown[]): Outcome {
  return ask(policyOf(...rules), pod(), CONNECTION);
}

function logged(...rules: unknown[]): unknown {
  return outcome(...rules).log;
}

function fromAddress(ip: string): Connection {
  return { ...CONNECTION, client: { ip, port: 40_000 } };
}

describe("close-connection", () => {
  it("denies like deny", () => {
    expect(said(outcome(when("true", action("close-connection"))))).toBe("deny 0");
    expect(said(outcome(when("true", action("close-connection", {}))))).toBe("deny 0");
  });
});

describe("log", () => {
  it("decides nothing, and what it recorded comes along with whatever decides", () => {
    expect(outcome(rule(log({ a: "1" })), rule(log({ b: "2" }), deny))).toEqual({
      kind: "deny",
      reason: "rule",
      rule: 1,
      log: [{ a: "1" }, { b: "2" }],
    });
    expect(outcome(rule(log({ a: "1" })))).toEqual({ kind: "fell-through", log: [{ a: "1" }] });
  });

  it("is not run by a rule that does not match", () => {
    expect(outcome(when("false", log({ a: "1" })))).toEqual({ kind: "fell-through" });
  });

  it("keeps the type of an expression that stands alone, and makes text of one within a text", () => {
    const metadata = {
      alone: "${conn.client_port}",
      embedded: "from ${conn.client_port}",
      twice: "${conn.client_ip}${conn.client_ip}",
      bool: "${true}",
      text: "is ${true}",
      double: "${1.5}",
      whole: "${1.0} ${2u}",
      list: "${[1, 2]}",
      map: '${{"a": "}"}}',
      nothing: "${null}",
      start: "${conn.ts.start}",
      now: "${time.now}",
      bytes: '${b"abc"}',
      nested: { deep: ["${conn.server_port}", 7, false, null, 0.5] },
    };
    expect(logged(rule(log(metadata)))).toEqual([
      {
        alone: 40_000,
        embedded: "from 40000",
        twice: "192.0.2.7192.0.2.7",
        bool: true,
        text: "is true",
        double: 1.5,
        whole: "1 2",
        list: [1, 2],
        map: { a: "}" },
        nothing: null,
        start: "2026-11-21T10:00:00Z",
        now: "2026-11-21T10:00:01.000Z",
        bytes: "YWJj",
        nested: { deep: [443, 7, false, null, 0.5] },
      },
    ]);
  });

  it("leaves integers that JSON cannot hold as text", () => {
    expect(logged(rule(log({ n: "${9223372036854775807}" })))).toEqual([{ n: "9223372036854775807" }]);
  });

  it("keeps a key named __proto__ a key", () => {
    const metadata = JSON.parse('{ "__proto__": "x" }');
    const [entry] = (logged(rule(log(metadata))) ?? []) as object[];
    expect(Object.entries(entry ?? {})).toEqual([["__proto__", "x"]]);
  });

  it("may be empty", () => {
    expect(logged(rule(action("log", {})))).toEqual([{}]);
  });

  it("denies where a value cannot be made, or is larger than a variable may be", () => {
    expect(outcome(rule(log({ a: "${1 / 0}" })), rule(deny))).toMatchObject({
      kind: "deny",
      reason: "expression-error",
      rule: 0,
      action: 0,
    });
    const vars = setVars({ large: "x".repeat(4090) });
    expect(said(outcome(rule(vars, log({ a: "${vars.large}12345" }))))).toBe("fell-through");
    expect(said(outcome(rule(vars, log({ a: "${vars.large}", b: "12345" }))))).toBe("error 0!1");
    expect(() => policyOf(rule(setVars({ a: "x".repeat(5000) })))).toThrow(/more than 4096 characters/);
  });

  it("sets actions.ngrok.log.metadata to what the last one recorded", () => {
    const rules = [
      rule(log({ a: "1", b: "2" })),
      rule(log({ a: "3" })),
      when('actions.ngrok.log.metadata == {"a": "3"}', deny),
    ];
    expect(said(outcome(...rules))).toBe("deny 2");
  });
});

describe("set-vars", () => {
  it("sets each variable in order, so that later ones read earlier ones, and all later rules do", () => {
    const rules = [
      rule(setVars({ port: "${conn.client_port}" }, { next: "${vars.port + 1}" }, { text: "p${vars.next}" })),
      when('vars.port == 40000 && vars.next == 40001 && vars.text == "p40001"', deny),
    ];
    expect(said(outcome(...rules))).toBe("deny 1");
  });

  it.each([
    ['vars.text == "bar"', "a text"],
    ["vars.double == 1.5", "a double"],
    ["vars.int + 1 == 4", "an int"],
    ["vars.bool", "a bool that is the whole expression"],
    ["vars.nothing == null", "null"],
    ["vars.list[0] + vars.list[2] == 4", "a list"],
    ['vars.map.key == "value"', "a map"],
    ['vars.nested.key[1] == "b"', "a nested map"],
    ['vars.nested["key"].exists(x, x == "a")', "a loop over a nested list"],
    ["has(vars.map.key) && !has(vars.map.other)", "has over a map"],
  ])("gives %s: %s", (expression) => {
    const vars = [
      { text: "bar" },
      { double: 1.5 },
      { int: 3 },
      { bool: true },
      { nothing: null },
      { list: [1, 2, 3] },
      { map: { key: "value" } },
      { nested: { key: ["a", "b"] } },
    ];
    expect(said(outcome(rule(setVars(...vars)), when(expression, deny)))).toBe("deny 1");
  });

  it("may set one again, from what it was", () => {
    const rules = [
      rule(setVars({ l: [1, 2, 3, 4] }, { l: "${vars.l.filter(x, x > 2)}" }, { l: "${size(vars.l)}" })),
      when("vars.l == 2", deny),
    ];
    expect(said(outcome(...rules))).toBe("deny 1");
  });

  it("knows the types of what it sets: a mistake is found when the policy is read", () => {
    expect(() => policyOf(rule(setVars({ a: "x" })), when("vars.a > 3", deny))).toThrow(/overload/);
  });

  it("leaves a variable that no rule has set an error, which denies", () => {
    const rules = [when("false", setVars({ a: "1" })), when('vars.a == "1"', deny), rule(deny)];
    expect(said(outcome(...rules))).toBe("error 1.0");
    expect(said(outcome(when("false", setVars({ a: "1" })), when("has(vars.a)", deny)))).toBe("fell-through");
  });

  it("denies where a variable would hold more than it may, however it grew", () => {
    const grow = Array.from({ length: 12 }, (_, i) => ({ [`v${i + 1}`]: `\${vars.v${i} + vars.v${i}}` }));
    expect(said(outcome(rule(setVars({ v0: "ab" }, ...grow.slice(0, 11)))))).toBe("fell-through");
    expect(said(outcome(rule(setVars({ v0: "ab" }, ...grow))))).toBe("error 0!0");
  });
});

describe("restrict-ips", () => {
  const restrict = (config: object) => policyOf(rule(action("restrict-ips", config)));
  it.each<[string, object, string, string]>([
    ["allowed", { allow: ["192.0.2.0/24"] }, "192.0.2.7", "fell-through"],
    ["not allowed", { allow: ["192.0.2.0/24"] }, "198.51.100.7", "deny 0"],
    ["allowed and denied", { allow: ["192.0.2.0/24"], deny: ["192.0.2.7/32"] }, "192.0.2.7", "deny 0"],
    ["beside the denied", { allow: ["192.0.2.0/24"], deny: ["192.0.2.7/32"] }, "192.0.2.8", "fell-through"],
    ["deny alone denies everybody", { deny: ["192.0.2.7/32"] }, "198.51.100.7", "deny 0"],
    ["neither list", {}, "192.0.2.7", "deny 0"],
    ["the last address of a range", { allow: ["192.0.2.0/25"] }, "192.0.2.127", "fell-through"],
    ["the first beyond it", { allow: ["192.0.2.0/25"] }, "192.0.2.128", "deny 0"],
    ["bits behind the prefix", { allow: ["192.0.2.99/24"] }, "192.0.2.7", "fell-through"],
    ["everybody of a family", { allow: ["0.0.0.0/0"] }, "192.0.2.7", "fell-through"],
    ["an IPv4 address and all of IPv6", { allow: ["::/0"] }, "192.0.2.7", "deny 0"],
    ["an IPv6 address and all of IPv4", { allow: ["0.0.0.0/0"] }, "2001:db8::7", "deny 0"],
    ["an IPv6 range", { allow: ["2001:db8::/32"] }, "2001:db8:ffff::1", "fell-through"],
    ["beyond an IPv6 range", { allow: ["2001:db8::/33"] }, "2001:db8:8000::1", "deny 0"],
    ["a mapped range", { allow: ["::ffff:192.0.2.0/120"] }, "192.0.2.7", "fell-through"],
  ])("%s", (_title, config, ip, expected) => {
    expect(said(ask(restrict(config), pod(), fromAddress(ip)))).toBe(expected);
  });

  it("20: decides the same in whatever order the ranges are written", () => {
    const ranges = ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24", "::/0"];
    for (let mask = 0; mask < 16; mask++) {
      const allow = ranges.filter((_, i) => (mask >> i) % 2 === 1);
      for (const ip of ["10.1.2.3", "10.2.0.1", "192.0.2.1", "2001:db8::1"]) {
        const one = ask(
          restrict({ allow: [...allow, "10.1.2.3/32"], deny: ["10.1.0.0/24"] }),
          pod(),
          fromAddress(ip),
        );
        const other = ask(
          restrict({ allow: ["10.1.2.3/32", ...allow.toReversed()], deny: ["10.1.0.0/24"] }),
          pod(),
          fromAddress(ip),
        );
        expect(said(one)).toBe(said(other));
      }
    }
  });

  it("only tells what it would do where enforce is false", () => {
    const metadata = {
      message: "would be ${actions.ngrok.restrict_ips.action} for ${conn.client_ip}",
      matched: "${actions.ngrok.restrict_ips.matched_cidr}",
      code: "${actions.ngrok.restrict_ips.error.code}",
      error: "${actions.ngrok.restrict_ips.error.message}",
    };
    const test = (allow: string[], deny: string[]) =>
      logged(rule(action("restrict-ips", { enforce: false, allow, deny }), log(metadata)));
    const told = (verdict: string, matched: string) => [
      { message: `would be ${verdict} for 192.0.2.7`, matched, code: "", error: "" },
    ];
    expect(test(["192.0.2.0/24"], [])).toEqual(told("allow", "192.0.2.0/24"));
    expect(test(["198.51.100.0/24"], [])).toEqual(told("deny", ""));
    expect(test(["192.0.2.0/24"], ["192.0.2.7/32"])).toEqual(told("deny", "192.0.2.7/32"));
  });

  it("takes ranges that expressions make, and denies where one makes none", () => {
    const rules = (enforce: boolean) => [
      rule(setVars({ net: "192.0.2" })),
      rule(action("restrict-ips", { enforce, allow: ["${vars.net}.0/24"] })),
      rule(action("restrict-ips", { enforce, allow: ["0.0.0.0/0", "${vars.net}"] })),
    ];
    expect(outcome(...rules(true))).toMatchObject({
      reason: "expression-error",
      rule: 2,
      action: 0,
      error: "`192.0.2` is no address range: write one such as 192.0.2.0/24 or 2001:db8::/32",
    });
    const told = rule(
      log({
        code: "${actions.ngrok.restrict_ips.error.code}",
        action: "${actions.ngrok.restrict_ips.action}",
      }),
    );
    expect(logged(...rules(false), told)).toEqual([{ code: "ERR_NGROK_2204", action: "deny" }]);
  });

  it("leaves the verdict open where the caller's address is not known, even where it is only to tell", () => {
    for (const enforce of [true, false]) {
      const policy = policyOf(rule(action("restrict-ips", { enforce, allow: ["0.0.0.0/0"] })));
      expect(ask(policy, pod(), AHEAD)).toEqual({ kind: "undecided", rule: 0, needs: ["conn.client_ip"] });
    }
  });
});

describe("forward-internal", () => {
  const nowhere = () => ({ code: "ERR_NGROK_3200", message: "nothing has that url" });

  it("makes its url from expressions", () => {
    const url = `http://ledger-\${${M}.name}.\${${M}.namespace}.internal:\${conn.server_port}`;
    expect(outcome(rule(forwardTo(url)))).toEqual({
      kind: "forward",
      rule: 0,
      url: "http://ledger-a.payments.internal:443",
    });
  });

  it("denies where its url cannot be made", () => {
    const url = `http://\${${M}.annotations["ngrok.com/target"]}.internal`;
    expect(said(outcome(rule(forwardTo(url, "continue")), when("true", deny)))).toBe("error 0!0");
  });

  it("ends the policy where its target is found, also with on_error continue", () => {
    expect(said(outcome(rule(forwardTo("http://a.b.internal", "continue"), deny)))).toBe("forward 0");
  });

  it("goes on where its target is not found and on_error says so, and tells what went wrong", () => {
    const policy = policyOf(
      rule(forwardTo("http://a.${conn.k8s.pod.metadata.namespace}.internal", "continue")),
      rule(
        log({
          url: "${actions.ngrok.forward_internal.url}",
          code: "${actions.ngrok.forward_internal.error.code}",
          message: "${actions.ngrok.forward_internal.error.message}",
        }),
        forwardTo("http://fallback.payments.internal"),
      ),
    );
    expect(ask(policy, pod(), CONNECTION, nowhere)).toEqual({
      kind: "forward",
      rule: 1,
      url: "http://fallback.payments.internal",
      log: [
        {
          url: "http://a.payments.internal",
          code: "ERR_NGROK_3200",
          message: "nothing has that url",
        },
      ],
    });
  });

  it("ends the policy where its target is not found and on_error says nothing: what that means is not asked here", () => {
    expect(said(ask(policyOf(rule(forwardTo("http://a.b.internal"))), pod(), CONNECTION, nowhere))).toBe(
      "forward 0",
    );
  });
});

describe("terminate-tls", () => {
  it("without a certificate denies, before there is a connection too", () => {
    const policy = policyOf(rule(action("terminate-tls", { min_version: "1.3" })), rule(deny));
    for (const connection of [AHEAD, CONNECTION]) {
      expect(ask(policy, pod(), connection)).toMatchObject({
        kind: "deny",
        reason: "expression-error",
        rule: 0,
      });
    }
    expect(policy.scope).toBe("dynamic");
  });
});

describe("what is not known", () => {
  const port = "conn.client_port > 1023";

  it("leaves the verdict open at the first rule that hangs on it, and nothing before", () => {
    const policy = policyOf(
      when(`${M}.namespace != "payments"`, deny),
      when(port, deny),
      rule(forwardTo("http://a.b.internal")),
    );
    expect(said(ask(policy, pod({ namespace: "sandbox" })))).toBe("deny 0");
    expect(ask(policy, pod())).toEqual({ kind: "undecided", rule: 1, needs: ["conn.client_port"] });
    expect(said(ask(policy, pod(), CONNECTION))).toBe("deny 1");
  });

  it("does not matter beside a false, and goes before an error, which a false could still absorb", () => {
    const error = `${M}.annotations["x"] == ""`;
    const with_ = (...expressions: string[]) => said(ask(policyOf({ expressions, actions: [deny] }), pod()));
    expect(with_(port, "false")).toBe("fell-through");
    expect(with_("false", port)).toBe("fell-through");
    expect(with_(error, port)).toBe("undecided 0");
    expect(with_(port, error)).toBe("undecided 0");
  });

  it.each([
    "conn.client_ip",
    "conn.server_ip",
    "time.now",
    "string(conn.client_port)",
    "string(conn.server_port)",
    "string(conn.ts.start)",
    "string(rand.double())",
    "string(rand.int(0, 9))",
    "string(has(conn.client_ip))",
  ])("%s", (expression) => {
    expect(said(ask(policyOf(when(`${expression} != ""`, deny)), pod()))).toBe("undecided 0");
    expect(said(ask(policyOf(when(`${expression} != ""`, deny)), pod(), CONNECTION))).toBe("deny 0");
    expect(said(ask(policyOf(rule(log({ a: `\${${expression}}` }))), pod()))).toBe("undecided 0");
    expect(said(ask(policyOf(rule(setVars({ a: `x\${${expression}}` }))), pod()))).toBe("undecided 0");
  });

  it.each(["labels of the namespace", "labels of the pod"])("may be %s", (which) => {
    const name = which === "labels of the pod" ? "conn.k8s.pod.labels" : "conn.k8s.namespace.labels";
    const policy = policyOf(when(`!("app" in ${name})`, deny));
    const [labels, namespaceLabels] =
      which === "labels of the pod" ? ([UNKNOWN, new Map()] as const) : ([new Map(), UNKNOWN] as const);
    expect(said(ask(policy, pod({ labels, namespaceLabels })))).toBe("undecided 0");
    expect(said(ask(policy, pod()))).toBe("deny 0");
  });
});
