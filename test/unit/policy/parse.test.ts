import { describe, expect, it } from "vitest";
import { HTTP_RULES, parsePolicy } from "../../../agent/policy/parse.ts";
import { deny, forward, M, policyOf, rule } from "./builders.ts";

type Fault = [code: string, path: string, message: string];

/** Code, path and message of every diagnostic, in order. */
function faults(value: unknown, path = ""): Fault[] {
  const parsed = parsePolicy(value, path);
  return parsed.ok ? [] : parsed.diagnostics.map(({ code, path, message }) => [code, path, message]);
}

const rules = (...on_tcp_connect: unknown[]) => ({ on_tcp_connect });
const action = (type: unknown, config?: unknown) =>
  rules({ actions: [config === undefined ? { type } : { type, config }] });
const forwardTo = (config: unknown) => action("forward-internal", config);

describe("a bad policy", () => {
  it.each<[string, unknown, Fault]>([
    ["22: null", null, ["ERR_NGROK_2236", "", "it is null: write an object with `on_tcp_connect`"]],
    [
      "22: nothing",
      undefined,
      ["ERR_NGROK_2236", "", "it is missing: write an object with `on_tcp_connect`"],
    ],
    [
      "text",
      "on_tcp_connect: []",
      ["ERR_NGROK_2236", "", "it is a string: write an object with `on_tcp_connect`"],
    ],
    ["a list", [deny], ["ERR_NGROK_2236", "", "it is a list: write an object with `on_tcp_connect`"]],
    [
      "22: null rules",
      { on_tcp_connect: null },
      ["ERR_NGROK_2236", "on_tcp_connect", "it is null: write a list of rules, or leave it out"],
    ],
    [
      "undefined rules",
      { on_tcp_connect: undefined },
      ["ERR_NGROK_2236", "on_tcp_connect", "it is missing: write a list of rules, or leave it out"],
    ],
    [
      "rules as an object",
      { on_tcp_connect: deny },
      ["ERR_NGROK_2236", "on_tcp_connect", "it is an object: write a list of rules, or leave it out"],
    ],
    [
      "an unknown phase",
      { on_tcp_conect: [deny] },
      [
        "ERR_NGROK_2236",
        "on_tcp_conect",
        "unknown key `on_tcp_conect`: use on_tcp_connect, on_http_request, on_http_response or remove it",
      ],
    ],
    [
      "a legacy phase",
      { inbound: [] },
      ["PODGATE_LEGACY", "inbound", "`inbound` is of an older format: write on_tcp_connect"],
    ],
    [
      "the other legacy phase",
      { outbound: [] },
      ["PODGATE_LEGACY", "outbound", "`outbound` is of an older format: write on_tcp_connect"],
    ],
    [
      "a legacy switch",
      { enabled: true },
      [
        "PODGATE_LEGACY",
        "enabled",
        "`enabled` is of an older format: remove it; to switch a policy off, delete it",
      ],
    ],
    [
      "HTTP rules",
      { on_http_request: [deny] },
      [
        HTTP_RULES,
        "on_http_request",
        "HTTP rules are not executed yet: move them to another endpoint or remove them",
      ],
    ],
    [
      "HTTP response rules",
      { on_http_response: [deny] },
      [
        HTTP_RULES,
        "on_http_response",
        "HTTP rules are not executed yet: move them to another endpoint or remove them",
      ],
    ],
    [
      "event stream rules",
      { on_event_stream_message: [deny] },
      [
        HTTP_RULES,
        "on_event_stream_message",
        "HTTP rules are not executed yet: move them to another endpoint or remove them",
      ],
    ],
    [
      "null HTTP rules",
      { on_http_request: null },
      ["ERR_NGROK_2236", "on_http_request", "it is null: write a list of rules, or leave it out"],
    ],
    [
      "a null rule",
      rules(null),
      ["ERR_NGROK_2236", "on_tcp_connect[0]", "it is null: write a rule with `actions`"],
    ],
    [
      "24: an unknown key of a rule",
      rules({ ...deny, expression: "true" }),
      [
        "ERR_NGROK_2236",
        "on_tcp_connect[0].expression",
        "unknown key `expression`: use name, expressions, actions or remove it",
      ],
    ],
    [
      "an object as name",
      rules({ ...deny, name: {} }),
      ["ERR_NGROK_2236", "on_tcp_connect[0].name", "it is an object: write a word"],
    ],
    [
      "a rule without actions",
      rules({ expressions: ["true"] }),
      [
        "ERR_NGROK_2206",
        "on_tcp_connect[0].actions",
        "the rule has no actions: add one, such as `- type: deny`",
      ],
    ],
    [
      "a rule with no action",
      rules({ actions: [] }),
      [
        "ERR_NGROK_2206",
        "on_tcp_connect[0].actions",
        "the rule has no actions: add one, such as `- type: deny`",
      ],
    ],
    [
      "null actions",
      rules({ actions: null }),
      [
        "ERR_NGROK_2236",
        "on_tcp_connect[0].actions",
        "it is null: write a list of actions, such as `- type: deny`",
      ],
    ],
    [
      "22: null expressions",
      rules({ ...deny, expressions: null }),
      [
        "ERR_NGROK_2236",
        "on_tcp_connect[0].expressions",
        "it is null: write a list of expressions, or leave it out",
      ],
    ],
    [
      "one expression as text",
      rules({ ...deny, expressions: "true" }),
      [
        "ERR_NGROK_2236",
        "on_tcp_connect[0].expressions",
        "it is a string: write a list of expressions, or leave it out",
      ],
    ],
    [
      "a boolean expression",
      rules({ ...deny, expressions: [true] }),
      [
        "ERR_NGROK_2200",
        "on_tcp_connect[0].expressions[0]",
        'it is a boolean, not an expression: quote the expression (- "...")',
      ],
    ],
    [
      "an action that is a word",
      rules({ actions: ["deny"] }),
      [
        "ERR_NGROK_2236",
        "on_tcp_connect[0].actions[0]",
        "it is a string: write an action, such as `type: deny`",
      ],
    ],
    [
      "an unknown key of an action",
      rules({ actions: [{ type: "deny", if: "x" }] }),
      [
        "ERR_NGROK_2236",
        "on_tcp_connect[0].actions[0].if",
        "unknown key `if`: use type, config or remove it",
      ],
    ],
    [
      "an action without type",
      rules({ actions: [{ config: {} }] }),
      [
        "ERR_NGROK_2201",
        "on_tcp_connect[0].actions[0].type",
        "the action has no type: write deny or forward-internal",
      ],
    ],
    [
      "24: an unknown action",
      action("allow"),
      [
        "ERR_NGROK_2201",
        "on_tcp_connect[0].actions[0].type",
        "there is no action `allow`: use deny or forward-internal",
      ],
    ],
    [
      "an action of HTTP",
      action("rate-limit"),
      [
        "ERR_NGROK_2202",
        "on_tcp_connect[0].actions[0].type",
        "action `rate-limit` works on HTTP, not at on_tcp_connect: use deny or forward-internal",
      ],
    ],
    [
      "close-connection",
      action("close-connection"),
      [
        "PODGATE_UNSUPPORTED",
        "on_tcp_connect[0].actions[0].type",
        "action `close-connection` is not supported yet: use deny",
      ],
    ],
    [
      "log",
      action("log", { metadata: {} }),
      [
        "PODGATE_UNSUPPORTED",
        "on_tcp_connect[0].actions[0].type",
        "action `log` is not supported yet: remove it, every verdict is logged",
      ],
    ],
    [
      "restrict-ips",
      action("restrict-ips"),
      [
        "PODGATE_UNSUPPORTED",
        "on_tcp_connect[0].actions[0].type",
        "action `restrict-ips` is not supported yet: write a rule over conn.k8s.pod.*",
      ],
    ],
    [
      "set-vars",
      action("set-vars"),
      [
        "PODGATE_UNSUPPORTED",
        "on_tcp_connect[0].actions[0].type",
        "action `set-vars` is not supported yet: write the value into the expressions",
      ],
    ],
    [
      "terminate-tls",
      action("terminate-tls"),
      [
        "PODGATE_UNSUPPORTED",
        "on_tcp_connect[0].actions[0].type",
        "action `terminate-tls` is not supported yet: let the upstream terminate TLS",
      ],
    ],
    [
      "null config",
      action("deny", null),
      [
        "ERR_NGROK_2203",
        "on_tcp_connect[0].actions[0].config",
        "it is null: write an object, or leave `config` out",
      ],
    ],
    [
      "a wrong status",
      action("deny", { status_code: 200 }),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.status_code",
        "it is no HTTP error: write 400 to 599 or remove it",
      ],
    ],
    [
      "an unknown key of deny",
      action("deny", { code: 403 }),
      [
        "ERR_NGROK_2203",
        "on_tcp_connect[0].actions[0].config.code",
        "unknown key `code`: use status_code or remove it",
      ],
    ],
    [
      "forward without config",
      action("forward-internal"),
      ["ERR_NGROK_2203", "on_tcp_connect[0].actions[0].config", "it is missing: write an object with `url`"],
    ],
    [
      "forward without url",
      forwardTo({}),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.url",
        "it is no url: write one such as http://ledger.payments.internal",
      ],
    ],
    [
      "forward with interpolation",
      forwardTo({ url: "http://${x}.internal" }),
      [
        "PODGATE_UNSUPPORTED",
        "on_tcp_connect[0].actions[0].config.url",
        "interpolation `${...}` is not supported yet: write the url in full",
      ],
    ],
    [
      "forward to an address",
      forwardTo({ url: "http://10.0.0.1" }),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.url",
        "read url `http://10.0.0.1`: an IP address is no forward target: write the url of an internal endpoint, such as http://ledger.payments.internal",
      ],
    ],
    [
      "forward with continue",
      forwardTo({ url: "http://a.b.internal", on_error: "continue" }),
      [
        "PODGATE_UNSUPPORTED",
        "on_tcp_connect[0].actions[0].config.on_error",
        "on_error `continue` is not supported yet: remove it or write halt",
      ],
    ],
    [
      "forward with nonsense",
      forwardTo({ url: "http://a.b.internal", on_error: 1 }),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.on_error",
        "it is neither halt nor continue: remove it or write halt",
      ],
    ],
    [
      "an unknown key of forward",
      forwardTo({ url: "http://a.b.internal", to: 1 }),
      [
        "ERR_NGROK_2203",
        "on_tcp_connect[0].actions[0].config.to",
        "unknown key `to`: use url, on_error or remove it",
      ],
    ],
    [
      "an action after deny",
      rules({ expressions: ["false"], actions: [{ type: "deny" }, ...forward.actions] }),
      [
        "ERR_NGROK_2207",
        "on_tcp_connect[0].actions[1]",
        "action `forward-internal` is never reached, an action before it ends the policy: remove it or move it up",
      ],
    ],
    [
      "a rule after an unconditional deny",
      rules(deny, forward),
      [
        "ERR_NGROK_2207",
        "on_tcp_connect[1].actions[0]",
        "action `forward-internal` is never reached, an action before it ends the policy: remove it or move it up",
      ],
    ],
    [
      "a rule after an empty list and deny",
      rules({ ...deny, expressions: [] }, deny),
      [
        "ERR_NGROK_2207",
        "on_tcp_connect[1].actions[0]",
        "action `deny` is never reached, an action before it ends the policy: remove it or move it up",
      ],
    ],
    [
      "16: too many rules",
      { on_tcp_connect: new Array(1001).fill(rule("true")) },
      ["ERR_NGROK_2264", "on_tcp_connect", "it has 1001 rules: write at most 1000"],
    ],
    [
      "16: too much text",
      rules(...new Array(20).fill(rule(`"${"x".repeat(4000)}" == ""`))),
      [
        "PODGATE_OVER_LIMIT",
        "on_tcp_connect",
        "its expressions are over 65536 characters together: shorten them",
      ],
    ],
    [
      "an empty expression",
      rules(rule("")),
      [
        "ERR_NGROK_2200",
        "on_tcp_connect[0].expressions[0]",
        'the expression is empty, which is what YAML leaves of an unquoted `!`: quote the expression (- "!(...)")',
      ],
    ],
    [
      "an unknown variable",
      rules(rule('conn.client_ip == "192.0.2.1"')),
      [
        "ERR_NGROK_2200",
        "on_tcp_connect[0].expressions[0]",
        "`conn.client_ip` is not available (only a connection knows it, and verdicts are made per pod): remove it or use conn.k8s.pod.*",
      ],
    ],
  ])("%s", (_title, value, fault) => {
    expect(faults(value)).toEqual([fault]);
  });

  it("16: refuses expressions that are costly only together", () => {
    const costly = `${M}.annotations.all(a, ${M}.annotations.all(b, a == b))`;
    expect(faults(rules(rule(costly)))).toEqual([]);
    const message = "its expressions together could take too long: make them simpler";
    expect(faults(rules(...new Array(20).fill(rule(costly))))).toEqual([
      ["PODGATE_OVER_LIMIT", "on_tcp_connect", message],
    ]);
  });

  it("has all its faults said at once, with paths from the object's root", () => {
    const value = {
      enabled: true,
      on_tcp_connect: [{ actions: [{ type: "dney" }], expressions: ["x", "true", "1"] }, { actions: [] }],
    };
    expect(faults(value, "spec.policy").map(([code, path]) => `${code} ${path}`)).toEqual([
      "PODGATE_LEGACY spec.policy.enabled",
      "ERR_NGROK_2200 spec.policy.on_tcp_connect[0].expressions[0]",
      "ERR_NGROK_2200 spec.policy.on_tcp_connect[0].expressions[2]",
      "ERR_NGROK_2201 spec.policy.on_tcp_connect[0].actions[0].type",
      "ERR_NGROK_2206 spec.policy.on_tcp_connect[1].actions",
    ]);
  });

  it("has a range where the fault is inside an expression", () => {
    const parsed = parsePolicy(rules(rule('conn.k8s.pod.id != "" && conn.nope == ""')), "");
    const [fault] = parsed.ok ? [] : parsed.diagnostics;
    expect(fault?.range).toEqual({ start: 25, end: 34 });
  });
});

describe("an expression that YAML has mangled", () => {
  it.each([
    'in ["worker-a", "worker-b"])',
    '== "a")',
    '!= "a" && true)',
    '&& conn.k8s.pod.id != ""',
    "",
    "  ",
    '"(" == "a") || true',
    "'a' in [\"a\"])",
  ])("%s is told to be quoted", (text) => {
    expect(faults(rules(rule(text)))).toEqual([
      [
        "ERR_NGROK_2200",
        "on_tcp_connect[0].expressions[0]",
        expect.stringMatching(/^the expression .*quote the expression \(- "!\(\.\.\.\)"\)$/),
      ],
    ]);
  });

  it.each([
    "null",
    "1 +",
    "index",
    "(1 == 1",
    '"in [" in conn.k8s.pod.nope',
  ])("%s is another fault", (text) => {
    expect(faults(rules(rule(text)))[0]?.[2]).not.toContain("quote");
  });

  it("leaves null of a bare exclamation mark, and that is told too", () => {
    expect(faults(rules({ ...deny, expressions: [null] }))[0]?.[2]).toContain(
      'quote the expression (- "!(...)")',
    );
  });
});

describe("a good policy", () => {
  it.each([404, true, 1.5, "a name", null])("may be named %s", (name) => {
    expect(policyOf({ ...deny, name }).rules[0]?.name).toBe(name === null ? "" : String(name));
  });

  it("may give deny a status, which has no effect at TCP, and forward-internal its default on_error", () => {
    const url = "http://a.b.internal";
    const policy = policyOf(
      { expressions: ["true"], actions: [{ type: "deny", config: { status_code: 403 } }] },
      { actions: [{ config: { on_error: "halt", url }, type: "forward-internal" }] },
    );
    expect(policy.rules.map((each) => each.actions)).toEqual([
      [{ type: "deny" }],
      [{ type: "forward-internal", url }],
    ]);
  });

  it("is warned of an empty list of expressions", () => {
    const parsed = parsePolicy(rules({ ...deny, expressions: [] }), "spec.policy");
    expect(parsed.ok && parsed.warnings).toEqual([
      {
        severity: "warning",
        code: "PODGATE_EMPTY_EXPRESSIONS",
        path: "spec.policy.on_tcp_connect[0].expressions",
        message: "an empty list matches every connection: leave it out or add one",
      },
    ]);
  });

  it.each<[string, string[], "namespace" | "pod", boolean]>([
    ["nothing", ["true"], "namespace", false],
    ["namespace and error_code", [`${M}.namespace == "a"`, `${M}.error_code == ""`], "namespace", true],
    ["error_message", [`${M}.error_message == ""`], "namespace", true],
    ["a name", [`${M}.namespace == "a" || ${M}.name == "b"`], "pod", true],
    ["an id", ['conn.k8s.pod.id == "b"'], "pod", true],
    ["an annotation inside a comprehension", [`["a"].exists(x, x in ${M}.annotations)`], "pod", true],
    ["an annotation inside has", [`has(${M}.annotations.x)`], "pod", true],
    ["a name in a branch never taken", [`true ? true : ${M}.name == "x"`], "pod", true],
  ])("that reads %s", (_title, expressions, scope, readsPod) => {
    expect(policyOf(rule(...expressions))).toMatchObject({ scope, readsPod });
  });
});

describe("whether a bad policy was about pods", () => {
  it.each<[string, unknown, boolean]>([
    ["null", null, false],
    ["IP rules only", action("restrict-ips", { deny: ["192.0.2.0/24"] }), false],
    ["HTTP rules only", { on_http_request: [{ expressions: ["req.method == 'GET'"], ...deny }] }, false],
    ["HTTP rules over pods", { on_http_request: [{ expressions: [`${M}.name == "a"`], ...deny }] }, true],
    ["a misspelt key", { on_tcp_conect: [rule(`${M}.name == "a"`)] }, true],
    ["a misspelt variable", rules(rule("conn.k8s.pod.nme == ''")), true],
    ["an index in place of a field", rules(rule('conn["k8s"].pod.id == ""')), true],
    ["what YAML left of an expression", rules(rule('in ["a"])')), true],
    ["an interpolation", forwardTo({ url: "http://${conn.k8s.pod.metadata.namespace}.internal" }), true],
    ["text", `on_tcp_connect: [{expressions: ['${M}.name == ""']}]`, true],
  ])("%s", (_title, value, expected) => {
    expect(parsePolicy(value, "")).toMatchObject({ ok: false, readsPod: expected });
  });
});
