/** From the kernel's numbers to the words of a verdict line. */
import { describe, expect, test } from "vitest";
import type { Snapshot } from "../../../agent/cluster/snapshot.ts";
import { NO_RULE } from "../../../agent/dataplane/abi.ts";
import type { KernelEvent } from "../../../agent/dataplane/event.ts";
import { PolicyNumbers } from "../../../agent/dataplane/numbers.ts";
import { computeGuards } from "../../../agent/guard/guards.ts";
import { lastValidInMemory } from "../../../agent/guard/last-valid.ts";
import { policyReader, resolvePolicies } from "../../../agent/guard/policies.ts";
import { identityReader } from "../../../agent/identity/pod-identity.ts";
import type { LocalPod } from "../../../agent/model/objects.ts";
import type { Decision } from "../../../agent/model/verdict.ts";
import { Narrator } from "../../../agent/narrate.ts";
import { verdictFields } from "../../../agent/verdict/record.ts";
import {
  agentEndpoint,
  connectionPolicy,
  deny,
  forward,
  OPTIONS,
  type Rule,
  service,
  snapshot,
} from "../guard/builders.ts";

const log = (metadata: object) => ({ type: "log", config: { metadata } }) as const;
const web: LocalPod = {
  uid: "uid-web",
  namespace: "payments",
  name: "web",
  nodeName: "node-1",
  ips: ["203.0.113.5"],
  hostNetwork: false,
  completed: false,
  annotations: new Map([["ngrok.com/team", "ledger\u202e\u001b[2J"]]),
  labels: new Map([["app", "web"]]),
  serviceAccount: "robot",
};
const services = [
  service("payments/ledger", ["192.0.2.10"], [80]),
  service("payments/other", ["192.0.2.11"], [80]),
];
const ref = { kind: "ConnectionPolicy", namespace: "payments", name: "p" };

/** A narrator that knows the policy payments/p about payments/ledger. */
function informed(rules: readonly Rule[], parts: Partial<Snapshot> = {}) {
  const view = snapshot({
    services,
    localPods: [web],
    namespaces: new Map([["payments", { name: "payments", labels: new Map([["tier", "gold"]]) }]]),
    connectionPolicies: [connectionPolicy("payments/p", ["ledger"], rules)],
    ...parts,
  });
  const policies = resolvePolicies(view, lastValidInMemory(), policyReader());
  const numbers = new PolicyNumbers();
  const narrator = new Narrator({ podUid: () => web.uid, policies: numbers }, identityReader());
  narrator.learn({
    snapshot: view,
    policies,
    guardSet: computeGuards(view, policies, OPTIONS),
    registration: { registered: [], unresolved: [] },
    undecided: { pods: new Set(), namespaces: new Set() },
    applied: { refused: [], pressure: [], unguarded: 0, changes: 0 },
    conditions: [],
  });
  return { narrator, numbers };
}

/** The line about a connection of pod payments/web to 192.0.2.10:80, of which the kernel says `made`. */
function line(rules: readonly Rule[], made: Partial<KernelEvent>, parts: Partial<Snapshot> = {}) {
  const { narrator, numbers } = informed(rules, parts);
  const event: KernelEvent = {
    time: 0n,
    cgroup: 1n,
    pod: 1,
    guard: 1,
    pid: 4711,
    comm: "curl",
    policy: numbers.take(ref),
    rule: NO_RULE,
    action: "deny",
    reason: "rule",
    audited: undefined,
    suppressed: 0,
    layer: "connect4",
    dialled: { address: "192.0.2.10", port: 80 },
    target: { address: "192.0.2.10", port: 80 },
    ...made,
  };
  return verdictFields(narrator.tell(event, 0));
}

describe("a verdict's line", () => {
  test("has what log actions recorded, of values the pod has, made safe to look at", () => {
    const metadata = {
      team: "${conn.k8s.pod.metadata.annotations['ngrok.com/team']}",
      tier: "${conn.k8s.namespace.labels.tier}",
      ip: "${conn.client_ip}",
      n: 7,
    };
    expect(line([{ actions: [log(metadata), deny] }], { rule: 0 })).toMatchObject({
      verdict: "deny",
      rule: { index: 0 },
      log: [{ team: "ledger\\u{202e}\\u{1b}[2J", tier: "gold", ip: "203.0.113.5", n: 7 }],
    });
  });

  test("has nothing of them where the policy has changed since the kernel decided", () => {
    expect(line([{ actions: [log({ a: "b" }), deny] }], { rule: 3 })).not.toHaveProperty("log");
  });

  test("has no field for them where none ran", () => {
    expect(line([{ actions: [deny] }], { rule: 0 })).not.toHaveProperty("log");
  });

  test("has those of every guard that a forward led to", () => {
    const elsewhere = connectionPolicy(
      "payments/q",
      ["other"],
      [{ actions: [log({ at: "${conn.server_ip}" })] }],
    );
    const rules = [
      { actions: [log({ at: "${conn.server_ip}" }), forward("http://other.payments.internal")] },
    ];
    const parts = { connectionPolicies: [connectionPolicy("payments/p", ["ledger"], rules), elsewhere] };
    const made = { action: "forward", rule: 0, target: { address: "192.0.2.11", port: 80 } } as const;
    expect(line(rules, made, parts)).toMatchObject({ log: [{ at: "192.0.2.10" }, { at: "192.0.2.11" }] });
  });

  test("cuts an entry that is too long to read", () => {
    const values = Object.fromEntries(Array.from({ length: 3 }, (_, i) => [`k${i}`, "\\".repeat(1300)]));
    const { log: [entry] = [] } = line([{ actions: [log(values), deny] }], { rule: 0 }) as {
      log?: { truncated: string }[];
    };
    expect(entry?.truncated).toHaveLength(4096);
  });

  test("says which expression or action failed, and how", () => {
    const byExpression = { expressions: ['conn.k8s.pod.labels["none"] == ""'], actions: [deny] };
    const error = { reason: "expression-error", rule: 0 } as const;
    expect(line([byExpression], error).error).toMatch(/no such key/);
    expect(line([{ actions: [log({ a: "${1 / 0}" }), deny] }], error).error).toMatch(/^action 0: .*zero/);
  });

  test.each([
    ["proxy", "pending"],
    ["deny", "pending"],
    ["deny", "agent-down"],
    ["deny", "over-limit"],
    ["allow", "agent-down"],
  ] as const)("says what a verdict left to the proxy hangs on: %s, %s", (action, reason) => {
    const rules = [{ expressions: ["conn.client_port < 1024"], actions: [deny] }];
    expect(line(rules, { action, reason, rule: 0 })).toMatchObject({
      verdict: action,
      reason,
      error: "it hangs on conn.client_port, which only a connection knows: the proxy decides",
    });
  });

  test("says what an audited policy would have said, not enforced, and what went wrong in it", () => {
    const rules = [{ expressions: ["1 / 0 == 1"], actions: [deny] }];
    const parts = {
      connectionPolicies: [connectionPolicy("payments/p", ["ledger"], rules, { audit: true })],
    };
    const policy = new PolicyNumbers().take(ref);
    const made = {
      policy: 0,
      action: "allow",
      reason: "fell-through",
      audited: { action: "deny", reason: "expression-error", policy, rule: 0 },
    } as const;
    expect(line(rules, made, parts)).toMatchObject({
      verdict: "allow",
      enforced: true,
      audited: {
        verdict: "deny",
        enforced: false,
        reason: "expression-error",
        error: expect.stringMatching(/zero/),
      },
    });
  });

  test("says what is wrong with a policy that cannot be read", () => {
    const rules = [{ expressions: ["("], actions: [deny] }];
    expect(line(rules, { reason: "policy-invalid" }).error).toMatch(/on_tcp_connect\[0\]\.expressions\[0\]/);
    const endpoints = [agentEndpoint("payments/x", "https://x.internal", "http://ledger.payments", [])];
    expect(line([{ actions: [deny] }], { rule: 0 }, { endpoints })).not.toHaveProperty("error");
  });
});

describe("the line of an open connection that was ended", () => {
  const dialled = { address: "192.0.2.10", port: 80 };
  const told = (decision: Decision, remote = dialled) => {
    const { narrator } = informed([{ name: "strangers", expressions: ["true"], actions: [deny] }]);
    const pod = identityReader()(web, new Map());
    const connection = { client: { address: "203.0.113.5", port: 40_000 }, dialled, remote };
    return verdictFields(narrator.tellRevoked({ time: 7, pod, layer: "connect6", connection, decision }));
  };

  test("says which rule refuses now, and no process: nobody knows which had it", () => {
    expect(told({ action: "deny", reason: "rule", policy: ref, rule: 0 })).toEqual({
      time: 7,
      verdict: "deny",
      enforced: true,
      reason: "revoked",
      layer: "connect6",
      pod: { namespace: "payments", name: "web", uid: "uid-web" },
      destination: { ...dialled, service: "payments/ledger" },
      policy: ref,
      rule: { index: 0, name: "strangers", expression: "true" },
      error_code: "",
    });
  });

  test("says where it had been forwarded, and what went wrong in the policy", () => {
    const remote = { address: "192.0.2.11", port: 80 };
    const decision = {
      action: "deny",
      reason: "expression-error",
      policy: ref,
      rule: 0,
      error: "oh",
    } as const;
    expect(told(decision, remote)).toMatchObject({
      reason: "revoked",
      forwarded_to: { ...remote, service: "payments/other" },
      error: "oh",
    });
  });
});
