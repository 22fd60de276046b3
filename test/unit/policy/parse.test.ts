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
/** `{ a: { a: ... } }`, so many levels deep. */
const nested = (depth: number): unknown => (depth === 0 ? "x" : { a: nested(depth - 1) });
/** Nine levels of nine references to the level below, as YAML's anchors make them. */
const laughs = () => {
  let level: unknown = "ha";
  for (let i = 0; i < 9; i++) level = { a: new Array(9).fill(level) };
  return level;
};
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
        "the action has no type: write one of deny, close-connection, forward-internal, log, restrict-ips, set-vars, terminate-tls",
      ],
    ],
    [
      "24: an unknown action",
      action("allow"),
      [
        "ERR_NGROK_2201",
        "on_tcp_connect[0].actions[0].type",
        "there is no action `allow`: use one of deny, close-connection, forward-internal, log, restrict-ips, set-vars, terminate-tls",
      ],
    ],
    [
      "an action of HTTP",
      action("rate-limit"),
      [
        "ERR_NGROK_2202",
        "on_tcp_connect[0].actions[0].type",
        "action `rate-limit` works on HTTP, not at on_tcp_connect: use one of deny, close-connection, forward-internal, log, restrict-ips, set-vars, terminate-tls",
      ],
    ],
    [
      "close-connection with a status",
      action("close-connection", { status_code: 403 }),
      [
        "ERR_NGROK_2203",
        "on_tcp_connect[0].actions[0].config.status_code",
        "unknown key `status_code`: remove it",
      ],
    ],
    [
      "log without config",
      action("log"),
      [
        "ERR_NGROK_2203",
        "on_tcp_connect[0].actions[0].config",
        "it is missing: write an object with `metadata`",
      ],
    ],
    [
      "log with text",
      action("log", { metadata: "x" }),
      [
        "ERR_NGROK_2203",
        "on_tcp_connect[0].actions[0].config.metadata",
        "it is a string: write an object, such as `message: refused`",
      ],
    ],
    [
      "log with something deep",
      action("log", { metadata: { a: nested(20) } }),
      [
        "ERR_NGROK_2203",
        "on_tcp_connect[0].actions[0].config.metadata.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a",
        "it is deeper than 16 levels or has over 256 members: make it smaller",
      ],
    ],
    [
      "log with a billion laughs",
      action("log", { metadata: laughs() }),
      [
        "ERR_NGROK_2203",
        "on_tcp_connect[0].actions[0].config.metadata.a[0].a[0].a[0].a[0].a[0].a[0].a[0].a[0]",
        "it is deeper than 16 levels or has over 256 members: make it smaller",
      ],
    ],
    [
      "ip policies",
      action("restrict-ips", { ip_policies: ["ipp_1"] }),
      [
        "PODGATE_UNSUPPORTED",
        "on_tcp_connect[0].actions[0].config.ip_policies",
        "ip policies are kept in ngrok's cloud, which nothing here asks: write their ranges into allow and deny",
      ],
    ],
    [
      "a word for a range",
      action("restrict-ips", { allow: ["everybody"] }),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.allow[0]",
        "`everybody` is no address range: write one such as 192.0.2.0/24 or 2001:db8::/32",
      ],
    ],
    [
      "an address for a range",
      action("restrict-ips", { deny: ["2001:db8::1"], allow: ["::/0"] }),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.deny[0]",
        "`2001:db8::1` is an address and no range: write 2001:db8::1/128",
      ],
    ],
    [
      "a prefix too long",
      action("restrict-ips", { allow: ["192.0.2.0/33"] }),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.allow[0]",
        "`192.0.2.0/33` is no address range: write one such as 192.0.2.0/24 or 2001:db8::/32",
      ],
    ],
    [
      "a number for a range",
      action("restrict-ips", { allow: [10] }),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.allow[0]",
        "it is a number: write a range such as 192.0.2.0/24",
      ],
    ],
    [
      "a range for a list",
      action("restrict-ips", { allow: "192.0.2.0/24" }),
      [
        "ERR_NGROK_2203",
        "on_tcp_connect[0].actions[0].config.allow",
        "it is a string: write a list of ranges, such as `- 192.0.2.0/24`",
      ],
    ],
    [
      "a range of another type",
      action("restrict-ips", { allow: ["${1 + 1}"] }),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.allow[0]",
        "its expression is of type int: a range is a string",
      ],
    ],
    [
      "enforce in quotes",
      action("restrict-ips", { allow: ["::/0"], enforce: "false" }),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.enforce",
        "it is a string: write true or false, or remove it",
      ],
    ],
    [
      "set-vars without vars",
      action("set-vars", {}),
      [
        "ERR_NGROK_2203",
        "on_tcp_connect[0].actions[0].config.vars",
        "it is missing: write a list, such as `- team: blue`",
      ],
    ],
    [
      "two variables in one item",
      action("set-vars", { vars: [{ a: 1, b: 2 }] }),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.vars[0]",
        "it has 2 names: write each variable as an item of its own",
      ],
    ],
    [
      "a variable without a name",
      action("set-vars", { vars: [{}] }),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.vars[0]",
        "it has 0 names: write each variable as an item of its own",
      ],
    ],
    [
      "a variable nobody can read",
      action("set-vars", { vars: [{ "a-b": 1 }] }),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.vars[0].a-b",
        "an expression cannot read a variable of this name: use letters, digits and `_`",
      ],
    ],
    [
      "a variable that reads itself",
      action("set-vars", { vars: [{ a: "${vars.a}" }] }),
      [
        "ERR_NGROK_2200",
        "on_tcp_connect[0].actions[0].config.vars[0].a",
        "`vars` is not available (no set-vars action before it sets it): remove it or use conn.k8s.pod.*",
      ],
    ],
    [
      "a version without quotes",
      action("terminate-tls", { min_version: 1.3 }),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.min_version",
        'it is a number: write "1.3" in quotes',
      ],
    ],
    [
      "an unknown version",
      action("terminate-tls", { max_version: "1.4" }),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.max_version",
        "it is none of 1.0, 1.1, 1.2, 1.3",
      ],
    ],
    [
      "no version left",
      action("terminate-tls", { min_version: "1.3", max_version: "1.2" }),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.min_version",
        "it is above max_version, so no version is left: lower it",
      ],
    ],
    [
      "half a pair",
      action("terminate-tls", { server_private_key: "secret" }),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.server_certificate",
        "it is missing: a key and its certificate go together",
      ],
    ],
    [
      "a certificate of ngrok's",
      action("terminate-tls", { mutual_tls_certificate_authorities: ["ca_1"] }),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.mutual_tls_certificate_authorities[0]",
        "an id names a certificate in ngrok's cloud, which nothing here asks: write the certificate itself in PEM",
      ],
    ],
    [
      "an unknown strategy",
      action("terminate-tls", { mutual_tls_verification_strategy: "maybe" }),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.mutual_tls_verification_strategy",
        "it is none of require-and-verify, require-any, request: write one or remove it",
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
      "an unknown variable in a url",
      forwardTo({ url: "http://${vars.x}.internal" }),
      [
        "ERR_NGROK_2200",
        "on_tcp_connect[0].actions[0].config.url",
        "`vars` is not available (no set-vars action before it sets it): remove it or use conn.k8s.pod.*",
      ],
    ],
    [
      "an interpolation without an end",
      forwardTo({ url: "http://${conn.k8s.pod.id" }),
      [
        "ERR_NGROK_2200",
        "on_tcp_connect[0].actions[0].config.url",
        "`${` has no end: write `}` behind the expression",
      ],
    ],
    [
      "a url that is a number",
      forwardTo({ url: "${1 + 1}" }),
      [
        "ERR_NGROK_2204",
        "on_tcp_connect[0].actions[0].config.url",
        "its expression is of type int: a url is a string",
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
      "a variable of another place",
      rules(rule("conn.client_ip.is_tor_node")),
      [
        "ERR_NGROK_2200",
        "on_tcp_connect[0].expressions[0]",
        "`conn.client_ip.is_tor_node` is not available (nothing here knows more of an address than the address): remove it or use conn.k8s.pod.*",
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
      [
        {
          type: "forward-internal",
          url: expect.objectContaining({ constant: { value: url } }),
          continueOnError: false,
        },
      ],
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

  it.each<[string, string[], "namespace" | "pod" | "dynamic", boolean]>([
    ["nothing", ["true"], "namespace", false],
    ["namespace and error_code", [`${M}.namespace == "a"`, `${M}.error_code == ""`], "namespace", true],
    ["error_message", [`${M}.error_message == ""`], "namespace", true],
    ["a name", [`${M}.namespace == "a" || ${M}.name == "b"`], "pod", true],
    ["an id", ['conn.k8s.pod.id == "b"'], "pod", true],
    ["an annotation inside a comprehension", [`["a"].exists(x, x in ${M}.annotations)`], "pod", true],
    ["an annotation inside has", [`has(${M}.annotations.x)`], "pod", true],
    [
      "the endpoint and the destination",
      ["endpoint.port == 443 && conn.server_port == 443"],
      "namespace",
      false,
    ],
    [
      "labels of the namespace, and the node",
      ["conn.k8s.node.name in conn.k8s.namespace.labels"],
      "namespace",
      true,
    ],
    ["a label", ['"app" in conn.k8s.pod.labels'], "pod", true],
    ["a service account", ['conn.k8s.pod.service_account == "x"'], "pod", true],
    ["its address", ['conn.client_ip == "192.0.2.7"'], "pod", false],
    ["a port", ["conn.client_port < 1024"], "dynamic", false],
    ["the time", [`time.now < "2027" || ${M}.name == "x"`], "dynamic", true],
    ["the beginning", ["conn.ts.start.getFullYear() == 2026"], "dynamic", false],
    ["chance", ["rand.int(0, 9) == 1"], "dynamic", false],
    ["a name in a branch never taken", [`true ? true : ${M}.name == "x"`], "pod", true],
  ])("that reads %s", (_title, expressions, scope, readsPod) => {
    expect(policyOf(rule(...expressions))).toMatchObject({ scope, readsPod });
  });
});

describe("whether a bad policy was about pods", () => {
  it.each<[string, unknown, boolean]>([
    ["null", null, false],
    ["IP rules only", action("restrict-ips", { deny: ["192.0.2.0"] }), false],
    ["HTTP rules only", { on_http_request: [{ expressions: ["req.method == 'GET'"], ...deny }] }, false],
    ["HTTP rules over pods", { on_http_request: [{ expressions: [`${M}.name == "a"`], ...deny }] }, true],
    ["a misspelt key", { on_tcp_conect: [rule(`${M}.name == "a"`)] }, true],
    ["a misspelt variable", rules(rule("conn.k8s.pod.nme == ''")), true],
    ["an index in place of a field", rules(rule('conn["k8s"].pod.id == ""')), true],
    ["what YAML left of an expression", rules(rule('in ["a"])')), true],
    ["an interpolation", forwardTo({ url: "http://${conn.k8s.pod.metadata.namspace}.internal" }), true],
    ["text", `on_tcp_connect: [{expressions: ['${M}.name == ""']}]`, true],
  ])("%s", (_title, value, expected) => {
    expect(parsePolicy(value, "")).toMatchObject({ ok: false, readsPod: expected });
  });
});
