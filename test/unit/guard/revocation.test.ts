/** Which open connections end: the pure rule, on clusters of a few objects. */
import { describe, expect, test } from "vitest";
import type { Snapshot } from "../../../agent/cluster/snapshot.ts";
import { linkLocalPorts } from "../../../agent/guard/link-local.ts";
import { guardPlaces } from "../../../agent/guard/places.ts";
import { type OpenConnection, revocation } from "../../../agent/guard/revocation.ts";
import type { Place } from "../../../agent/guard/travel.ts";
import type { Identity, PodIdentity } from "../../../agent/model/identity.ts";
import {
  agentEndpoint,
  Cluster,
  caller,
  connectionPolicy,
  deny,
  denyNamespace,
  forward,
  inline,
  node,
  pod,
  port,
  type Rule,
  service,
  slice,
} from "./builders.ts";

const NODE = "192.0.2.1";
const OWN = "203.0.113.5";
const services = [
  service("payments/ledger", ["192.0.2.10", "2001:db8::10"], [port(80, { nodePort: 30080 })]),
  service("payments/next", ["192.0.2.11"], [80]),
];
const sandbox = caller("sandbox/web", {}, { addresses: [OWN] });
const connectOnly = { connectOnly: true };
const policy = (rules: readonly Rule[], parts = {}, name = "p", target = "ledger") =>
  connectionPolicy(`payments/${name}`, [target], rules, parts);
const when = (expression: string): Rule[] => [{ expressions: [expression], actions: [deny] }];
const DENIES = denyNamespace("sandbox");
const ALLOWS = denyNamespace("other");

const place = (text: string): Place => {
  const colon = text.lastIndexOf(":");
  return { address: text.slice(0, colon).replace(/[[\]]/g, ""), port: Number(text.slice(colon + 1)) };
};

interface Circumstances {
  readonly dialled?: string;
  readonly client?: string;
  readonly from?: Identity;
  readonly now?: number;
  readonly ownAddresses?: readonly string[];
  readonly isOnNode?: boolean;
}

/** The connection to `remote`, decided now: `goes on`, or `reason`, with the policy's name and rule where there is one. */
function ends(remote: string, parts: Partial<Snapshot>, circumstances: Circumstances = {}): string {
  const {
    dialled = remote,
    client = `${OWN}:40000`,
    from = sandbox,
    now = 0,
    isOnNode = false,
  } = circumstances;
  const nodeAddresses = isOnNode ? [NODE, "127.0.0.1", "::1"] : [];
  const { set } = new Cluster({ services, ...parts }, { ownAddresses: nodeAddresses });
  const connection: OpenConnection = {
    client: place(client),
    dialled: place(dialled),
    remote: place(remote),
  };
  const decision = revocation(
    connection,
    { identity: podOf(from), ownAddresses: circumstances.ownAddresses ?? [OWN], isOnNode },
    {
      guardAt: guardPlaces(set.guards, new Set([NODE])),
      routes: set.routes,
      linkLocalPorts: new Set(linkLocalPorts(set.guards, set.routes.services)),
    },
    now,
  );
  if (decision === undefined) return "goes on";
  const { policy: by, rule } = decision;
  return [decision.reason, by?.name, rule].filter((word) => word !== undefined).join(" ");
}

const one = (rules: readonly Rule[], parts = {}) => ({ connectionPolicies: [policy(rules, parts)] });

describe("an open connection", () => {
  test.each<[string, string, Partial<Snapshot>, string]>([
    ["goes on while it is allowed", "192.0.2.10:80", one(ALLOWS), "goes on"],
    ["ends when a rule denies it", "192.0.2.10:80", one(DENIES), "rule p 0"],
    ["ends over IPv6 too", "[2001:db8::10]:80", one(DENIES), "rule p 0"],
    ["ends at a node port", `${NODE}:30080`, one(DENIES), "rule p 0"],
    ["goes on where nothing guards", "192.0.2.99:80", one(DENIES), "goes on"],
    ["goes on at another port", "192.0.2.10:81", one(DENIES), "goes on"],
    ["goes on at a port that is a node port elsewhere", "192.0.2.10:30080", one(DENIES), "goes on"],
    ["goes on at loopback, which is the pod itself", "127.0.0.1:30080", one(DENIES), "goes on"],
    ["goes on at IPv6 loopback", "[::1]:30080", one(DENIES), "goes on"],
    ["goes on where an audited policy denies", "192.0.2.10:80", one(DENIES, { audit: true }), "goes on"],
    ["goes on where only connecting is decided", "192.0.2.10:80", one(DENIES, connectOnly), "goes on"],
    [
      "ends by a rule that cannot be evaluated",
      "192.0.2.10:80",
      one(when('conn.k8s.pod.labels["no"] == "x"')),
      "expression-error p 0",
    ],
    [
      "ends where the policy cannot be used",
      "192.0.2.10:80",
      {
        connectionPolicies: [
          connectionPolicy("payments/p", ["ledger"], inline([{ actions: [{ type: "no-such" }] }])),
        ],
      },
      "policy-invalid p",
    ],
  ])("%s", (_name, remote, parts, wanted) => {
    expect(ends(remote, parts)).toBe(wanted);
  });

  test("ends by the policy that does not decide at connecting alone, where several deny", () => {
    const connectionPolicies = [policy(DENIES, connectOnly, "a"), policy(DENIES, {}, "b")];
    expect(ends("192.0.2.10:80", { connectionPolicies })).toBe("rule b 0");
    expect(ends("192.0.2.10:80", { connectionPolicies: connectionPolicies.slice(0, 1) })).toBe("goes on");
  });

  test("goes on at the pod's own address", () => {
    const backends = {
      endpointSlices: [slice("payments/ledger", [OWN], 8080)],
      pods: [pod("payments/web", OWN)],
      ...one(DENIES),
    };
    expect(ends(`${OWN}:8080`, backends, { ownAddresses: [] })).toBe("rule p 0");
    expect(ends(`${OWN}:8080`, backends)).toBe("goes on");
  });

  test("ends at a link-local address, at the ports of guarded backends", () => {
    const parts = {
      endpointSlices: [slice("payments/ledger", ["203.0.113.9"], 8080)],
      pods: [pod("payments/server", "203.0.113.9")],
      ...one(ALLOWS),
    };
    expect(ends("[fe80::9]:8080", parts)).toBe("target-not-routable");
    expect(ends("[fe80::9]:8081", parts)).toBe("goes on");
    expect(ends("[fe80::9]:30080", parts)).toBe("goes on");
    expect(ends("[febf::9]:30080", { ...parts, ...one(DENIES) })).toBe("rule p 0");
  });
});

describe("what only a connection knows", () => {
  test("is known of an open one: ports, addresses, the moment", () => {
    const byPort = one(when("conn.client_port < 1024"));
    expect(ends("192.0.2.10:80", byPort, { client: `${OWN}:1023` })).toBe("rule p 0");
    expect(ends("192.0.2.10:80", byPort, { client: `${OWN}:1024` })).toBe("goes on");
    const byTime = one(when('timestamp(time.now) > timestamp("2026-01-01T00:00:00Z")'));
    expect(ends("192.0.2.10:80", byTime, { now: Date.parse("2026-02-01") })).toBe("rule p 0");
    expect(ends("192.0.2.10:80", byTime, { now: Date.parse("2025-02-01") })).toBe("goes on");
  });

  test("is not asked again where it was decided by connecting: chance, and when that was", () => {
    expect(ends("192.0.2.10:80", one(when("rand.double() < 2.0")))).toBe("goes on");
    expect(ends("192.0.2.10:80", one(when('conn.ts.start > timestamp("2026-01-01T00:00:00Z")')))).toBe(
      "goes on",
    );
    // Another policy refuses for certain.
    const both = [policy(when("rand.double() < 2.0"), {}, "a"), policy(DENIES, {}, "b")];
    expect(ends("192.0.2.10:80", { connectionPolicies: both })).toBe("rule b 0");
  });

  test("ends nothing by a policy that decides at connecting alone", () => {
    const byPort = one(when("conn.client_port < 1024"), connectOnly);
    expect(ends("192.0.2.10:80", byPort, { client: `${OWN}:1023` })).toBe("goes on");
  });
});

describe("a connection from the node's namespace", () => {
  const onNode = { isOnNode: true, ownAddresses: [] };
  const hostBackend = {
    endpointSlices: [slice("payments/ledger", [NODE], 8080)],
    pods: [pod("payments/server", NODE, { hostNetwork: true })],
    nodes: [node("node-1", NODE)],
  };

  test.each([
    ["192.0.2.10:80", "rule p 0"],
    [`${NODE}:30080`, "rule p 0"],
    ["127.0.0.1:30080", "rule p 0"],
    ["127.9.9.9:30080", "rule p 0"],
    ["[::1]:30080", "rule p 0"],
    ["127.0.0.1:8080", "rule p 0"],
    ["127.9.9.9:8080", "rule p 0"],
    ["[::1]:8080", "rule p 0"],
    ["127.0.0.1:8081", "goes on"],
    ["192.0.2.99:80", "goes on"],
  ])("is judged at loopback as elsewhere: %s", (remote, wanted) => {
    expect(ends(remote, { ...hostBackend, ...one(DENIES) }, onNode)).toBe(wanted);
    expect(ends(remote, { ...hostBackend, ...one(ALLOWS) }, onNode)).toBe("goes on");
    expect(ends(remote, { ...hostBackend, ...one(DENIES, connectOnly) }, onNode)).toBe("goes on");
  });

  test("ends where only a proxy could decide, whatever it would say: there is none", () => {
    const byPort = when("conn.client_port < 1024");
    expect(ends("192.0.2.10:80", one(byPort), onNode)).toBe("pending p 0");
    expect(ends("192.0.2.10:80", one(byPort))).toBe("goes on");
    expect(ends("192.0.2.10:80", one(byPort, connectOnly), onNode)).toBe("goes on");
    expect(ends("192.0.2.10:80", one(byPort, { audit: true }), onNode)).toBe("goes on");
    // The undecided one is not the one that decides at connecting alone.
    const both = [policy(DENIES, connectOnly, "a"), policy(byPort, {}, "b")];
    expect(ends("192.0.2.10:80", { connectionPolicies: both }, onNode)).toBe("pending b 0");
  });
});

describe("a forwarded connection", () => {
  const TO_NEXT = forward("http://next.payments.internal");
  const at = { dialled: "192.0.2.10:80" };
  const forwards = (parts = {}) => policy([{ actions: [TO_NEXT] }], parts);

  test("goes on while what was dialled forwards there", () => {
    expect(ends("192.0.2.11:80", { connectionPolicies: [forwards()] }, at)).toBe("goes on");
  });

  test("ends when what was dialled denies", () => {
    expect(ends("192.0.2.11:80", one(DENIES), at)).toBe("rule p 0");
    expect(ends("192.0.2.11:80", one(DENIES))).toBe("goes on");
  });

  test("ends when the target's own guard denies", () => {
    const target = policy(DENIES, {}, "q", "next");
    expect(ends("192.0.2.11:80", { connectionPolicies: [forwards(), target] }, at)).toBe("rule q 0");
    // Also where what was dialled leads elsewhere by now.
    expect(ends("192.0.2.11:80", { connectionPolicies: [target] }, at)).toBe("rule q 0");
  });

  test("ends where there is no way any more for its family", () => {
    const over6 = { dialled: "[2001:db8::10]:80" };
    expect(ends("[2001:db8::11]:80", { connectionPolicies: [forwards()] }, over6)).toBe(
      "target-not-routable p 0",
    );
    expect(ends("[2001:db8::11]:80", { connectionPolicies: [forwards(connectOnly)] }, over6)).toBe("goes on");
  });

  test("ends by an endpoint on the way, unless that decides at connecting alone", () => {
    const inner = (parts = {}) =>
      agentEndpoint("payments/inner", "https://inner.internal", "http://next.payments", DENIES, parts);
    const connectionPolicies = [policy([{ actions: [forward("https://inner.internal")] }])];
    const over = (parts = {}) => ({ connectionPolicies, endpoints: [inner(parts)] });
    expect(ends("192.0.2.11:80", over(), at)).toBe("rule inner 0");
    expect(ends("192.0.2.11:80", over(connectOnly), at)).toBe("goes on");
    expect(ends("192.0.2.11:80", over({ audit: true }), at)).toBe("goes on");
    const strict = { ...inner(), name: "strict" };
    const both = { connectionPolicies, endpoints: [inner(connectOnly), strict] };
    expect(ends("192.0.2.11:80", both, at)).toBe("rule strict 0");
  });
});

function podOf(identity: Identity): PodIdentity {
  if (identity.kind !== "pod") throw new Error("name a pod");
  return identity.pod;
}
