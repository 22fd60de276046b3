/** How the policies of one guard become one verdict. */
import { describe, expect, test } from "vitest";
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
  forward,
  nobody,
  service,
} from "./builders.ts";

const payments = caller("payments/web");
const sandbox = caller("sandbox/web");
const at = "192.0.2.10:80";
const services = [
  service("payments/ledger", ["192.0.2.10"], [80]),
  service("payments/a", ["192.0.2.21"], [80]),
  service("payments/b", ["192.0.2.22"], [80]),
];
const policy = (name: string, rules: Parameters<typeof connectionPolicy>[2], parts = {}) =>
  connectionPolicy(`payments/${name}`, ["ledger"], rules, parts);
const sendTo = (name: string) => [{ actions: [forward(`http://${name}.payments.internal`)] }];
const ref = (name: string) => ({ kind: "ConnectionPolicy", namespace: "payments", name });

/** A cluster whose payments/ledger:80 has these policies, in every order. */
function guardedBy(...policies: ReturnType<typeof policy>[]): Cluster[] {
  const orders = [policies, [...policies].reverse()];
  return orders.map((connectionPolicies) => new Cluster({ services, connectionPolicies }));
}

describe("while there is no agent, an undecided connection", () => {
  const byPort = [{ expressions: ["conn.client_port < 1024"], actions: [deny] }];
  const lenient = policy("a", byPort, { onAgentDown: "allow" });
  const verdict = (...policies: ReturnType<typeof policy>[]) => {
    const verdicts = guardedBy(...policies).map((cluster) => cluster.connect(sandbox, at));
    return verdicts.map((each) =>
      each === "not guarded" ? each : `${each.action} ${each.onAgentDown ?? "deny"}`,
    );
  };

  test.each([
    ["of one policy that says so is allowed", [lenient], "proxy allow"],
    ["is refused where nobody says anything", [policy("a", byPort)], "proxy deny"],
    ["is refused where one of two does not say so", [lenient, policy("b", byPort)], "proxy deny"],
    ["is allowed where both say so", [lenient, policy("b", byPort, { onAgentDown: "allow" })], "proxy allow"],
    ["is allowed where the other allows anyway", [lenient, policy("b", sendTo("ledger"))], "proxy allow"],
    ["is refused where the other would send it elsewhere", [lenient, policy("b", sendTo("a"))], "proxy deny"],
    ["is denied where the other denies", [lenient, policy("b", denyNamespace("sandbox"))], "deny deny"],
  ])("%s", (_, policies, expected) => {
    for (const each of verdict(...policies)) expect(each).toBe(expected);
  });
});

describe("all policies of a guard must allow:", () => {
  test("deny overrides allow", () => {
    for (const cluster of guardedBy(policy("a", sendTo("ledger")), policy("b", denyNamespace("sandbox")))) {
      expect(cluster.outcome(payments, at)).toBe("allow");
      expect(cluster.outcome(sandbox, at)).toBe("deny rule");
    }
  });

  test("deny overrides forward", () => {
    for (const cluster of guardedBy(policy("a", sendTo("a")), policy("b", denyNamespace("sandbox")))) {
      expect(cluster.outcome(payments, at)).toBe("forward payments/a:80");
      expect(cluster.outcome(sandbox, at)).toBe("deny rule");
    }
  });

  test("an invalid policy overrides everything", () => {
    const broken = policy("b", [{ expressions: ["("], actions: [deny] }]);
    for (const cluster of guardedBy(policy("a", sendTo("ledger")), broken)) {
      expect(cluster.connect(payments, at)).toEqual({
        action: "deny",
        reason: "policy-invalid",
        policy: ref("b"),
      });
    }
  });

  test("an added object can restrict but never open", () => {
    const before = guardedBy(policy("m", denyNamespace("sandbox")));
    const after = guardedBy(
      policy("m", denyNamespace("sandbox")),
      policy("a", sendTo("ledger")),
      policy("z", sendTo("ledger")),
    );
    for (const cluster of [...before, ...after]) expect(cluster.outcome(sandbox, at)).toBe("deny rule");
  });

  test("of several that deny the first by kind, namespace and name is reported", () => {
    for (const cluster of guardedBy(
      policy("b", denyNamespace("sandbox")),
      policy("a", denyNamespace("sandbox")),
    )) {
      expect(cluster.connect(sandbox, at)).toEqual({
        action: "deny",
        reason: "rule",
        policy: ref("a"),
        rule: 0,
      });
    }
  });

  test("an allow by a rule is reported as that rule's, one by nobody as nobody's", () => {
    const byRule = { action: "allow", reason: "rule", policy: ref("b"), rule: 0 };
    for (const cluster of guardedBy(policy("a", denyNamespace("sandbox")), policy("b", sendTo("ledger")))) {
      expect(cluster.connect(payments, at)).toEqual(byRule);
    }
    for (const cluster of guardedBy(policy("a", denyNamespace("sandbox")))) {
      expect(cluster.connect(payments, at)).toEqual({ action: "allow", reason: "fell-through" });
    }
  });

  test("the same url on several endpoints: both apply", () => {
    const endpoints = [
      boundCloud(
        "payments/strict",
        "http://ledger.payments",
        failClosed("payments", "http://ledger.payments.internal"),
      ),
      boundCloud("payments/weak", "http://ledger.payments", sendTo("ledger")),
      boundAgent("payments/weaker", "http://ledger.payments", "http://ledger.payments", { kind: "none" }),
      agentEndpoint(
        "payments/public",
        "https://x.example.com",
        "http://ledger.payments",
        denyNamespace("guest"),
      ),
    ];
    const cluster = new Cluster({ services, endpoints });
    expect(cluster.outcome(payments, at)).toBe("allow");
    expect(cluster.outcome(sandbox, at)).toBe("deny rule");
    expect(cluster.outcome(nobody, at)).toBe("deny rule");
  });
});

describe("two policies that forward one connection", () => {
  test("to different targets: deny, conflict", () => {
    for (const cluster of guardedBy(policy("a", sendTo("a")), policy("b", sendTo("b")))) {
      expect(cluster.connect(payments, at)).toEqual({
        action: "deny",
        reason: "conflict",
        policy: ref("a"),
        rule: 0,
      });
    }
  });

  test("to the same target: forward", () => {
    for (const cluster of guardedBy(policy("a", sendTo("a")), policy("b", sendTo("a")))) {
      expect(cluster.connect(payments, at)).toMatchObject({ action: "forward", policy: ref("a") });
    }
  });

  test("one there and one to where it was going: forward", () => {
    for (const cluster of guardedBy(policy("a", sendTo("ledger")), policy("b", sendTo("b")))) {
      expect(cluster.outcome(payments, at)).toBe("forward payments/b:80");
    }
  });
});

describe("audited policies never refuse; what they would have said is recorded:", () => {
  const audit = { audit: true };

  test("a deny", () => {
    for (const cluster of guardedBy(
      policy("a", sendTo("ledger")),
      policy("b", denyNamespace("sandbox"), audit),
    )) {
      expect(cluster.connect(sandbox, at)).toMatchObject({
        action: "allow",
        policy: ref("a"),
        audited: { action: "deny", reason: "rule", policy: ref("b"), rule: 0 },
      });
      expect(cluster.connect(payments, at)).not.toHaveProperty("audited");
    }
  });

  test("an invalid one", () => {
    const broken = policy("b", [{ expressions: ["("], actions: [deny] }], audit);
    for (const cluster of guardedBy(broken)) {
      expect(cluster.connect(payments, at)).toEqual({
        action: "allow",
        reason: "fell-through",
        audited: { action: "deny", reason: "policy-invalid", policy: ref("b") },
      });
    }
  });

  test("a forward elsewhere", () => {
    for (const cluster of guardedBy(policy("a", sendTo("ledger")), policy("b", sendTo("b"), audit))) {
      expect(cluster.connect(payments, at)).toMatchObject({
        action: "allow",
        audited: { action: "forward", forward: { service: "payments/b" } },
      });
    }
  });

  test("a conflict with an enforced one", () => {
    for (const cluster of guardedBy(policy("a", sendTo("a")), policy("b", sendTo("b"), audit))) {
      expect(cluster.connect(payments, at)).toMatchObject({
        action: "forward",
        forward: { service: "payments/a" },
        audited: { action: "deny", reason: "conflict" },
      });
    }
  });

  test("nothing, where an enforced policy denies already", () => {
    const both = guardedBy(
      policy("a", denyNamespace("sandbox")),
      policy("b", denyNamespace("sandbox"), audit),
    );
    for (const cluster of both) expect(cluster.connect(sandbox, at)).not.toHaveProperty("audited");
  });
});

test("an expression that cannot be evaluated denies, and says which rule's", () => {
  const missing = [
    { expressions: ['conn.k8s.pod.metadata.namespace == "nowhere"'], actions: [deny] },
    {
      expressions: ['conn.k8s.pod.metadata.annotations["k8s.ngrok.com/environment"] != "production"'],
      actions: [deny],
    },
  ];
  for (const cluster of guardedBy(policy("a", missing))) {
    expect(cluster.connect(payments, at)).toEqual({
      action: "deny",
      reason: "expression-error",
      policy: ref("a"),
      rule: 1,
      error: expect.stringMatching(/no such key/),
    });
  }
});

describe("a guard's key", () => {
  const keyAt = (cluster: Cluster, place = at) => cluster.guardAt(place)?.key;

  test("does not change because a policy's text, or its validity, does", () => {
    const texts = [
      sendTo("ledger"),
      sendTo("a"),
      denyNamespace("sandbox"),
      [{ expressions: ["("], actions: [deny] }],
    ];
    const keys = texts.map((text) =>
      keyAt(new Cluster({ services, connectionPolicies: [policy("a", text)] })),
    );
    expect(new Set(keys).size).toBe(1);
    expect(keys[0]).toBeDefined();
  });

  test("is shared by addresses with the same policies seen as the same Services, and by no others", () => {
    const both = connectionPolicy("payments/p", ["ledger", "a"], denyNamespace("sandbox"));
    const dual = service("payments/ledger", ["192.0.2.10", "2001:db8::10"], [80], {
      externalIps: ["203.0.113.1"],
    });
    const cluster = new Cluster({ services: [dual, ...services.slice(1)], connectionPolicies: [both] });
    expect(keyAt(cluster, "[2001:db8::10]:80")).toBe(keyAt(cluster));
    expect(keyAt(cluster, "203.0.113.1:80")).toBe(keyAt(cluster));
    expect(keyAt(cluster, "192.0.2.21:80")).not.toBe(keyAt(cluster));
    expect(cluster.set.guards).toHaveLength(2);
  });
});
