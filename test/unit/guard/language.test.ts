/** What the guards make of the whole policy language: addresses told apart, verdicts left to the proxy, forwards that fall back. */
import { describe, expect, test } from "vitest";
import { decideConnection } from "../../../agent/guard/decide.ts";
import type { Guard } from "../../../agent/guard/guard.ts";
import { UNKNOWN } from "../../../agent/model/connection.ts";
import {
  agentEndpoint,
  boundAgent,
  Cluster,
  caller,
  connectionPolicy,
  deny,
  forward,
  nobody,
  port,
  type Rule,
  service,
} from "./builders.ts";

const V4 = "192.0.2.10:80";
const V6 = "[2001:db8::10]:80";
const NODE = "node:30080";
const NODE6 = "node6:30080";
const dual = { ipv4: "203.0.113.5", ipv6: "2001:db8:1::5" };
const payments = caller("payments/web", {}, { addresses: [dual.ipv4, dual.ipv6] });
const singleStack = caller("payments/single", {}, { addresses: [dual.ipv4] });
const addressless = caller("payments/new");
const services = [
  service("payments/ledger", ["192.0.2.10", "2001:db8::10"], [port(80, { nodePort: 30080 })]),
  service("payments/admin", ["192.0.2.11"], [80]),
  service("payments/only4", ["192.0.2.12"], [80]),
  service("payments/both", ["192.0.2.13", "2001:db8::13"], [80]),
];
const action = (type: string, config: Readonly<Record<string, unknown>>) => ({ type, config });
const policy = (rules: readonly Rule[], parts = {}, name = "p") =>
  connectionPolicy(`payments/${name}`, ["ledger"], rules, parts);
const guarded = (rules: readonly Rule[]) => new Cluster({ services, connectionPolicies: [policy(rules)] });
const when = (expression: string, ...actions: Rule["actions"][number][]): Rule => ({
  expressions: [expression],
  actions: actions.length > 0 ? actions : [deny],
});
const keys = (cluster: Cluster) => cluster.set.guards.map(({ key }) => key.replace(/^.*ledger:80/, ""));

describe("the caller's address", () => {
  const allowV4 = [{ actions: [action("restrict-ips", { allow: ["203.0.113.0/24"] })] }];

  test("is the pod's in the family of the destination", () => {
    const cluster = guarded(allowV4);
    expect(cluster.outcome(payments, V4)).toBe("allow");
    expect(cluster.outcome(payments, V6)).toBe("deny rule");
    expect(keys(cluster)).toEqual(["@4/unknown/unknown", "@6/unknown/unknown"]);
  });

  test("is certain at a node port too, of a pod that has one in the family", () => {
    expect(guarded(allowV4).outcome(payments, NODE)).toBe("allow");
    expect(guarded(allowV4).outcome(payments, NODE6)).toBe("deny rule");
    expect(guarded(allowV4).outcome(singleStack, NODE)).toBe("allow");
    for (const place of [V6, NODE6]) expect(guarded(allowV4).outcome(singleStack, place)).toBe("proxy");
  });

  test("is not known of a pod that has none yet, nor of a caller that is none: neither is let in", () => {
    for (const from of [addressless, nobody]) expect(guarded(allowV4).outcome(from, V4)).toBe("proxy");
    expect(guarded(allowV4).connect(addressless, V4)).toEqual({
      action: "proxy",
      reason: "pending",
      policy: { kind: "ConnectionPolicy", namespace: "payments", name: "p" },
      rule: 0,
      error: "it hangs on conn.client_ip, which is not known of this caller",
    });
  });

  test("does not matter to a rule before it", () => {
    const rules = [when('conn.k8s.pod.metadata.error_code != ""'), ...allowV4];
    expect(guarded(rules).outcome(nobody, V4)).toBe("deny rule");
  });
});

describe("the destination", () => {
  test("is told apart by address where a policy reads it, and is not known at a node port", () => {
    const cluster = guarded([when('conn.server_ip == "192.0.2.10"')]);
    expect(cluster.outcome(payments, V4)).toBe("deny rule");
    expect(cluster.outcome(payments, V6)).toBe("allow");
    expect(cluster.outcome(payments, NODE)).toBe("proxy");
  });

  test("is told apart by port where a policy reads that, at node ports too", () => {
    const cluster = guarded([when("conn.server_port == 30080")]);
    expect(cluster.outcome(payments, NODE)).toBe("deny rule");
    for (const place of [V4, V6]) expect(cluster.outcome(payments, place)).toBe("allow");
    expect(keys(cluster)).toEqual(["@unknown/unknown/30080", "@unknown/unknown/80"]);
  });

  test("is not told apart where no policy reads it: one guard for all addresses, whatever else the text says", () => {
    for (const rule of [
      when("conn.client_port == 1"),
      when('conn.k8s.pod.metadata.name == "x"'),
      when("endpoint.port == 80"),
    ]) {
      expect(keys(guarded([rule]))).toEqual([""]);
    }
  });

  test("is told apart where a policy that a forward leads through reads it", () => {
    const endpoints = [
      agentEndpoint("payments/hop", "https://hop.internal", "http://both.payments", [
        when('conn.server_ip == "192.0.2.10"'),
      ]),
    ];
    for (const url of ["https://hop.internal", "https://${'hop'}.internal"]) {
      const rules = [{ actions: [forward(url)] }];
      const cluster = new Cluster({ services, endpoints, connectionPolicies: [policy(rules)] });
      expect(cluster.outcome(payments, V4)).toBe("deny rule");
      expect(cluster.outcome(payments, V6)).toBe("forward payments/both:80");
    }
  });
});

describe("what only a connection knows", () => {
  const byPort = [when('conn.k8s.pod.metadata.namespace == "sandbox"'), when("conn.client_port < 1024")];

  test("is left to the proxy, except for whom an earlier rule decides", () => {
    expect(guarded(byPort).outcome(caller("sandbox/x"), V4)).toBe("deny rule");
    expect(guarded(byPort).connect(payments, V4)).toMatchObject({
      action: "proxy",
      reason: "pending",
      rule: 1,
    });
  });

  test("is known of a connection that exists", () => {
    const cluster = guarded(byPort);
    const guard = cluster.guardAt(V4) as Guard;
    const from = (clientPort: number) =>
      decideConnection(
        guard,
        payments,
        {
          client: { ip: dual.ipv4, port: clientPort },
          server: { ip: "192.0.2.10", port: 80 },
          start: 0,
          now: 0,
        },
        cluster.set.routes,
      ).action;
    expect([from(1023), from(1024)]).toEqual(["deny", "allow"]);
  });

  test("goes behind a policy that denies, and before ones that allow or forward", () => {
    const all = (others: readonly Rule[]) =>
      new Cluster({
        services,
        connectionPolicies: [policy(byPort), policy(others, {}, "a"), policy(others, {}, "z")],
      });
    expect(all([{ actions: [deny] }]).outcome(payments, V4)).toBe("deny rule");
    expect(all([{ actions: [forward("http://admin.payments.internal")] }]).outcome(payments, V4)).toBe(
      "proxy",
    );
  });

  test("asked by an audited policy never refuses, also where a forward leads through it", () => {
    const audited = new Cluster({ services, connectionPolicies: [policy(byPort, { audit: true })] });
    expect(audited.connect(payments, V4)).toMatchObject({ action: "allow", audited: { action: "proxy" } });
    const endpoints = [
      agentEndpoint("payments/hop", "https://hop.internal", "http://ledger.payments", byPort, {
        audit: true,
      }),
    ];
    const through = new Cluster({
      services,
      endpoints,
      connectionPolicies: [policy([{ actions: [forward("https://hop.internal")] }])],
    });
    expect(through.connect(payments, V4)).toMatchObject({ action: "allow", audited: { action: "proxy" } });
  });
});

describe("a forward whose target is not there", () => {
  const fallBack = (url: string) => [
    { actions: [action("forward-internal", { url, on_error: "continue" })] },
    when(
      'actions.ngrok.forward_internal.error.code == "ERR_NGROK_3200"',
      forward("http://admin.payments.internal"),
    ),
  ];

  test("falls back to the next where on_error says so", () => {
    expect(guarded(fallBack("http://nowhere.payments.internal")).outcome(payments, V4)).toBe(
      "forward payments/admin:80",
    );
    expect(guarded(fallBack("https://nobody.internal")).outcome(payments, V4)).toBe(
      "forward payments/admin:80",
    );
    expect(guarded(fallBack("http://both.payments.internal")).outcome(payments, V4)).toBe(
      "forward payments/both:80",
    );
    expect(guarded(fallBack("http://ledger.payments.internal")).outcome(payments, V4)).toBe("allow");
  });

  test("is asked for in each family", () => {
    const cluster = guarded(fallBack("http://only4.payments.internal"));
    expect(cluster.outcome(payments, V4)).toBe("forward payments/only4:80");
    expect(cluster.outcome(payments, V6)).toBe("forward payments/admin:80");
    expect(cluster.outcome(payments, NODE)).toBe("forward payments/only4:80");
    expect(cluster.outcome(payments, NODE6)).toBe("forward payments/admin:80");
  });

  test("that is there but denies is no error", () => {
    const endpoints = [
      agentEndpoint("payments/hop", "https://hop.internal", "http://both.payments", [{ actions: [deny] }]),
    ];
    const cluster = new Cluster({
      services,
      endpoints,
      connectionPolicies: [policy(fallBack("https://hop.internal"))],
    });
    expect(cluster.outcome(payments, V4)).toBe("deny rule");
  });

  test("because it comes back to itself is a loop: refused by default, an error that may be continued", () => {
    const hop = (to: string) =>
      agentEndpoint("payments/hop", "https://hop.internal", "http://both.payments", [
        { actions: [forward(to)] },
      ]);
    const rules = [
      { actions: [action("forward-internal", { url: "https://hop.internal", on_error: "continue" })] },
      { actions: [deny] },
    ];
    const endpoints = [hop("https://hop.internal")];
    expect(
      new Cluster({ services, endpoints, connectionPolicies: [policy(rules)] }).outcome(payments, V4),
    ).toBe("deny loop");
    const careful = agentEndpoint("payments/hop", "https://hop.internal", "http://both.payments", [
      { actions: [action("forward-internal", { url: "https://hop.internal", on_error: "continue" })] },
      when(
        'actions.ngrok.forward_internal.error.code == "ERR_NGROK_3501"',
        forward("http://both.payments.internal"),
      ),
    ]);
    const cluster = new Cluster({ services, endpoints: [careful], connectionPolicies: [policy(rules)] });
    expect(cluster.outcome(payments, V4)).toBe("forward payments/both:80");
  });

  test("with a url that an expression makes leads where the url says, for each caller", () => {
    const rules = [
      { actions: [forward("http://${conn.k8s.pod.metadata.annotations['ngrok.com/to']}.payments.internal")] },
    ];
    const to = (name: string) => caller("payments/web", { "ngrok.com/to": name });
    expect(guarded(rules).outcome(to("admin"), V4)).toBe("forward payments/admin:80");
    expect(guarded(rules).outcome(to("ledger"), V4)).toBe("allow");
    expect(guarded(rules).outcome(to("nowhere"), V4)).toBe("deny target-not-found");
    expect(guarded(rules).outcome(to("a b"), V4)).toBe("deny target-not-found");
    expect(guarded(rules).outcome(payments, V4)).toBe("deny expression-error");
  });

  test("never leads out of the cluster or to an address, whatever an annotation says", () => {
    const rules = [{ actions: [forward("http://${conn.k8s.pod.metadata.annotations['ngrok.com/to']}")] }];
    for (const to of [
      "192.0.2.11",
      "192.0.2.11:80",
      "[2001:db8::13]",
      "0x7f.1",
      "localhost",
      "169.254.169.254",
      "metadata.internal",
      "example.com",
    ]) {
      expect(guarded(rules).outcome(caller("payments/web", { "ngrok.com/to": to }), V4)).toBe(
        "deny target-not-found",
      );
    }
  });
});

describe("what log records", () => {
  const logs = (text: string): Rule => ({ actions: [action("log", { metadata: { text } })] });

  test("comes with the verdict, of all policies in their order and of all that a forward leads through", () => {
    const endpoints = [
      agentEndpoint("payments/hop", "https://hop.internal", "http://both.payments", [logs("hop")]),
    ];
    const connectionPolicies = [
      policy(
        [logs("${conn.k8s.pod.metadata.name}"), { actions: [forward("https://hop.internal")] }],
        {},
        "b",
      ),
      policy([logs("audited"), { actions: [deny] }], { audit: true }, "a"),
    ];
    const cluster = new Cluster({ services, endpoints, connectionPolicies });
    expect(cluster.connect(payments, V4)).toMatchObject({
      action: "forward",
      log: [{ text: "audited" }, { text: "web" }, { text: "hop" }],
    });
  });
});

describe("the endpoint", () => {
  const told = {
    url: "${endpoint.url}",
    host: "${endpoint.host}",
    port: "${endpoint.port}",
    addr: "${endpoint.addr}",
    protocol: "${endpoint.protocol}",
    id: "${endpoint.id}",
  };
  const rules = [{ actions: [action("log", { metadata: told })] }];
  const logOf = (cluster: Cluster) => {
    const verdict = cluster.connect(payments, V4);
    return verdict === "not guarded" ? verdict : verdict.log;
  };

  test("is the object whose policy asks", () => {
    const endpoints = [boundAgent("payments/e", "http://ledger.payments", "http://ledger.payments", rules)];
    expect(logOf(new Cluster({ services, endpoints }))).toEqual([
      {
        url: "http://ledger.payments",
        host: "ledger.payments",
        port: 80,
        addr: "ledger.payments:80",
        protocol: "http",
        id: "uid-of-payments/e",
      },
    ]);
  });

  test("has no url where the object is a ConnectionPolicy", () => {
    expect(logOf(guarded(rules))).toEqual([
      { url: "", host: "", port: 0, addr: "", protocol: "", id: "uid-of-payments/p" },
    ]);
  });
});

describe("an object is told where its verdicts are made, and why:", () => {
  const message = (rules: readonly Rule[], parts = {}) =>
    new Cluster({ services, connectionPolicies: [policy(rules, parts)] }).condition(
      "ConnectionPolicy/payments/p",
    ).message;

  test.each<[string, string]>([
    [
      'conn.k8s.pod.metadata.namespace == "x"',
      "guards payments/ledger:80; decided in the kernel, per namespace: it reads conn.k8s.pod.metadata.namespace (rule 0)",
    ],
    [
      "false",
      "guards payments/ledger:80; decided in the kernel, per namespace: it reads nothing of the caller",
    ],
    [
      'conn.k8s.pod.metadata.name == "x" && conn.client_ip != ""',
      "guards payments/ledger:80; decided in the kernel, per pod: it reads conn.client_ip (rule 0), it reads conn.k8s.pod.metadata.name (rule 0)",
    ],
    [
      "rand.int(0, 9) == 1 && conn.client_port > 1",
      "guards payments/ledger:80; decided in the proxy: it reads conn.client_port (rule 0), it asks rand (rule 0)",
    ],
  ])("%s", (expression, expected) => {
    expect(message([when(expression)])).toBe(expected);
  });

  test("also by what a forward leads through", () => {
    const endpoints = [
      agentEndpoint("payments/hop", "https://hop.internal", "http://both.payments", [when("time.now > ''")]),
    ];
    const cluster = new Cluster({
      services,
      endpoints,
      connectionPolicies: [policy([{ actions: [forward("https://hop.internal")] }])],
    });
    expect(cluster.condition("ConnectionPolicy/payments/p").message).toMatch(
      /decided in the proxy: it reads time\.now \(rule 0\) in AgentEndpoint\/payments\/hop$/,
    );
  });

  test("and that an audited one only audits", () => {
    expect(message([when("false")], { audit: true })).toMatch(/^audits payments\/ledger:80; /);
  });
});

describe("terminate-tls", () => {
  const rules = [{ actions: [action("terminate-tls", {})] }];
  test.each<[string, string]>([
    ["https://ledger.payments", "terminate-tls has no certificate, and nothing here has one of its own"],
    ["tls://ledger.payments:80", "terminate-tls has no certificate, and nothing here has one of its own"],
    ["http://ledger.payments", "terminate-tls is for endpoints with an https or tls url"],
  ])("makes an endpoint at %s invalid, and what it guards shut", (url, why) => {
    const endpoints = [boundAgent("payments/e", url, "http://ledger.payments", rules)];
    const https = [...services, service("payments/x", [], [443])];
    const cluster = new Cluster({ services: https, endpoints });
    expect(cluster.condition("AgentEndpoint/payments/e")).toMatchObject({
      accepted: false,
      reason: expect.stringMatching(/Invalid|TargetNotFound/),
    });
    expect(cluster.condition("AgentEndpoint/payments/e").message).toContain(why);
    if (url !== "https://ledger.payments") expect(cluster.outcome(payments, V4)).toBe("deny policy-invalid");
  });

  test("makes a ConnectionPolicy invalid too", () => {
    const cluster = guarded(rules);
    expect(cluster.outcome(payments, V4)).toBe("deny policy-invalid");
    expect(cluster.set.conditions[0]?.message).toMatch(
      /^terminate-tls is not for a ConnectionPolicy: write the policy in an AgentEndpoint or CloudEndpoint with a tls url/,
    );
  });
});

test("guard-upstream needs urls that can be read", () => {
  const rules = [{ actions: [forward("http://${'admin'}.payments.internal")] }];
  const endpoints = [
    boundAgent("payments/e", "http://ledger.payments", "http://ledger.payments", rules, {
      guardUpstream: true,
    }),
  ];
  expect(new Cluster({ services, endpoints }).condition("AgentEndpoint/payments/e")).toMatchObject({
    accepted: false,
    reason: "Invalid",
    message: expect.stringContaining("write its url in full"),
  });
});

test("a pod's labels, service account and node, and its namespace's labels, are what the identity holds", () => {
  const rules = [
    when('conn.k8s.pod.labels["app"] != "web" || conn.k8s.pod.service_account != "robot"'),
    when('conn.k8s.node.name != "node-1" || conn.k8s.namespace.labels.tier != "gold"'),
  ];
  const whole = {
    labels: new Map([["app", "web"]]),
    serviceAccount: "robot",
    namespaceLabels: new Map([["tier", "gold"]]),
  };
  const from = (over: object) =>
    guarded(rules).outcome(caller("payments/web", {}, { ...whole, ...over }), V4);
  expect(from({})).toBe("allow");
  expect(from({ labels: new Map([["app", "db"]]) })).toBe("deny rule");
  expect(from({ labels: new Map() })).toBe("deny expression-error");
  expect(from({ serviceAccount: "default" })).toBe("deny rule");
  expect(from({ nodeName: "node-2" })).toBe("deny rule");
  expect(from({ namespaceLabels: new Map([["tier", "lead"]]) })).toBe("deny rule");
  expect(from({ namespaceLabels: UNKNOWN })).toBe("proxy");
  expect(guarded(rules).outcome(nobody, V4)).toBe("deny rule");
});
