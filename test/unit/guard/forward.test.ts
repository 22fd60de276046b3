/** Where a forward leads: the Service dialled, another one, or through endpoints with policies of their own. */
import { describe, expect, test } from "vitest";
import { scopeOf } from "../../../agent/guard/decide.ts";
import {
  agentEndpoint,
  boundCloud,
  Cluster,
  caller,
  connectionPolicy,
  deny,
  denyNamespace,
  forward,
  pod,
  port,
  service,
  slice,
} from "./builders.ts";

const payments = caller("payments/web");
const sandbox = caller("sandbox/web");

/** A cluster in which everybody who dials payments/ledger:8080 is sent to `url`. */
function sentTo(url: string, more: ConstructorParameters<typeof Cluster>[0] = {}): Cluster {
  return new Cluster({
    ...more,
    services: [
      service(
        "payments/ledger",
        ["192.0.2.10"],
        [port(8080, { name: "a", nodePort: 30080 }), port(9090, { name: "b" })],
      ),
      service(
        "payments/web",
        ["192.0.2.20", "2001:db8::20"],
        [port(80, { name: "a" }), port(8443, { name: "b" })],
      ),
      service("payments/single", ["2001:db8::30"], [5432]),
      service("payments/headless", [], [80]),
      service("payments/loopback", ["127.0.0.1", "::1"], [80]),
      service("payments/link", ["169.254.169.254", "fe80::1"], [80]),
      service("payments/outside", [], [80], { type: "ExternalName" }),
      ...(more.services ?? []),
    ],
    pods: [pod("payments/ledger-0", "198.51.100.1"), ...(more.pods ?? [])],
    endpointSlices: [
      slice("payments/ledger", ["198.51.100.1"], [{ name: "a", protocol: "TCP", port: 18080 }]),
    ],
    endpoints: [
      boundCloud("payments/edge", "http://ledger.payments:8080", [{ actions: [forward(url)] }]),
      ...(more.endpoints ?? []),
    ],
  });
}

test("the condition warns of a forward that leads nowhere, until there is something", () => {
  const url = "http://later.payments.internal";
  const path = "spec.trafficPolicy.inline.on_tcp_connect[0].actions[0].config.url";
  expect(sentTo(url).condition("CloudEndpoint/payments/edge")).toMatchObject({
    accepted: true,
    message: expect.stringContaining(
      `; warning: ${path}: PODGATE_NO_TARGET: Service payments/later does not exist, so what is forwarded here is denied`,
    ),
  });
  const going = { type: "forward-internal", config: { url, on_error: "continue" } };
  const policy = [{ actions: [going] }, { actions: [deny] }];
  const fallback = new Cluster({
    services: [service("payments/ledger", ["192.0.2.10"], [80])],
    endpoints: [boundCloud("payments/edge", "http://ledger.payments", policy)],
  });
  const { message } = fallback.condition("CloudEndpoint/payments/edge");
  expect(message).toContain("Service payments/later does not exist, so the policy goes on after this action");
  const later = sentTo(url, { services: [service("payments/later", ["192.0.2.40"], [80])] });
  expect(later.condition("CloudEndpoint/payments/edge").message).not.toContain("warning");
});

describe("the target is the Service dialled:", () => {
  test.each([
    "192.0.2.10:8080",
    "198.51.100.1:18080",
    "node:30080",
  ])("allow, without an explicit port the dialled port stays: at %s", (place) => {
    expect(sentTo("http://ledger.payments.internal").connect(payments, place)).toEqual({
      action: "allow",
      reason: "rule",
      policy: { kind: "CloudEndpoint", namespace: "payments", name: "edge" },
      rule: 0,
    });
    expect(sentTo("http://ledger.payments.internal:8080").outcome(payments, place)).toBe("allow");
  });

  test("another explicit port of it is a forward", () => {
    expect(sentTo("http://ledger.payments.internal:9090").outcome(payments, "192.0.2.10:8080")).toBe(
      "forward payments/ledger:9090",
    );
  });

  test("an explicit port that it does not have is not routable", () => {
    expect(sentTo("http://ledger.payments.internal:7").outcome(payments, "192.0.2.10:8080")).toBe(
      "deny target-not-routable",
    );
  });

  test("a headless one is no target, but is one's own", () => {
    const cluster = new Cluster({
      services: [service("payments/db", [], [5432])],
      pods: [pod("payments/db-0", "198.51.100.1")],
      endpointSlices: [slice("payments/db", ["198.51.100.1"], 5432)],
      endpoints: [
        boundCloud("payments/e", "tcp://db.payments:5432", [
          { actions: [forward("http://db.payments.internal")] },
        ]),
      ],
    });
    expect(cluster.outcome(payments, "198.51.100.1:5432")).toBe("allow");
  });
});

describe("the target is another Service:", () => {
  test.each([
    ["the url's port", "http://web.payments.internal:8443", "forward payments/web:8443"],
    ["else the scheme's if the Service has it", "http://web.payments.internal", "forward payments/web:80"],
    ["else its only port", "http://single.payments.internal", "forward payments/single:5432"],
    ["else it is not routable", "https://web.payments.internal", "deny target-not-routable"],
    [
      "a port it does not have is not routable",
      "http://single.payments.internal:81",
      "deny target-not-routable",
    ],
    ["a Service that does not exist is not found", "http://gone.payments.internal", "deny target-not-found"],
    [
      "a Service of a namespace that does not exist is not found",
      "http://a.gone.internal",
      "deny target-not-found",
    ],
    ["a url that nobody registered is not found", "http://gone.internal", "deny target-not-found"],
    ["a host outside is not found", "https://www.example.com", "deny target-not-found"],
    ["the caller itself is not routable", "http://loopback.payments.internal", "deny target-not-routable"],
    ["the caller's link is not routable", "http://link.payments.internal", "deny target-not-routable"],
    ["headless is not routable", "http://headless.payments.internal", "deny target-not-routable"],
    ["ExternalName is not routable", "http://outside.payments.internal", "deny target-not-routable"],
    ["an IP literal makes the policy invalid", "http://192.0.2.20", "deny policy-invalid"],
  ])("%s", (_, url, outcome) => {
    expect(sentTo(url).outcome(payments, "192.0.2.10:8080")).toBe(outcome);
  });

  test("has one address per family; a family it lacks is left out, for the caller of that family to be refused", () => {
    const target = (url: string) => {
      const verdict = sentTo(url).connect(payments, "192.0.2.10:8080");
      return verdict === "not guarded" ? undefined : verdict.forward;
    };
    expect(target("http://web.payments.internal")).toEqual({
      service: "payments/web",
      port: 80,
      ipv4: "192.0.2.20",
      ipv6: "2001:db8::20",
    });
    expect(target("http://single.payments.internal")).toEqual({
      service: "payments/single",
      port: 5432,
      ipv6: "2001:db8::30",
    });
  });
});

describe("an endpoint registered under the url", () => {
  const inner = (rules: Parameters<typeof agentEndpoint>[3], parts = {}) =>
    agentEndpoint("payments/inner", "https://inner.internal", "http://web.payments", rules, parts);

  test("decides with its own policy, for the same caller", () => {
    const cluster = sentTo("https://inner.internal", { endpoints: [inner(denyNamespace("sandbox"))] });
    expect(cluster.connect(payments, "192.0.2.10:8080")).toMatchObject({
      action: "forward",
      reason: "rule",
      policy: { kind: "CloudEndpoint", name: "edge" },
      rule: 0,
      forward: { service: "payments/web", port: 80 },
    });
    expect(cluster.connect(sandbox, "192.0.2.10:8080")).toEqual({
      action: "deny",
      reason: "rule",
      policy: { kind: "AgentEndpoint", namespace: "payments", name: "inner" },
      rule: 0,
    });
  });

  test("is another one if scheme or port differ", () => {
    for (const url of ["http://inner.internal", "https://inner.internal:8443"]) {
      expect(sentTo(url, { endpoints: [inner({ kind: "none" })] }).outcome(payments, "192.0.2.10:8080")).toBe(
        "deny target-not-found",
      );
    }
    expect(
      sentTo("https://INNER.internal.:443", { endpoints: [inner({ kind: "none" })] }).outcome(
        payments,
        "192.0.2.10:8080",
      ),
    ).toBe("forward payments/web:80");
  });

  test("whose upstream is the Service dialled is an allow", () => {
    const back = agentEndpoint(
      "payments/back",
      "https://back.internal",
      "http://ledger.payments:8080",
      denyNamespace("sandbox"),
    );
    const cluster = sentTo("https://back.internal", { endpoints: [back] });
    expect(cluster.outcome(payments, "192.0.2.10:8080")).toBe("allow");
    expect(cluster.outcome(sandbox, "192.0.2.10:8080")).toBe("deny rule");
  });

  test("with an invalid policy denies", () => {
    const rules = [{ expressions: ["nonsense("], actions: [deny] }];
    const cluster = sentTo("https://inner.internal", { endpoints: [inner(rules)] });
    expect(cluster.connect(payments, "192.0.2.10:8080")).toMatchObject({
      action: "deny",
      reason: "policy-invalid",
      policy: { kind: "AgentEndpoint", name: "inner" },
    });
  });

  test("beside another one: both are asked, deny overrides", () => {
    const open = { ...inner({ kind: "none" }), name: "open" };
    const cluster = sentTo("https://inner.internal", { endpoints: [open, inner(denyNamespace("sandbox"))] });
    expect(cluster.outcome(payments, "192.0.2.10:8080")).toBe("forward payments/web:80");
    expect(cluster.outcome(sandbox, "192.0.2.10:8080")).toBe("deny rule");
  });

  test("that is audited does not refuse, and is recorded", () => {
    const cluster = sentTo("https://inner.internal", {
      endpoints: [inner(denyNamespace("sandbox"), { audit: true })],
    });
    expect(cluster.connect(sandbox, "192.0.2.10:8080")).toMatchObject({
      action: "forward",
      forward: { service: "payments/web" },
      audited: { action: "deny", reason: "rule", policy: { name: "inner" } },
    });
  });
});

describe("an audited endpoint on the way", () => {
  test("lifts nothing that an enforced one behind it refuses", () => {
    const endpoints = [
      agentEndpoint(
        "payments/first",
        "https://first.internal",
        "http://web.payments",
        [{ actions: [forward("https://second.internal")] }],
        { audit: true },
      ),
      agentEndpoint(
        "payments/second",
        "https://second.internal",
        "http://web.payments",
        denyNamespace("sandbox"),
      ),
    ];
    const cluster = sentTo("https://first.internal", { endpoints });
    expect(cluster.connect(sandbox, "192.0.2.10:8080")).toMatchObject({
      action: "deny",
      policy: { name: "second" },
    });
  });

  test("without an upstream counts as not there where it would refuse", () => {
    const closed = [...denyNamespace("sandbox"), { actions: [forward("http://single.payments.internal")] }];
    const gate = boundCloud("payments/gate", "http://web.payments.internal", closed, {
      bindings: ["internal"],
      audit: true,
    });
    const cluster = sentTo("http://web.payments.internal", { endpoints: [gate] });
    expect(cluster.outcome(payments, "192.0.2.10:8080")).toBe("forward payments/single:5432");
    expect(cluster.connect(sandbox, "192.0.2.10:8080")).toMatchObject({
      action: "forward",
      forward: { service: "payments/web" },
      audited: { action: "deny", policy: { name: "gate" } },
    });
  });
});

describe("a chain of endpoints", () => {
  /** hop-1 forwards to hop-2 ... hop-`length` forwards to `end`. */
  const chain = (length: number, end: string) =>
    Array.from({ length }, (_, i) => {
      const next = i + 1 === length ? end : `https://hop-${i + 2}.internal`;
      return agentEndpoint(`payments/hop-${i + 1}`, `https://hop-${i + 1}.internal`, "http://web.payments", [
        { actions: [forward(next)] },
      ]);
    });

  test.each([
    [4, "forward payments/web:80"],
    [5, "deny loop"],
  ])("of %i endpoints: %s", (length, outcome) => {
    const endpoints = chain(length, "http://web.payments.internal");
    expect(sentTo("https://hop-1.internal", { endpoints }).outcome(payments, "192.0.2.10:8080")).toBe(
      outcome,
    );
  });

  test("that comes back to itself is a loop", () => {
    const endpoints = chain(3, "https://hop-1.internal");
    expect(
      sentTo("https://hop-1.internal", { endpoints }).connect(payments, "192.0.2.10:8080"),
    ).toMatchObject({
      action: "deny",
      reason: "loop",
      policy: { name: "hop-3" },
    });
  });

  test("that leads to the guarding endpoint itself is a loop", () => {
    const url = "http://ledger.payments.internal";
    const rules = [
      { expressions: ['conn.k8s.pod.metadata.error_code != ""'], actions: [deny] },
      { actions: [forward(url)] },
    ];
    const endpoints = [agentEndpoint("payments/self", url, "http://ledger.payments:8080", rules)];
    const cluster = new Cluster({
      services: [service("payments/ledger", ["192.0.2.10"], [8080])],
      endpoints,
    });
    expect(cluster.outcome(payments, "192.0.2.10:8080")).toBe("deny loop");
  });

  test("with many endpoints under every url ends soon, with a refusal", () => {
    const endpoints = chain(4, "http://web.payments.internal").flatMap((hop) =>
      Array.from({ length: 30 }, (_, i) => ({ ...hop, name: `${hop.name}-${i}` })),
    );
    expect(sentTo("https://hop-1.internal", { endpoints }).outcome(payments, "192.0.2.10:8080")).toBe(
      "deny loop",
    );
  });

  test("depends on as much of the caller as its widest policy", () => {
    const byName = [
      { expressions: ['conn.k8s.pod.metadata.name == "x"'], actions: [deny] },
      { actions: [forward("http://web.payments.internal")] },
    ];
    const endpoints = [
      ...chain(2, "https://last.internal"),
      agentEndpoint("payments/last", "https://last.internal", "http://web.payments", byName),
    ];
    const scopeAt = (cluster: Cluster) => {
      const guard = cluster.guardAt("192.0.2.10:8080");
      return guard === undefined ? undefined : scopeOf(guard, cluster.set.routes);
    };
    expect(scopeAt(sentTo("https://hop-1.internal", { endpoints }))).toBe("pod");
    expect(scopeAt(sentTo("http://web.payments.internal", { endpoints }))).toBe("namespace");
    const connectionPolicies = [connectionPolicy("payments/p", ["ledger"], byName)];
    expect(scopeAt(sentTo("http://web.payments.internal", { connectionPolicies }))).toBe("pod");
  });
});
