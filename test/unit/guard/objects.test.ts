/** Which objects guard which Services: the table of what is guarded, a row a test. */
import { describe, expect, test } from "vitest";
import {
  agentEndpoint,
  boundAgent,
  boundCloud,
  Cluster,
  caller,
  connectionPolicy,
  denyNamespace,
  failClosed,
  forward,
  inline,
  nobody,
  pod,
  port,
  reference,
  service,
  slice,
  trafficPolicy,
} from "./builders.ts";

const payments = caller("payments/web");
const sandbox = caller("sandbox/web");

/** payments/ledger at 80 and 8080, with one backend; payments/other at 80. */
const base = {
  services: [
    service("payments/ledger", ["192.0.2.10"], [port(80, { name: "http" }), port(8080, { name: "alt" })]),
    service("payments/other", ["192.0.2.20"], [80]),
  ],
  endpointSlices: [
    slice(
      "payments/ledger",
      ["198.51.100.1"],
      [
        { name: "http", protocol: "TCP", port: 9080 },
        { name: "alt", protocol: "TCP", port: 9081 },
      ],
    ),
  ],
  pods: [pod("payments/ledger-0", "198.51.100.1")],
};

const closed = failClosed("payments", "http://ledger.payments.internal");

describe("an endpoint with the kubernetes binding", () => {
  test.each([
    ["http://ledger.payments", ["192.0.2.10:80", "198.51.100.1:9080"]],
    ["http://ledger.payments:8080", ["192.0.2.10:8080", "198.51.100.1:9081"]],
    ["tcp://ledger.payments:80", ["192.0.2.10:80", "198.51.100.1:9080"]],
    ["ledger.payments:80", ["192.0.2.10:80", "198.51.100.1:9080"]],
  ])("guards the Service its url names: %s", (url, places) => {
    for (const object of [
      boundCloud("payments/edge", url, closed),
      boundAgent("payments/edge", url, "http://ledger.payments", closed),
    ]) {
      const cluster = new Cluster({ ...base, endpoints: [object] });
      expect(cluster.guarded()).toEqual(places);
      expect(cluster.reason(`${object.kind}/payments/edge`)).toBe("Accepted");
    }
  });

  test.each(["https", "tls"])("a port-less %s url means port 443", (scheme) => {
    const services = [service("payments/ledger", ["192.0.2.10"], [80, 443])];
    const endpoints = [boundCloud("payments/edge", `${scheme}://ledger.payments`, closed)];
    expect(new Cluster({ services, endpoints }).guarded()).toEqual(["192.0.2.10:443"]);
  });

  test.each([
    "tcp://ledger.payments",
    "http://ledger",
    "http://ledger.payments.example.com",
    "%%%",
  ])("with a url that names no Service and port is invalid and guards nothing: %s", (url) => {
    const cluster = new Cluster({ ...base, endpoints: [boundCloud("payments/edge", url, closed)] });
    expect(cluster.guarded()).toEqual([]);
    expect(cluster.condition("CloudEndpoint/payments/edge")).toMatchObject({
      accepted: false,
      reason: "Invalid",
      message: expect.stringContaining("spec.url"),
    });
  });

  test("guards nothing while its Service does not exist, and says so", () => {
    const endpoints = [boundCloud("payments/edge", "http://nothing.payments", closed)];
    const cluster = new Cluster({ ...base, endpoints });
    expect(cluster.guarded()).toEqual([]);
    expect(cluster.condition("CloudEndpoint/payments/edge")).toMatchObject({
      accepted: false,
      reason: "TargetNotFound",
      message: expect.stringContaining("Service payments/nothing does not exist"),
    });
  });

  test("guards nothing while its Service has no such port, and names those it has", () => {
    const endpoints = [boundCloud("payments/edge", "http://ledger.payments:81", closed)];
    const { reason, message } = new Cluster({ ...base, endpoints }).condition("CloudEndpoint/payments/edge");
    expect(reason).toBe("TargetNotFound");
    expect(message).toContain("80 (http), 8080 (alt)");
  });

  test("guards no ExternalName: it has no address", () => {
    const services = [service("payments/ledger", [], [80], { type: "ExternalName" })];
    const cluster = new Cluster({
      services,
      endpoints: [boundCloud("payments/edge", "http://ledger.payments", closed)],
    });
    expect(cluster.reason("CloudEndpoint/payments/edge")).toBe("TargetNotFound");
  });

  test("as AgentEndpoint falls through to its upstream: the same Service is an allow", () => {
    const endpoints = [
      boundAgent(
        "payments/edge",
        "http://ledger.payments",
        "http://ledger.payments",
        denyNamespace("sandbox"),
      ),
    ];
    const cluster = new Cluster({ ...base, endpoints });
    expect(cluster.connect(payments, "192.0.2.10:80")).toEqual({ action: "allow", reason: "fell-through" });
    expect(cluster.outcome(sandbox, "192.0.2.10:80")).toBe("deny rule");
  });

  test("as AgentEndpoint falls through to its upstream: another Service is a forward", () => {
    const endpoints = [
      boundAgent(
        "payments/edge",
        "http://ledger.payments",
        "http://other.payments",
        denyNamespace("sandbox"),
      ),
    ];
    const cluster = new Cluster({ ...base, endpoints });
    expect(cluster.connect(payments, "192.0.2.10:80")).toEqual({
      action: "forward",
      reason: "fell-through",
      policy: { kind: "AgentEndpoint", namespace: "payments", name: "edge" },
      forward: { service: "payments/other", port: 80, ipv4: "192.0.2.20" },
    });
  });

  test.each([
    "https://upstream.example.com",
    "localhost:8080",
    "192.0.2.77:80",
  ])("as AgentEndpoint with an upstream that is no Service of the cluster refuses what falls through: %s", (upstream) => {
    const endpoints = [
      boundAgent("payments/edge", "http://ledger.payments", upstream, denyNamespace("sandbox")),
    ];
    expect(new Cluster({ ...base, endpoints }).outcome(payments, "192.0.2.10:80")).toBe(
      "deny target-not-routable",
    );
  });

  test("as AgentEndpoint without a policy only sends on", () => {
    const endpoints = [
      boundAgent("payments/edge", "http://ledger.payments", "http://other.payments", { kind: "none" }),
    ];
    const cluster = new Cluster({ ...base, endpoints });
    expect(cluster.reason("AgentEndpoint/payments/edge")).toBe("Accepted");
    expect(cluster.outcome(sandbox, "192.0.2.10:80")).toBe("forward payments/other:80");
  });

  test("as CloudEndpoint that could fall through is refused as a policy", () => {
    for (const rules of [denyNamespace("sandbox"), { kind: "none" } as const]) {
      const cluster = new Cluster({
        ...base,
        endpoints: [boundCloud("payments/edge", "http://ledger.payments", rules)],
      });
      expect(cluster.outcome(payments, "192.0.2.10:80")).toBe("deny policy-invalid");
      expect(cluster.condition("CloudEndpoint/payments/edge")).toMatchObject({
        accepted: false,
        reason: "Invalid",
        message: expect.stringContaining(
          "ERR_NGROK_2235: the traffic policy provided is not guaranteed to handle traffic",
        ),
      });
    }
  });

  test("is invalid with on_http rules: ignoring an HTTP deny would open it", () => {
    const policy = {
      kind: "inline" as const,
      path: "spec.trafficPolicy.inline",
      value: { on_tcp_connect: closed, on_http_request: [{ actions: [{ type: "deny" }] }] },
    };
    const cluster = new Cluster({
      ...base,
      endpoints: [boundCloud("payments/edge", "http://ledger.payments", policy)],
    });
    expect(cluster.outcome(payments, "192.0.2.10:80")).toBe("deny policy-invalid");
    expect(cluster.reason("CloudEndpoint/payments/edge")).toBe("Invalid");
  });
});

describe("an AgentEndpoint without the kubernetes binding", () => {
  const url = "https://ledger.example.com";

  test("whose policy reads conn.k8s guards the Service of its upstream, at that port", () => {
    const endpoints = [agentEndpoint("payments/edge", url, "http://ledger.payments:8080", closed)];
    const cluster = new Cluster({ ...base, endpoints });
    expect(cluster.guarded()).toEqual(["192.0.2.10:8080", "198.51.100.1:9081"]);
    expect(cluster.outcome(payments, "192.0.2.10:8080")).toBe("allow");
    expect(cluster.outcome(sandbox, "192.0.2.10:8080")).toBe("deny rule");
  });

  test("allows what falls through: the caller is already at the upstream", () => {
    const endpoints = [
      agentEndpoint("payments/edge", url, "http://ledger.payments", denyNamespace("sandbox")),
    ];
    const cluster = new Cluster({ ...base, endpoints });
    expect(cluster.connect(payments, "192.0.2.10:80")).toEqual({ action: "allow", reason: "fell-through" });
    expect(cluster.connect(nobody, "192.0.2.10:80")).toEqual({ action: "allow", reason: "fell-through" });
  });

  test.each([
    ["a public url whose policy is not about pods", inline([{ actions: [forward("http://x.internal")] }])],
    ["no policy", { kind: "none" } as const],
    [
      "an HTTP-only policy",
      {
        kind: "inline" as const,
        path: "spec.trafficPolicy.inline",
        value: { on_http_request: [{ actions: [{ type: "deny" }] }] },
      },
    ],
  ])("guards nothing with %s", (_, policy) => {
    const endpoints = [agentEndpoint("payments/edge", url, "http://ledger.payments", policy)];
    const cluster = new Cluster({ ...base, endpoints });
    expect(cluster.guarded()).toEqual([]);
    expect(cluster.condition("AgentEndpoint/payments/edge")).toMatchObject({
      accepted: true,
      reason: "NotApplicable",
    });
  });

  test("guards nothing if its upstream is outside the cluster", () => {
    const endpoints = [agentEndpoint("payments/edge", url, "https://www.example.com", closed)];
    const cluster = new Cluster({ ...base, endpoints });
    expect(cluster.guarded()).toEqual([]);
    expect(cluster.reason("AgentEndpoint/payments/edge")).toBe("NotApplicable");
  });

  test("with a broken policy that is about pods denies", () => {
    const rules = [
      { expressions: ["conn.k8s.pod.metadata.namespace =="], actions: [forward("http://x.internal")] },
    ];
    const endpoints = [agentEndpoint("payments/edge", url, "http://ledger.payments", rules)];
    const cluster = new Cluster({ ...base, endpoints });
    expect(cluster.outcome(payments, "192.0.2.10:80")).toBe("deny policy-invalid");
    expect(cluster.reason("AgentEndpoint/payments/edge")).toBe("Invalid");
  });
});

test("a CloudEndpoint without the kubernetes binding guards nothing", () => {
  const endpoints = [boundCloud("payments/edge", "http://ledger.payments", closed, { bindings: ["public"] })];
  const cluster = new Cluster({ ...base, endpoints });
  expect(cluster.guarded()).toEqual([]);
  expect(cluster.condition("CloudEndpoint/payments/edge")).toMatchObject({
    accepted: true,
    reason: "NotApplicable",
  });
});

describe("a ConnectionPolicy", () => {
  test("guards every TCP port of the Services in spec.targetRefs", () => {
    const connectionPolicies = [
      connectionPolicy("payments/p", ["ledger", "other"], denyNamespace("sandbox")),
    ];
    const cluster = new Cluster({ ...base, connectionPolicies });
    expect(cluster.guarded()).toEqual([
      "192.0.2.10:80",
      "192.0.2.10:8080",
      "192.0.2.20:80",
      "198.51.100.1:9080",
      "198.51.100.1:9081",
    ]);
    expect(cluster.outcome(payments, "192.0.2.20:80")).toBe("allow");
    expect(cluster.outcome(sandbox, "192.0.2.20:80")).toBe("deny rule");
  });

  test("guards one port by sectionName, the port's name", () => {
    const connectionPolicies = [connectionPolicy("payments/p", ["ledger#alt"], denyNamespace("sandbox"))];
    expect(new Cluster({ ...base, connectionPolicies }).guarded()).toEqual([
      "192.0.2.10:8080",
      "198.51.100.1:9081",
    ]);
  });

  test("names only Services of its own namespace", () => {
    const connectionPolicies = [connectionPolicy("sandbox/p", ["ledger"], denyNamespace("payments"))];
    const cluster = new Cluster({ ...base, connectionPolicies });
    expect(cluster.guarded()).toEqual([]);
    expect(cluster.reason("ConnectionPolicy/sandbox/p")).toBe("TargetNotFound");
  });

  test("with one target missing guards the others and says which is missing", () => {
    const connectionPolicies = [connectionPolicy("payments/p", ["gone", "other"], denyNamespace("sandbox"))];
    const cluster = new Cluster({ ...base, connectionPolicies });
    expect(cluster.guarded()).toEqual(["192.0.2.20:80"]);
    expect(cluster.condition("ConnectionPolicy/payments/p")).toMatchObject({
      accepted: false,
      reason: "TargetNotFound",
      message: expect.stringContaining("spec.targetRefs[0]: Service payments/gone does not exist"),
    });
  });

  test("without a policy denies: no rules never means allow", () => {
    const connectionPolicies = [connectionPolicy("payments/p", ["other"], { kind: "none" })];
    const cluster = new Cluster({ ...base, connectionPolicies });
    expect(cluster.outcome(payments, "192.0.2.20:80")).toBe("deny policy-invalid");
    expect(cluster.reason("ConnectionPolicy/payments/p")).toBe("Invalid");
  });

  test("without targets is invalid", () => {
    const connectionPolicies = [connectionPolicy("payments/p", [], denyNamespace("sandbox"))];
    expect(new Cluster({ ...base, connectionPolicies }).reason("ConnectionPolicy/payments/p")).toBe(
      "Invalid",
    );
  });

  test("in Audit mode never refuses, and says what it would have done", () => {
    const rules = denyNamespace("sandbox");
    const connectionPolicies = [connectionPolicy("payments/p", ["other"], rules, { audit: true })];
    const cluster = new Cluster({ ...base, connectionPolicies });
    expect(cluster.connect(sandbox, "192.0.2.20:80")).toEqual({
      action: "allow",
      reason: "fell-through",
      audited: {
        action: "deny",
        reason: "rule",
        policy: { kind: "ConnectionPolicy", namespace: "payments", name: "p" },
        rule: 0,
      },
    });
    expect(cluster.connect(payments, "192.0.2.20:80")).toEqual({ action: "allow", reason: "fell-through" });
  });
});

test("an NgrokTrafficPolicy guards nothing itself; an endpoint that refers to it does", () => {
  const trafficPolicies = [trafficPolicy("payments/closed", closed)];
  expect(new Cluster({ ...base, trafficPolicies }).guarded()).toEqual([]);
  const endpoints = [boundCloud("payments/edge", "http://ledger.payments", reference("closed"))];
  const cluster = new Cluster({ ...base, trafficPolicies, endpoints });
  expect(cluster.outcome(payments, "192.0.2.10:80")).toBe("allow");
  expect(cluster.outcome(sandbox, "192.0.2.10:80")).toBe("deny rule");
});

describe("podgate.dev/guard-upstream", () => {
  const guardUpstream = true;

  test("applies an endpoint's policy to its upstream too", () => {
    const rules = denyNamespace("sandbox");
    const object = boundAgent("payments/edge", "http://ledger.payments", "http://other.payments", rules);
    const without = new Cluster({ ...base, endpoints: [object] });
    expect(without.outcome(sandbox, "192.0.2.20:80")).toBe("not guarded");
    const cluster = new Cluster({ ...base, endpoints: [{ ...object, guardUpstream }] });
    expect(cluster.outcome(sandbox, "192.0.2.20:80")).toBe("deny rule");
    expect(cluster.outcome(payments, "192.0.2.20:80")).toBe("allow");
    expect(cluster.outcome(payments, "192.0.2.10:80")).toBe("forward payments/other:80");
  });

  test("applies an endpoint's policy to its forward targets too", () => {
    const rules = failClosed("payments", "http://other.payments.internal");
    const object = boundCloud("payments/edge", "http://ledger.payments", rules);
    const without = new Cluster({ ...base, endpoints: [object] });
    expect(without.outcome(sandbox, "192.0.2.20:80")).toBe("not guarded");
    const cluster = new Cluster({ ...base, endpoints: [{ ...object, guardUpstream }] });
    expect(cluster.outcome(sandbox, "192.0.2.20:80")).toBe("deny rule");
    expect(cluster.outcome(payments, "192.0.2.20:80")).toBe("allow");
  });

  test("reaches the upstream behind a registered endpoint", () => {
    const rules = failClosed("payments", "http://hop.internal");
    const endpoints = [
      boundCloud("payments/edge", "http://ledger.payments", rules, { guardUpstream }),
      agentEndpoint("payments/hop", "http://hop.internal", "http://other.payments", { kind: "none" }),
    ];
    const cluster = new Cluster({ ...base, endpoints });
    expect(cluster.outcome(sandbox, "192.0.2.20:80")).toBe("deny rule");
    expect(cluster.outcome(payments, "192.0.2.20:80")).toBe("allow");
  });

  test("gives no right over a foreign Service", () => {
    const services = [...base.services, service("vault/keys", ["192.0.2.30"], [80])];
    const rules = denyNamespace("sandbox");
    const endpoints = [
      boundAgent("payments/edge", "http://ledger.payments", "http://keys.vault", rules, { guardUpstream }),
    ];
    const cluster = new Cluster({ ...base, services, endpoints });
    expect(cluster.outcome(sandbox, "192.0.2.30:80")).toBe("not guarded");
    expect(cluster.outcome(sandbox, "192.0.2.10:80")).toBe("deny rule");
    expect(cluster.reason("AgentEndpoint/payments/edge")).toBe("RefNotPermitted");
  });
});
