/** The documents' examples as they are written, each with Services of its own, and the table of callers. */
import { describe, expect, test } from "vitest";
import type { Identity } from "../../../agent/model/identity.ts";
import type { Endpoint } from "../../../agent/model/objects.ts";
import {
  agentEndpoint,
  boundCloud,
  Cluster,
  caller,
  deny,
  failClosed,
  forward,
  nobody,
  pod,
  port,
  type Rule,
  service,
  slice,
} from "./builders.ts";

const closed = failClosed("payments", "http://my-service.my-namespace.internal");
const failOpen: Rule[] = [
  {
    expressions: ['conn.k8s.pod.metadata.error_code == "" && conn.k8s.pod.metadata.namespace != "payments"'],
    actions: [deny],
  },
  { actions: [forward("http://my-service.my-namespace.internal")] },
];
const unresolvedDenied = { expressions: ['conn.k8s.pod.metadata.error_code != ""'], actions: [deny] };
const annotation: Rule[] = [
  unresolvedDenied,
  {
    expressions: ['conn.k8s.pod.metadata.annotations["k8s.ngrok.com/environment"] != "production"'],
    actions: [deny],
  },
  { actions: [forward("http://my-service.my-namespace.internal")] },
];
const byName: Rule[] = [
  unresolvedDenied,
  { expressions: ['!(conn.k8s.pod.metadata.name in ["worker-a", "worker-b"])'], actions: [deny] },
  { actions: [forward("http://my-service.my-namespace.internal")] },
];
/** What YAML leaves of the documents' unquoted `- !(conn...)`. */
const unquoted: Rule[] = [
  unresolvedDenied,
  { expressions: ['in ["worker-a", "worker-b"])'], actions: [deny] },
  { actions: [forward("http://my-service.my-namespace.internal")] },
];

const services = [
  service("my-namespace/my-service", ["192.0.2.10"], [port(8080, { name: "web" })]),
  service("my-namespace/example-service", ["192.0.2.20"], [80]),
];
const pods = [pod("my-namespace/my-service-0", "198.51.100.1")];
const endpointSlices = [
  slice("my-namespace/my-service", ["198.51.100.1"], [{ name: "web", protocol: "TCP", port: 8080 }]),
];
const cluster = (...endpoints: Endpoint[]) => new Cluster({ services, pods, endpointSlices, endpoints });

/** As `kubectl apply` leaves it: in namespace default, upstream at 8080. */
const agentExample = (rules: Rule[]) =>
  agentEndpoint(
    "default/example-agent-endpoint",
    "https://example-hostname.ngrok.io",
    "http://my-service.my-namespace:8080",
    rules,
  );
const cloudExample = (rules: Rule[]) =>
  boundCloud("default/example-cloud-endpoint", "http://example-service.my-namespace", rules);

const inPayments = caller("payments/web");
const elsewhere = caller("sandbox/web");
const production = caller("sandbox/web", { "k8s.ngrok.com/environment": "production" });
const staging = caller("sandbox/web", { "k8s.ngrok.com/environment": "staging" });
const oversized = caller(
  "payments/big",
  {},
  {
    errorCode: "ERR_NGROK_28000",
    errorMessage: "Pod identity metadata too large: annotations",
  },
);

describe("the documents' AgentEndpoint guards its upstream at :8080 and forwards to a port-less http url:", () => {
  test.each([
    ["192.0.2.10:8080", inPayments, "allow"],
    ["192.0.2.10:8080", elsewhere, "deny rule"],
    ["192.0.2.10:8080", nobody, "deny rule"],
    ["198.51.100.1:8080", inPayments, "allow"],
    ["198.51.100.1:8080", elsewhere, "deny rule"],
  ])("%s", (place, from, outcome) => {
    expect(cluster(agentExample(closed)).outcome(from, place)).toBe(outcome);
  });
});

describe("the documents' CloudEndpoint", () => {
  test("forwards those it admits to the other Service, at its only port", () => {
    const guarded = cluster(cloudExample(closed));
    expect(guarded.outcome(inPayments, "192.0.2.20:80")).toBe("forward my-namespace/my-service:8080");
    expect(guarded.outcome(elsewhere, "192.0.2.20:80")).toBe("deny rule");
  });

  test("allows only the pods named", () => {
    const guarded = cluster(cloudExample(byName));
    expect(guarded.outcome(caller("any/worker-a"), "192.0.2.20:80")).toBe(
      "forward my-namespace/my-service:8080",
    );
    expect(guarded.outcome(caller("any/worker-c"), "192.0.2.20:80")).toBe("deny rule");
  });

  test("with the unquoted `- !(...)` denies everybody, and says what to do", () => {
    const guarded = cluster(cloudExample(unquoted));
    expect(guarded.outcome(caller("any/worker-a"), "192.0.2.20:80")).toBe("deny policy-invalid");
    expect(guarded.condition("CloudEndpoint/default/example-cloud-endpoint").message).toMatch(
      /on_tcp_connect\[1\].expressions\[0\].*quote the expression/,
    );
  });

  test("of the multi-tenant example admits its own namespace", () => {
    const rules = failClosed("tenant1", "http://webapp.tenant1.internal");
    const tenant = new Cluster({
      services: [
        service("tenant1/webapp-tenant1", ["192.0.2.30"], [80]),
        service("tenant1/webapp", ["192.0.2.31"], [80]),
      ],
      endpoints: [boundCloud("tenant1/webapp-tenant1", "http://webapp-tenant1.tenant1", rules)],
    });
    expect(tenant.outcome(caller("tenant1/a"), "192.0.2.30:80")).toBe("forward tenant1/webapp:80");
    expect(tenant.outcome(caller("tenant2/a"), "192.0.2.30:80")).toBe("deny rule");
  });
});

describe("who is let in (fail-closed, fail-open, by annotation, invalid):", () => {
  const invalid: Rule[] = [{ expressions: ["("], actions: [deny] }, ...closed];
  const unreadable: Rule[] = [{ expressions: ["conn.k8s.pod.metadata.nothing == 1"], actions: [deny] }];
  test.each<[string, Identity, string[]]>([
    ["pod in payments, without the annotation", inPayments, ["allow", "allow", "deny expression-error"]],
    ["pod elsewhere, without the annotation", elsewhere, ["deny rule", "deny rule", "deny expression-error"]],
    ["pod elsewhere, annotated production", production, ["deny rule", "deny rule", "allow"]],
    ["pod elsewhere, annotated staging", staging, ["deny rule", "deny rule", "deny rule"]],
    ["hostNetwork pod; pod whose object has not arrived", nobody, ["deny rule", "allow", "deny rule"]],
    ["payments pod with 28000", oversized, ["deny rule", "allow", "deny rule"]],
  ])("%s", (_, from, outcomes) => {
    const said = [closed, failOpen, annotation, invalid, unreadable].map((rules) =>
      cluster(agentExample(rules)).outcome(from, "192.0.2.10:8080"),
    );
    expect(said).toEqual([...outcomes, "deny policy-invalid", "deny policy-invalid"]);
  });
});
