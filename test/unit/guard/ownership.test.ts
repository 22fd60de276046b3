/** Whose Service: which objects may guard which namespace's Services, and whose an internal url is. */
import { describe, expect, test } from "vitest";
import type { ReferenceGrant } from "../../../agent/model/objects.ts";
import {
  agentEndpoint,
  boundCloud,
  Cluster,
  caller,
  denyNamespace,
  failClosed,
  forward,
  grant,
  pod,
  service,
  slice,
} from "./builders.ts";

const payments = caller("payments/web");
const sandbox = caller("sandbox/web");
const shut = [{ actions: [{ type: "deny" }] }];
const everybody = [{ actions: [forward("http://ledger.payments.internal")] }];

const base = {
  services: [
    service("payments/ledger", ["192.0.2.10"], [80]),
    service("payments/vault", ["192.0.2.11"], [80]),
  ],
  pods: [pod("payments/ledger-0", "198.51.100.1")],
  endpointSlices: [slice("payments/ledger", ["198.51.100.1"], 8080)],
};

/** A CloudEndpoint in `namespace` that shuts payments/ledger. */
const shutting = (namespace: string) => boundCloud(`${namespace}/e`, "http://ledger.payments", shut);

describe("an object guards a Service", () => {
  test.each([
    "payments",
    "default",
    "kube-system",
  ])("of its own namespace, or from a trusted one: %s", (namespace) => {
    const cluster = new Cluster({ ...base, endpoints: [shutting(namespace)] });
    expect(cluster.outcome(payments, "192.0.2.10:80")).toBe("deny rule");
    expect(cluster.outcome(payments, "198.51.100.1:8080")).toBe("deny rule");
    expect(cluster.reason(`CloudEndpoint/${namespace}/e`)).toBe("Accepted");
  });

  test("from the namespaces that are configured as trusted, and no others", () => {
    const endpoints = [shutting("default"), shutting("platform")];
    const cluster = new Cluster({ ...base, endpoints }, { trustedNamespaces: new Set(["platform"]) });
    expect(cluster.reason("CloudEndpoint/default/e")).toBe("RefNotPermitted");
    expect(cluster.reason("CloudEndpoint/platform/e")).toBe("Accepted");
  });

  test("of another namespace where a ReferenceGrant there permits it", () => {
    const referenceGrants = [grant("payments", "sandbox", "CloudEndpoint")];
    const cluster = new Cluster({ ...base, endpoints: [shutting("sandbox")], referenceGrants });
    expect(cluster.outcome(payments, "192.0.2.10:80")).toBe("deny rule");
    expect(cluster.reason("CloudEndpoint/sandbox/e")).toBe("Accepted");
  });

  test("that the ReferenceGrant names, and no other", () => {
    const endpoints = [shutting("sandbox")];
    const named = (name: string) =>
      new Cluster({
        ...base,
        endpoints,
        referenceGrants: [grant("payments", "sandbox", "CloudEndpoint", name)],
      });
    expect(named("ledger").reason("CloudEndpoint/sandbox/e")).toBe("Accepted");
    expect(named("vault").reason("CloudEndpoint/sandbox/e")).toBe("RefNotPermitted");
  });
});

describe("otherwise Accepted=False, RefNotPermitted and no effect:", () => {
  const wrong = (change: Partial<ReferenceGrant>): ReferenceGrant[] => [
    { ...grant("payments", "sandbox", "CloudEndpoint"), ...change },
  ];
  const from = { group: "ngrok.k8s.ngrok.com", kind: "CloudEndpoint", namespace: "sandbox" };

  test.each<[string, ReferenceGrant[]]>([
    ["no grant", []],
    ["a grant in the object's own namespace", wrong({ namespace: "sandbox" })],
    ["a grant in a third namespace", wrong({ namespace: "other" })],
    ["a grant for another namespace's objects", wrong({ from: [{ ...from, namespace: "sandbox2" }] })],
    ["a grant for another kind", wrong({ from: [{ ...from, kind: "AgentEndpoint" }] })],
    ["a grant for another group", wrong({ from: [{ ...from, group: "podgate.dev" }] })],
    ["a grant to another kind", wrong({ to: [{ group: "", kind: "Secret" }] })],
    ["a grant to another group", wrong({ to: [{ group: "apps", kind: "Service" }] })],
    ["a grant without anything in it", wrong({ from: [], to: [] })],
  ])("%s", (_, referenceGrants) => {
    const cluster = new Cluster({ ...base, endpoints: [shutting("sandbox")], referenceGrants });
    expect(cluster.guarded()).toEqual([]);
    expect(cluster.condition("CloudEndpoint/sandbox/e")).toMatchObject({
      accepted: false,
      reason: "RefNotPermitted",
      message: expect.stringContaining("payments/ledger"),
    });
  });

  test("an endpoint in a tenant's namespace neither opens nor shuts another namespace's Service", () => {
    const own = boundCloud(
      "payments/own",
      "http://ledger.payments",
      failClosed("payments", "http://ledger.payments.internal"),
    );
    const opening = boundCloud("sandbox/open", "http://ledger.payments", everybody);
    const cluster = new Cluster({ ...base, endpoints: [own, opening, shutting("sandbox")] });
    expect(cluster.outcome(payments, "192.0.2.10:80")).toBe("allow");
    expect(cluster.outcome(sandbox, "192.0.2.10:80")).toBe("deny rule");
    expect(cluster.reason("CloudEndpoint/payments/own")).toBe("Accepted");
  });

  test("nor does an AgentEndpoint through its upstream", () => {
    const rules = denyNamespace("payments");
    const endpoints = [
      agentEndpoint("sandbox/e", "https://x.example.com", "http://ledger.payments:80", rules),
    ];
    const cluster = new Cluster({ ...base, endpoints });
    expect(cluster.guarded()).toEqual([]);
    expect(cluster.reason("AgentEndpoint/sandbox/e")).toBe("RefNotPermitted");
  });

  test("whether the Service exists is not told to those who may not guard it", () => {
    const endpoints = [boundCloud("sandbox/e", "http://nothing.payments", shut)];
    expect(new Cluster({ ...base, endpoints }).reason("CloudEndpoint/sandbox/e")).toBe("RefNotPermitted");
  });
});

test("trust test 18: namespaces `a-b`/`c` and `a`/`b-c` are never taken for each other", () => {
  const services = [service("a-b/c", ["192.0.2.1"], [80]), service("a/b-c", ["192.0.2.2"], [80])];
  const pods = [pod("a-b/c-0", "198.51.100.1"), pod("a/b-c-0", "198.51.100.2")];
  const endpointSlices = [slice("a-b/c", ["198.51.100.1"], 80), slice("a/b-c", ["198.51.100.2"], 80)];
  const endpoints = [
    boundCloud("a-b/e", "http://c.a-b", failClosed("a-b", "http://c.a-b.internal")),
    boundCloud("a/e", "http://b-c.a", failClosed("a", "http://b-c.a.internal")),
  ];
  const cluster = new Cluster({ services, pods, endpointSlices, endpoints });
  for (const place of ["192.0.2.1:80", "198.51.100.1:80"]) {
    expect(cluster.outcome(caller("a-b/x"), place)).toBe("allow");
    expect(cluster.outcome(caller("a/b-x"), place)).toBe("deny rule");
  }
  for (const place of ["192.0.2.2:80", "198.51.100.2:80"]) {
    expect(cluster.outcome(caller("a/x"), place)).toBe("allow");
    expect(cluster.outcome(caller("a-b/x"), place)).toBe("deny rule");
  }
});

describe("a url <svc>.<ns>.internal belongs to namespace ns:", () => {
  const url = "http://ledger.payments.internal";
  const gate = boundCloud("payments/gate", "http://vault.payments", [{ actions: [forward(url)] }]);

  test("an endpoint there stands before the Service", () => {
    const inner = agentEndpoint("payments/inner", url, "http://ledger.payments", denyNamespace("sandbox"));
    const cluster = new Cluster({ ...base, endpoints: [gate, inner] });
    expect(cluster.outcome(payments, "192.0.2.11:80")).toBe("forward payments/ledger:80");
    expect(cluster.connect(sandbox, "192.0.2.11:80")).toMatchObject({
      action: "deny",
      policy: { kind: "AgentEndpoint", namespace: "payments", name: "inner" },
    });
  });

  test("an endpoint of another namespace under it is not there at all", () => {
    const hijack = agentEndpoint("sandbox/hijack", url, "http://trap.sandbox", { kind: "none" });
    const services = [...base.services, service("sandbox/trap", ["192.0.2.66"], [80])];
    const cluster = new Cluster({ ...base, services, endpoints: [gate, hijack] });
    expect(cluster.outcome(payments, "192.0.2.11:80")).toBe("forward payments/ledger:80");
  });

  test("a trusted namespace may register it", () => {
    const inner = agentEndpoint("default/inner", url, "http://ledger.payments", denyNamespace("sandbox"));
    const cluster = new Cluster({ ...base, endpoints: [gate, inner] });
    expect(cluster.outcome(sandbox, "192.0.2.11:80")).toBe("deny rule");
  });

  test("a policy of any namespace may send to it: its own guard judges again", () => {
    const services = [...base.services, service("sandbox/front", ["192.0.2.66"], [80])];
    const endpoints = [boundCloud("sandbox/front", "http://front.sandbox", [{ actions: [forward(url)] }])];
    const cluster = new Cluster({ ...base, services, endpoints });
    expect(cluster.outcome(sandbox, "192.0.2.66:80")).toBe("forward payments/ledger:80");
  });
});

describe("any other internal url resolves only within its own namespace or from a trusted one:", () => {
  const hop = (namespace: string, upstream: string) =>
    agentEndpoint(`${namespace}/hop`, "https://hop.internal", upstream, { kind: "none" });
  const services = [
    ...base.services,
    service("sandbox/trap", ["192.0.2.66"], [80]),
    service("default/shared", ["192.0.2.77"], [80]),
  ];
  const gate = boundCloud("payments/gate", "http://vault.payments", [
    { actions: [forward("https://hop.internal")] },
  ]);

  test.each([
    ["its own", [hop("payments", "http://ledger.payments")], "forward payments/ledger:80"],
    ["another tenant's", [hop("sandbox", "http://trap.sandbox")], "deny target-not-found"],
    ["a trusted namespace's", [hop("default", "http://shared.default")], "forward default/shared:80"],
    [
      "its own before a trusted one's",
      [
        hop("default", "http://shared.default"),
        hop("payments", "http://ledger.payments"),
        hop("sandbox", "http://trap.sandbox"),
      ],
      "forward payments/ledger:80",
    ],
  ])("%s", (_, hops, outcome) => {
    const cluster = new Cluster({ ...base, services, endpoints: [gate, ...hops] });
    expect(cluster.outcome(payments, "192.0.2.11:80")).toBe(outcome);
  });

  test("so that one url means to each tenant what it registered", () => {
    const endpoints = [
      gate,
      boundCloud("sandbox/gate", "http://front.sandbox", [{ actions: [forward("https://hop.internal")] }]),
      hop("payments", "http://ledger.payments"),
      hop("sandbox", "http://trap.sandbox"),
    ];
    const front = service("sandbox/front", ["192.0.2.88"], [80]);
    const cluster = new Cluster({ ...base, services: [...services, front], endpoints });
    expect(cluster.outcome(payments, "192.0.2.11:80")).toBe("forward payments/ledger:80");
    expect(cluster.outcome(payments, "192.0.2.88:80")).toBe("forward sandbox/trap:80");
  });

  test("a policy of a trusted namespace looks everywhere", () => {
    const endpoints = [
      boundCloud("default/gate", "http://vault.payments", [{ actions: [forward("https://hop.internal")] }]),
      hop("payments", "http://ledger.payments"),
    ];
    const cluster = new Cluster({ ...base, services, endpoints });
    expect(cluster.outcome(payments, "192.0.2.11:80")).toBe("forward payments/ledger:80");
  });
});
