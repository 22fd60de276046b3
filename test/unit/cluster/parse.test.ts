/** API objects become model values; what is odd about them is said and never thrown. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Fields } from "../../../agent/cluster/fields.ts";
import { type Parse, readMetadata } from "../../../agent/cluster/metadata.ts";
import { parseConnectionPolicy } from "../../../agent/cluster/parse-connection-policy.ts";
import { parseAgentEndpoint, parseCloudEndpoint } from "../../../agent/cluster/parse-endpoint.ts";
import { parseEndpointSlice } from "../../../agent/cluster/parse-endpoint-slice.ts";
import { parseNamespace } from "../../../agent/cluster/parse-namespace.ts";
import { parseNode } from "../../../agent/cluster/parse-node.ts";
import { parseLocalPod, parsePod } from "../../../agent/cluster/parse-pod.ts";
import { parseReferenceGrant } from "../../../agent/cluster/parse-reference-grant.ts";
import { parseService } from "../../../agent/cluster/parse-service.ts";
import { parseTrafficPolicy } from "../../../agent/cluster/parse-traffic-policy.ts";

const metadata = { uid: "u1", namespace: "payments", name: "ledger", resourceVersion: "7", generation: 3 };

/** Parses `fields` as the API server would send them, with `metadata` filled in. */
function parsed<T>(parse: Parse<T>, fields: Record<string, unknown>) {
  const object = JSON.parse(
    JSON.stringify({ ...fields, metadata: { ...metadata, ...(fields.metadata as object) } }),
  );
  const problems: string[] = [];
  const read = readMetadata(object);
  if (read === undefined) throw new Error("the test's own metadata is unreadable");
  const value = parse(object, read, (path, problem) => problems.push(`${path} ${problem}`));
  return { value, problems };
}

describe("pod", () => {
  test("keeps who has which address", () => {
    const { value, problems } = parsed(parsePod, {
      spec: { nodeName: "node-a", containers: [{}] },
      status: {
        phase: "Running",
        podIP: "192.0.2.7",
        podIPs: [{ ip: "192.0.2.7" }, { ip: "2001:DB8:0::7" }],
      },
    });
    expect(value).toEqual({
      uid: "u1",
      namespace: "payments",
      name: "ledger",
      nodeName: "node-a",
      ips: ["192.0.2.7", "2001:db8::7"],
      hostNetwork: false,
      completed: false,
    });
    expect(problems).toEqual([]);
  });

  test.each([
    ["Pending", false],
    ["Running", false],
    ["Unknown", false],
    ["Succeeded", true],
    ["Failed", true],
  ])("in phase %s is completed: %s", (phase, completed) => {
    expect(parsed(parsePod, { status: { phase } }).value).toMatchObject({ completed });
  });

  test("without a spec or status has no node and no address", () => {
    expect(parsed(parsePod, {}).value).toMatchObject({ nodeName: "", ips: [], hostNetwork: false });
  });

  test("with an unreadable hostNetwork has no identity of its own", () => {
    const { value, problems } = parsed(parsePod, { spec: { hostNetwork: "yes" } });
    expect(value).toMatchObject({ hostNetwork: true });
    expect(problems).toEqual(['spec.hostNetwork is "yes", not true or false']);
  });

  test("loses only the addresses that are none", () => {
    const { value, problems } = parsed(parsePod, {
      status: { podIP: "192.0.2.1", podIPs: [{ ip: "192.0.2.01" }, null, 7, { ip: "192.0.2.2" }] },
    });
    expect(value).toMatchObject({ ips: ["192.0.2.1", "192.0.2.2"] });
    expect(problems).toHaveLength(3);
  });
});

describe("pod of this node", () => {
  const annotations = { "kubernetes.io/config.hash": "abc", "k8s.ngrok.com/tenant": "t1" };

  test("keeps its annotations, as own keys whatever they are called", () => {
    const object = '{"metadata":{"annotations":{"__proto__":"p","constructor":"c"}}}';
    const { value } = parsed(parseLocalPod, {});
    expect(value?.annotations.size).toBe(0);
    const hostile = { ...readMetadata({ metadata }), ...JSON.parse(object).metadata };
    const pod = parseLocalPod({}, hostile, () => {});
    expect([...pod.annotations]).toEqual([
      ["__proto__", "p"],
      ["constructor", "c"],
    ]);
    expect(({} as Fields).p).toBeUndefined();
  });

  test("has a config hash only as kubelet writes its mirror pods", () => {
    const owner = { apiVersion: "v1", kind: "Node", name: "node-a", controller: true };
    const mirror = {
      metadata: {
        annotations: { ...annotations, "kubernetes.io/config.mirror": "abc" },
        ownerReferences: [owner],
      },
      spec: { nodeName: "node-a" },
    };
    expect(parsed(parseLocalPod, mirror).value).toMatchObject({ configHash: "abc" });
    const others: object[] = [
      { metadata: { ...mirror.metadata, annotations } },
      {
        metadata: {
          ...mirror.metadata,
          annotations: { ...annotations, "kubernetes.io/config.mirror": "abd" },
        },
      },
      { metadata: { ...mirror.metadata, annotations: { "kubernetes.io/config.mirror": "abc" } } },
      { metadata: { ...mirror.metadata, annotations: {} } },
      ...[
        undefined,
        null,
        [],
        [null],
        [{ ...owner, name: "node-b" }],
        [{ ...owner, kind: "ReplicaSet" }],
        [{ ...owner, controller: false }],
      ].map((ownerReferences) => ({ metadata: { ...mirror.metadata, ownerReferences } })),
    ];
    for (const each of others) {
      expect(parsed(parseLocalPod, { ...mirror, ...each }).value).not.toHaveProperty("configHash");
    }
  });

  test("keeps its labels and its service account", () => {
    const labels = { app: "web", constructor: "c" };
    const { value } = parsed(parseLocalPod, { metadata: { labels }, spec: { serviceAccountName: "robot" } });
    expect([...(value?.labels ?? [])]).toEqual(Object.entries(labels));
    expect(value?.serviceAccount).toBe("robot");
    expect(parsed(parseLocalPod, {}).value).toMatchObject({ labels: new Map(), serviceAccount: "" });
  });

  test("leaves out annotations that are no strings", () => {
    const { value, problems } = parsed(parseLocalPod, {
      metadata: { annotations: { good: "yes", bad: { deep: 1 } } },
    });
    expect([...(value?.annotations ?? [])]).toEqual([["good", "yes"]]);
    expect(problems).toEqual(['metadata.annotations["bad"] is an object, not a string']);
  });
});

test("namespace: its name and labels", () => {
  const { value } = parsed(parseNamespace, { metadata: { labels: { tier: "gold" } } });
  expect(value).toMatchObject({ labels: new Map([["tier", "gold"]]) });
});

test("node: also the addresses that its pod ranges and network plugins give it", () => {
  const { value } = parsed(parseNode, {
    metadata: {
      annotations: {
        "projectcalico.org/IPv4VXLANTunnelAddr": "192.0.2.77",
        "network.cilium.io/ipv6-cilium-host": "2001:db8:77::1/128",
        "network.cilium.io/ipv4-cilium-host": "none",
        "example.com/gateway": "192.0.2.88",
      },
    },
    spec: {
      podCIDR: "10.244.1.0/24",
      podCIDRs: ["10.244.1.0/24", "2001:db8:1::/64", "10.0.0.9/32", "odd", 7],
    },
    status: { addresses: [{ type: "InternalIP", address: "192.0.2.10" }] },
  });
  expect(value?.addresses).toEqual([
    "192.0.2.10",
    "10.244.1.0",
    "10.244.1.1",
    "2001:db8:1::",
    "2001:db8:1::1",
    "192.0.2.77",
    "2001:db8:77::1",
  ]);
});

test("node: internal and external addresses, not host names", () => {
  const { value } = parsed(parseNode, {
    status: {
      addresses: [
        { type: "InternalIP", address: "192.0.2.10" },
        { type: "Hostname", address: "192.0.2.99" },
        { type: "ExternalIP", address: "2001:db8::10" },
        { type: "InternalIP", address: "not an address" },
      ],
    },
  });
  expect(value).toEqual({ name: "ledger", addresses: ["192.0.2.10", "2001:db8::10"] });
});

describe("service", () => {
  test("keeps every address and port that leads to it", () => {
    const { value, problems } = parsed(parseService, {
      metadata: { creationTimestamp: "2026-11-21T10:00:00Z" },
      spec: {
        type: "LoadBalancer",
        clusterIP: "10.96.0.5",
        clusterIPs: ["10.96.0.5", "2001:db8:1::5"],
        externalIPs: ["198.51.100.5"],
        ports: [
          { name: "http", port: 80, nodePort: 30080 },
          { port: 53, protocol: "UDP" },
        ],
      },
      status: { loadBalancer: { ingress: [{ ip: "203.0.113.5" }, { hostname: "lb.example.com" }] } },
    });
    expect(value).toEqual({
      uid: "u1",
      namespace: "payments",
      name: "ledger",
      type: "LoadBalancer",
      clusterIps: ["10.96.0.5", "2001:db8:1::5"],
      externalIps: ["198.51.100.5"],
      loadBalancerIps: ["203.0.113.5"],
      ports: [
        { name: "http", protocol: "TCP", port: 80, nodePort: 30080 },
        { name: "", protocol: "UDP", port: 53, nodePort: 0 },
      ],
      created: Date.UTC(2026, 10, 21, 10),
    });
    expect(problems).toEqual([]);
  });

  test.each([
    ["headless", { clusterIP: "None", clusterIPs: ["None"] }, []],
    ["not yet allocated", { clusterIP: "" }, []],
    ["from a server that knows one address only", { clusterIP: "10.96.0.5" }, ["10.96.0.5"]],
  ])("%s", (_name, spec, clusterIps) => {
    expect(parsed(parseService, { spec }).value).toMatchObject({ type: "ClusterIP", clusterIps });
  });

  test("without a date is the youngest of all", () => {
    expect(parsed(parseService, {}).value?.created).toBe(Number.MAX_SAFE_INTEGER);
  });

  test("loses only the ports that are none", () => {
    const ports = [
      { port: 80 },
      { port: 0 },
      { port: "81" },
      null,
      { port: 65536 },
      { port: 82, nodePort: -1 },
    ];
    expect(parsed(parseService, { spec: { ports } }).value?.ports).toEqual([
      { name: "", protocol: "TCP", port: 80, nodePort: 0 },
      { name: "", protocol: "TCP", port: 82, nodePort: 0 },
    ]);
  });
});

describe("endpoint slice", () => {
  const labels = { "kubernetes.io/service-name": "ledger" };

  test("keeps ready, unready and terminating backends alike", () => {
    const { value } = parsed(parseEndpointSlice, {
      metadata: { labels },
      addressType: "IPv4",
      endpoints: [
        { addresses: ["192.0.2.1"], conditions: { ready: true } },
        { addresses: ["192.0.2.2"], conditions: { ready: false } },
        { addresses: ["192.0.2.3"], conditions: { terminating: true } },
        { addresses: ["192.0.2.1"] },
      ],
      ports: [{ name: "http", port: 8080, protocol: "TCP" }, { port: null }, { port: 9090 }],
    });
    expect(value).toEqual({
      namespace: "payments",
      name: "ledger",
      serviceName: "ledger",
      addresses: ["192.0.2.1", "192.0.2.2", "192.0.2.3"],
      ports: [
        { name: "http", protocol: "TCP", port: 8080 },
        { name: "", protocol: "TCP", port: 9090 },
      ],
    });
  });

  test("of host names has no address, and without the label belongs to no Service", () => {
    const slice = { addressType: "FQDN", endpoints: [{ addresses: ["db.example.com"] }] };
    expect(parsed(parseEndpointSlice, slice)).toEqual({
      value: { namespace: "payments", name: "ledger", serviceName: "", addresses: [], ports: [] },
      problems: [],
    });
  });
});

describe("reference grant", () => {
  const from = { group: "podgate.dev", kind: "ConnectionPolicy", namespace: "shop" };

  test("keeps from and to", () => {
    const to = [
      { group: "", kind: "Service" },
      { group: "", kind: "Service", name: "db" },
    ];
    expect(parsed(parseReferenceGrant, { spec: { from: [from], to } }).value).toEqual({
      namespace: "payments",
      name: "ledger",
      from: [from],
      to,
    });
  });

  test.each([
    ["a name that is no string", { group: "", kind: "Service", name: 7 }],
    ["a name that is null", { group: "", kind: "Service", name: null }],
    ["an empty name", { group: "", kind: "Service", name: "" }],
    ["no group", { kind: "Service" }],
    ["no kind", { group: "" }],
    ["nothing", null],
  ])("entry with %s grants nothing, least of all everything", (_name, to) => {
    const { value, problems } = parsed(parseReferenceGrant, { spec: { from: [from], to: [to] } });
    expect(value?.to).toEqual([]);
    expect(problems).toHaveLength(1);
  });

  test("from nowhere grants nothing", () => {
    const spec = { from: [{ group: "podgate.dev", kind: "ConnectionPolicy" }], to: [] };
    expect(parsed(parseReferenceGrant, { spec }).value?.from).toEqual([]);
  });
});

describe("policy source", () => {
  const rules = { on_tcp_connect: [] };
  const cases: [string, Record<string, unknown>, object][] = [
    ["nothing", {}, { kind: "none" }],
    [
      "inline",
      { trafficPolicy: { inline: rules } },
      { kind: "inline", value: rules, path: "spec.trafficPolicy.inline" },
    ],
    [
      "the deprecated policy",
      { trafficPolicy: { policy: rules } },
      { kind: "inline", value: rules, path: "spec.trafficPolicy.policy" },
    ],
    [
      "inline beside policy: inline",
      { trafficPolicy: { inline: rules, policy: {} } },
      { kind: "inline", value: rules },
    ],
    [
      "targetRef beside policy: targetRef",
      { trafficPolicy: { targetRef: { name: "tp" }, policy: {} } },
      { kind: "reference", name: "tp", path: "spec.trafficPolicy.targetRef.name" },
    ],
    [
      "targetRef with its kind",
      { trafficPolicy: { targetRef: { kind: "NgrokTrafficPolicy", name: "tp" } } },
      { kind: "reference", name: "tp" },
    ],
    [
      "trafficPolicyName",
      { trafficPolicyName: "tp" },
      { kind: "reference", name: "tp", path: "spec.trafficPolicyName" },
    ],
    ["an empty trafficPolicyName", { trafficPolicyName: "" }, { kind: "none" }],
    [
      "text instead of rules, which policy/ refuses",
      { trafficPolicy: { inline: "x" } },
      { kind: "inline", value: "x" },
    ],
    [
      "inline and targetRef",
      { trafficPolicy: { inline: rules, targetRef: { name: "tp" } } },
      { kind: "malformed", path: "spec.trafficPolicy" },
    ],
    [
      "trafficPolicy and trafficPolicyName",
      { trafficPolicy: { inline: rules }, trafficPolicyName: "tp" },
      { kind: "malformed" },
    ],
    ["an empty object", { trafficPolicy: {} }, { kind: "malformed" }],
    ["null", { trafficPolicy: null }, { kind: "malformed" }],
    ["a list", { trafficPolicy: [] }, { kind: "malformed" }],
    [
      "an empty inline",
      { trafficPolicy: { inline: null } },
      { kind: "malformed", path: "spec.trafficPolicy.inline" },
    ],
    [
      "an empty policy",
      { trafficPolicy: { policy: null } },
      { kind: "malformed", path: "spec.trafficPolicy.policy" },
    ],
    [
      "a targetRef that is a name",
      { trafficPolicy: { targetRef: "tp" } },
      { kind: "malformed", path: "spec.trafficPolicy.targetRef" },
    ],
    [
      "a targetRef without a name",
      { trafficPolicy: { targetRef: {} } },
      { kind: "malformed", path: "spec.trafficPolicy.targetRef.name" },
    ],
    [
      "a targetRef to another kind",
      { trafficPolicy: { targetRef: { kind: "Secret", name: "s" } } },
      { kind: "malformed" },
    ],
    [
      "a trafficPolicyName that is no string",
      { trafficPolicyName: 7 },
      { kind: "malformed", path: "spec.trafficPolicyName" },
    ],
  ];
  test.each(cases)("%s", (_name, spec, source) => {
    const agent = { url: "http://ledger.payments", upstream: { url: "http://ledger.payments" }, ...spec };
    expect(parsed(parseAgentEndpoint, { spec: agent }).value?.policy).toMatchObject(source);
    expect(parsed(parseCloudEndpoint, { spec: agent }).value?.policy).toMatchObject(source);
  });
});

describe("endpoint", () => {
  const spec = {
    url: "tcp://ledger.payments:5432",
    upstream: { url: "tcp://ledger-v2.payments:5432" },
    bindings: ["kubernetes"],
    trafficPolicy: { inline: {} },
  };

  test("keeps its url, bindings, upstream and policy", () => {
    expect(parsed(parseAgentEndpoint, { spec })).toEqual({
      value: {
        kind: "AgentEndpoint",
        uid: "u1",
        namespace: "payments",
        name: "ledger",
        generation: 3,
        policy: { kind: "inline", value: {}, path: "spec.trafficPolicy.inline" },
        audit: false,
        connectOnly: false,
        url: "tcp://ledger.payments:5432",
        bindings: ["kubernetes"],
        upstreamUrl: "tcp://ledger-v2.payments:5432",
        guardUpstream: false,
      },
      problems: [],
    });
    const cloud = parsed(parseCloudEndpoint, { spec }).value;
    expect(cloud).toMatchObject({ kind: "CloudEndpoint", policy: { kind: "inline" } });
    expect(cloud).not.toHaveProperty("upstreamUrl");
  });

  test.each([
    [{}, { audit: false, guardUpstream: false }],
    [{ "podgate.dev/mode": "audit" }, { audit: true }],
    [{ "podgate.dev/mode": "enforce" }, { audit: false }],
    [{ "podgate.dev/reauthorize": "connect-only" }, { connectOnly: true }],
    [{ "podgate.dev/reauthorize": "always" }, { connectOnly: false }],
    [{ "podgate.dev/guard-upstream": "true" }, { guardUpstream: true }],
    [{ "podgate.dev/guard-upstream": "false" }, { guardUpstream: false }],
  ])("annotations %j", (annotations, wanted) => {
    const { value, problems } = parsed(parseAgentEndpoint, { spec, metadata: { annotations } });
    expect(value).toMatchObject({ policy: { kind: "inline" }, ...wanted });
    expect(problems).toEqual([]);
  });

  test.each([
    ["Audit", "podgate.dev/mode"],
    ["dry-run", "podgate.dev/mode"],
    ["", "podgate.dev/mode"],
    ["__proto__", "podgate.dev/mode"],
    ["yes", "podgate.dev/guard-upstream"],
    ["never", "podgate.dev/reauthorize"],
    ["true", "podgate.dev/reauthorize"],
    ["", "podgate.dev/reauthorize"],
  ])("the value %j of %s is malformed and never only watches", (value, key) => {
    const endpoint = parsed(parseAgentEndpoint, { spec, metadata: { annotations: { [key]: value } } }).value;
    expect(endpoint).toMatchObject({ policy: { kind: "malformed" }, audit: false, connectOnly: false });
  });

  test.each<[string, unknown, object]>([
    ["no spec", undefined, { url: "", bindings: [] }],
    ["a spec that is a list", [], { url: "" }],
    ["no url", { ...spec, url: undefined }, { url: "", bindings: ["kubernetes"] }],
    ["a url that is an object", { ...spec, url: {} }, { url: "" }],
    ["no upstream", { ...spec, upstream: undefined }, { url: spec.url }],
    ["an upstream without a url", { ...spec, upstream: {} }, { url: spec.url }],
    ["a binding instead of a list of one", { ...spec, bindings: "kubernetes" }, { bindings: ["kubernetes"] }],
    ["a binding that is a number", { ...spec, bindings: ["kubernetes", 7] }, { bindings: ["kubernetes"] }],
  ])("with %s stays visible as malformed", (_name, broken, kept) => {
    const { value, problems } = parsed(parseAgentEndpoint, { spec: broken });
    expect(value).toMatchObject({ name: "ledger", policy: { kind: "malformed" }, ...kept });
    expect(problems.length).toBeGreaterThan(0);
  });
});

describe("connection policy", () => {
  const spec = { targetRefs: [{ kind: "Service", name: "db" }], trafficPolicy: { inline: {} } };

  test("keeps its targets and policy", () => {
    const targetRefs = [
      { group: "", kind: "Service", name: "db", sectionName: "sql" },
      { kind: "Service", name: "web" },
    ];
    expect(parsed(parseConnectionPolicy, { spec: { ...spec, targetRefs } }).value).toEqual({
      kind: "ConnectionPolicy",
      uid: "u1",
      namespace: "payments",
      name: "ledger",
      generation: 3,
      policy: { kind: "inline", value: {}, path: "spec.trafficPolicy.inline" },
      audit: false,
      connectOnly: false,
      targets: [{ service: "db", port: "sql" }, { service: "web" }],
    });
  });

  test.each<[unknown, boolean, string]>([
    [undefined, false, "inline"],
    ["Enforce", false, "inline"],
    ["Audit", true, "inline"],
    ["audit", false, "malformed"],
    ["Off", false, "malformed"],
    [true, false, "malformed"],
  ])("mode %j: audit %s, policy %s", (mode, audit, kind) => {
    expect(parsed(parseConnectionPolicy, { spec: { ...spec, mode } }).value).toMatchObject({
      audit,
      policy: { kind },
    });
  });

  test.each<[unknown, "allow" | undefined, string]>([
    [undefined, undefined, "inline"],
    ["Deny", undefined, "inline"],
    ["Allow", "allow", "inline"],
    ["allow", undefined, "malformed"],
    [true, undefined, "malformed"],
  ])("onAgentDown %j: %s, policy %s", (onAgentDown, expected, kind) => {
    const { value } = parsed(parseConnectionPolicy, { spec: { ...spec, onAgentDown } });
    expect(value).toMatchObject({ policy: { kind } });
    expect(value?.onAgentDown).toBe(expected);
  });

  test.each<[unknown, boolean, string]>([
    [undefined, false, "inline"],
    ["connect-only", true, "inline"],
    ["always", false, "inline"],
    ["off", false, "malformed"],
  ])("reauthorize %j: connectOnly %s, policy %s", (value, connectOnly, kind) => {
    const annotations = value === undefined ? {} : { "podgate.dev/reauthorize": value };
    expect(parsed(parseConnectionPolicy, { spec, metadata: { annotations } }).value).toMatchObject({
      connectOnly,
      policy: { kind },
    });
  });

  test("is not audited by the annotation of ngrok's kinds, and says so", () => {
    const annotations = { "podgate.dev/mode": "audit" };
    const { value, problems } = parsed(parseConnectionPolicy, { spec, metadata: { annotations } });
    expect(value).toMatchObject({ audit: false, policy: { kind: "inline" } });
    expect(problems).toHaveLength(1);
  });

  test.each<[string, unknown, readonly object[]]>([
    ["no targets", undefined, []],
    ["an empty list", [], []],
    ["a Deployment", [{ kind: "Deployment", name: "x" }, ...spec.targetRefs], [{ service: "db" }]],
    ["another group", [{ group: "apps", kind: "Service", name: "x" }], []],
    ["another namespace", [{ kind: "Service", name: "x", namespace: "other" }], []],
    ["no name", [{ kind: "Service" }], []],
    [
      "a port that is a number: every port",
      [{ kind: "Service", name: "db", sectionName: 80 }],
      [{ service: "db" }],
    ],
  ])("with %s is malformed for the targets it has", (_name, targetRefs, targets) => {
    expect(parsed(parseConnectionPolicy, { spec: { ...spec, targetRefs } }).value).toMatchObject({
      policy: { kind: "malformed" },
      targets,
    });
  });

  test("without a policy is malformed: it exists to have one", () => {
    const { trafficPolicy: _, ...bare } = spec;
    expect(parsed(parseConnectionPolicy, { spec: bare }).value?.policy.kind).toBe("malformed");
  });
});

test("traffic policy: its text as it is, whatever it is", () => {
  const policy = { on_tcp_connect: [{ expressions: ["true"], actions: [] }] };
  expect(parsed(parseTrafficPolicy, { spec: { policy } }).value).toEqual({
    kind: "NgrokTrafficPolicy",
    namespace: "payments",
    name: "ledger",
    generation: 3,
    value: policy,
  });
  expect(parsed(parseTrafficPolicy, { spec: 7 }).value?.value).toBeUndefined();
});

describe("metadata", () => {
  test.each([
    ["null", null],
    ["a list", []],
    ["no metadata", {}],
    ["no uid", { metadata: { name: "a" } }],
    ["an empty uid", { metadata: { name: "a", uid: "" } }],
    ["no name", { metadata: { uid: "u" } }],
    ["a name that is a number", { metadata: { uid: "u", name: 7 } }],
    ["a namespace that is an object", { metadata: { uid: "u", name: "a", namespace: {} } }],
  ])("%s cannot be told from others", (_name, object) => {
    expect(readMetadata(object)).toBeUndefined();
  });

  test("is read from own fields alone", () => {
    expect(readMetadata({ metadata: Object.create(metadata) })).toBeUndefined();
  });
});

test("no parser throws, whatever it is given, and every value can be named", () => {
  const parsers: Parse<unknown>[] = [
    parsePod,
    parseLocalPod,
    parseNode,
    parseNamespace,
    parseService,
    parseEndpointSlice,
    parseReferenceGrant,
    parseAgentEndpoint,
    parseCloudEndpoint,
    parseConnectionPolicy,
    parseTrafficPolicy,
  ];
  const keys = [
    "spec",
    "status",
    "ports",
    "port",
    "addresses",
    "endpoints",
    "podIPs",
    "ip",
    "from",
    "to",
    "name",
  ].concat(
    [
      "trafficPolicy",
      "inline",
      "targetRef",
      "targetRefs",
      "bindings",
      "url",
      "upstream",
      "mode",
      "clusterIPs",
    ],
    ["externalIPs", "loadBalancer", "ingress", "annotations", "podgate.dev/mode", "__proto__", "constructor"],
  );
  const leaf = fc.oneof(
    fc.constantFrom<unknown>(
      null,
      "",
      "kubernetes",
      "192.0.2.1",
      "::",
      0,
      -1,
      80,
      1e300,
      true,
      "x".repeat(5_000),
    ),
    fc.string(),
    fc.double(),
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      leaf,
      fc.array(tie("tree"), { maxLength: 4 }),
      // Through JSON, as it comes: "__proto__" is an own key then.
      fc
        .array(fc.tuple(fc.constantFrom(...keys), tie("tree")), { maxLength: 6 })
        .map((entries) =>
          JSON.parse(
            `{${entries.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v) ?? null}`).join()}}`,
          ),
        ),
    ),
  }));
  fc.assert(
    fc.property(tree, tree, tree, tree, (spec, status, annotations, ports) => {
      const object = {
        spec,
        status,
        ports,
        endpoints: ports,
        metadata: { ...metadata, annotations, labels: annotations },
      };
      const read = readMetadata(object);
      if (read === undefined) throw new Error("unreadable metadata");
      for (const parse of parsers) {
        const value = parse(object, read, (path, problem) => {
          if (`${path}${problem}`.length > 500) throw new Error("a message as long as the value");
        });
        expect(value).toBeDefined();
      }
    }),
    { numRuns: 2_000 },
  );
});
