/** Which policy is in force: what an object says now, what it last said that was valid, or a denial. */
import { describe, expect, test } from "vitest";
import { lastValidInMemory } from "../../../agent/guard/last-valid.ts";
import { policyReader, resolvePolicies } from "../../../agent/guard/policies.ts";
import type { PolicySource } from "../../../agent/model/objects.ts";
import {
  agentEndpoint,
  boundAgent,
  boundCloud,
  Cluster,
  caller,
  connectionPolicy,
  deny,
  denyNamespace,
  failClosed,
  inline,
  reference,
  service,
  snapshot,
  trafficPolicy,
} from "./builders.ts";

const payments = caller("payments/web");
const sandbox = caller("sandbox/web");
const at = "192.0.2.10:80";
const services = [service("payments/ledger", ["192.0.2.10"], [80])];
const closed = failClosed("payments", "http://ledger.payments.internal");
const key = "CloudEndpoint/payments/edge";
const edge = (policy: PolicySource, parts = {}) =>
  boundCloud("payments/edge", "http://ledger.payments", policy, parts);
const broken = inline([{ expressions: ["conn.k8s.pod.metadata.namespace !="], actions: [deny] }]);

describe("trust test 22: what leads to no rules denies:", () => {
  const cases: [string, PolicySource, string, string][] = [
    [
      "a targetRef to a missing NgrokTrafficPolicy",
      reference("gone"),
      "deny target-not-found",
      "TargetNotFound",
    ],
    ["an empty list of rules", inline([]), "deny policy-invalid", "Invalid"],
    ["an empty document", { kind: "inline", value: {}, path: "p" }, "deny policy-invalid", "Invalid"],
    ["null", { kind: "inline", value: null, path: "p" }, "deny policy-invalid", "Invalid"],
    ["text", { kind: "inline", value: "deny", path: "p" }, "deny policy-invalid", "Invalid"],
    [
      "a malformed policy field",
      { kind: "malformed", message: "write one", path: "p" },
      "deny policy-invalid",
      "Invalid",
    ],
  ];

  test.each(cases)("%s", (_, policy, outcome, reason) => {
    for (const endpoints of [
      [edge(policy)],
      [boundAgent("payments/edge", "http://ledger.payments", "http://ledger.payments", policy)],
    ]) {
      const cluster = new Cluster({ services, endpoints });
      expect(cluster.outcome(payments, at)).toBe(outcome);
      expect(cluster.set.conditions[0]).toMatchObject({ accepted: false, reason });
    }
  });

  test.each(cases)("%s, on a ConnectionPolicy", (_, policy, outcome) => {
    const connectionPolicies = [connectionPolicy("payments/p", ["ledger"], policy)];
    expect(new Cluster({ services, connectionPolicies }).outcome(payments, at)).toBe(outcome);
  });

  test("a NgrokTrafficPolicy of another namespace is missing too", () => {
    const cluster = new Cluster({
      services,
      endpoints: [edge(reference("closed"))],
      trafficPolicies: [trafficPolicy("default/closed", closed)],
    });
    expect(cluster.outcome(payments, at)).toBe("deny target-not-found");
    expect(cluster.condition(key).message).toContain("NgrokTrafficPolicy payments/closed does not exist");
  });
});

describe("trust test 23: an edit that breaks a valid policy", () => {
  test("leaves the last valid one enforced, and the condition tells of the generation that broke", () => {
    const lastValid = lastValidInMemory();
    const before = new Cluster({ services, endpoints: [edge(inline(closed))] }, {}, lastValid);
    expect(before.condition(key)).toMatchObject({ accepted: true, generation: 1 });
    const after = new Cluster({ services, endpoints: [edge(broken, { generation: 2 })] }, {}, lastValid);
    for (const cluster of [before, after]) {
      expect(cluster.outcome(payments, at)).toBe("allow");
      expect(cluster.outcome(sandbox, at)).toBe("deny rule");
    }
    expect(after.condition(key)).toMatchObject({
      accepted: false,
      reason: "Invalid",
      generation: 2,
      message: expect.stringMatching(/ERR_NGROK_2200.*the last valid policy stays enforced/),
    });
    const fixed = new Cluster(
      { services, endpoints: [edge(inline(closed), { generation: 3 })] },
      {},
      lastValid,
    );
    expect(fixed.condition(key)).toMatchObject({ accepted: true, generation: 3 });
  });

  test("of many faults the message leaves room for what comes of them", () => {
    const rules = Array.from({ length: 40 }, (_, index) => ({ actions: [{ type: `nothing-${index}` }] }));
    const { message } = new Cluster({ services, endpoints: [edge(inline(rules))] }).condition(key);
    expect(message).toMatch(
      /nothing-0.*; and \d+ more, which podgate lint lists; until then every connection it guards is denied$/,
    );
    expect(message.length).toBeLessThan(1024);
  });

  test.each<[string, PolicySource]>([
    ["a syntax error", broken],
    ["a reference to nothing", reference("gone")],
    ["a CloudEndpoint's that could fall through", inline(denyNamespace("guest"))],
    ["an empty list of rules", inline([])],
  ])("keeps it: %s", (_, policy) => {
    const lastValid = lastValidInMemory();
    new Cluster({ services, endpoints: [edge(inline(closed))] }, {}, lastValid);
    const cluster = new Cluster({ services, endpoints: [edge(policy)] }, {}, lastValid);
    expect(cluster.outcome(payments, at)).toBe("allow");
    expect(cluster.outcome(sandbox, at)).toBe("deny rule");
    expect(cluster.condition(key).accepted).toBe(false);
  });

  test("keeps it for a reference whose NgrokTrafficPolicy broke, and names that", () => {
    const lastValid = lastValidInMemory();
    const endpoints = [edge(reference("closed"))];
    const text = trafficPolicy("payments/closed", closed);
    new Cluster({ services, endpoints, trafficPolicies: [text] }, {}, lastValid);
    const bad = { ...text, value: { on_tcp_connect: [{ actions: [] }] } };
    const cluster = new Cluster({ services, endpoints, trafficPolicies: [bad] }, {}, lastValid);
    expect(cluster.outcome(sandbox, at)).toBe("deny rule");
    expect(cluster.condition(key).message).toContain(
      "NgrokTrafficPolicy payments/closed: spec.policy.on_tcp_connect[0]",
    );
  });

  test("keeps an AgentEndpoint without the binding on guard, though the broken text no longer tells what it is about", () => {
    const lastValid = lastValidInMemory();
    const object = (policy: PolicySource) =>
      agentEndpoint("payments/edge", "https://x.example.com", "http://ledger.payments", policy);
    new Cluster({ services, endpoints: [object(inline(denyNamespace("sandbox")))] }, {}, lastValid);
    const unreadable: PolicySource = { kind: "inline", value: "...", path: "p" };
    const cluster = new Cluster({ services, endpoints: [object(unreadable)] }, {}, lastValid);
    expect(cluster.outcome(sandbox, at)).toBe("deny rule");
    expect(cluster.reason("AgentEndpoint/payments/edge")).toBe("Invalid");
  });

  test("is not rescued by what an object of the same name once said", () => {
    const lastValid = lastValidInMemory();
    new Cluster({ services, endpoints: [edge(inline(closed))] }, {}, lastValid);
    const recreated = new Cluster({ services, endpoints: [edge(broken, { uid: "another" })] }, {}, lastValid);
    expect(recreated.outcome(payments, at)).toBe("deny policy-invalid");
  });

  test("is not rescued by what was valid before the policy was removed", () => {
    const lastValid = lastValidInMemory();
    const object = (policy: PolicySource) =>
      boundAgent("payments/edge", "http://ledger.payments", "http://ledger.payments", policy);
    for (const policy of [inline(denyNamespace("guest")), { kind: "none" } as const]) {
      expect(
        new Cluster({ services, endpoints: [object(policy)] }, {}, lastValid).outcome(payments, at),
      ).toBe("allow");
    }
    expect(new Cluster({ services, endpoints: [object(broken)] }, {}, lastValid).outcome(payments, at)).toBe(
      "deny policy-invalid",
    );
  });
});

describe("trust test 24: what a newer version might write is invalid and denies:", () => {
  test.each<[string, unknown]>([
    ["an unknown action", { on_tcp_connect: [{ actions: [{ type: "teleport" }] }] }],
    ["an unknown field of a rule", { on_tcp_connect: [{ when: "always", actions: [{ type: "deny" }] }] }],
    ["an unknown phase", { on_tcp_connect: closed, on_udp_packet: [] }],
    [
      "an unknown variable",
      { on_tcp_connect: [{ expressions: ["conn.k8s.pod.mood == 1"], actions: [deny] }, ...closed] },
    ],
  ])("%s", (_, value) => {
    const cluster = new Cluster({
      services,
      endpoints: [edge({ kind: "inline", value, path: "spec.trafficPolicy.policy" })],
    });
    expect(cluster.outcome(payments, at)).toBe("deny policy-invalid");
    expect(cluster.condition(key)).toMatchObject({
      accepted: false,
      reason: "Invalid",
      message: expect.stringContaining("spec.trafficPolicy.policy"),
    });
  });
});

describe("reading policies", () => {
  const view = (policy: PolicySource) => snapshot({ services, endpoints: [edge(policy)] });

  test("parses a value once, however often the snapshot changes around it", () => {
    const policy = inline(closed);
    const read = policyReader();
    const lastValid = lastValidInMemory();
    const inForce = () => resolvePolicies(view(policy), lastValid, read).get(key)?.inForce;
    const [first, second] = [inForce(), inForce()];
    expect(first?.kind === "policy" && second?.kind === "policy" && first.policy === second.policy).toBe(
      true,
    );
  });

  test("forgets what was valid for objects that are gone", () => {
    const lastValid = lastValidInMemory();
    const read = policyReader();
    resolvePolicies(view(inline(closed)), lastValid, read);
    expect(lastValid.get(edge(broken))).toEqual({ on_tcp_connect: closed });
    resolvePolicies(snapshot(), lastValid, read);
    expect(lastValid.get(edge(broken))).toBeUndefined();
  });

  test.each([
    ["valid", [{ actions: [{ type: "of-another-version" }] }]],
    ["fit for a CloudEndpoint", denyNamespace("guest")],
  ])("takes a remembered document that is no longer %s for none", (_, rules) => {
    const lastValid = lastValidInMemory();
    lastValid.set(edge(broken), { on_tcp_connect: rules });
    const cluster = new Cluster({ services, endpoints: [edge(broken)] }, {}, lastValid);
    expect(cluster.outcome(payments, at)).toBe("deny policy-invalid");
  });
});

test("a public endpoint whose reference leads nowhere guards nothing, and says why", () => {
  const endpoints = [
    agentEndpoint("payments/edge", "https://x.example.com", "http://ledger.payments", reference("gone")),
  ];
  const cluster = new Cluster({ services, endpoints });
  expect(cluster.guarded()).toEqual([]);
  expect(cluster.reason("AgentEndpoint/payments/edge")).toBe("TargetNotFound");
});
