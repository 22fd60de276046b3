/** At which addresses a guarded Service is guarded, and whose addresses those are. */
import { describe, expect, test } from "vitest";
import { nodeAddresses } from "../../../agent/guard/nodes.ts";
import {
  boundCloud,
  Cluster,
  caller,
  connectionPolicy,
  denyNamespace,
  node,
  pod,
  port,
  service,
  slice,
} from "./builders.ts";

const sandbox = caller("sandbox/web");
/** payments/ledger refuses sandbox. */
const guardLedger = connectionPolicy("payments/p", ["ledger"], denyNamespace("sandbox"));
const connectionPolicies = [guardLedger];

describe("a guarded Service is guarded at", () => {
  test("its ClusterIPs, IPv4 and IPv6", () => {
    const services = [service("payments/ledger", ["192.0.2.10", "2001:db8::10"], [80])];
    expect(new Cluster({ services, connectionPolicies }).guarded()).toEqual([
      "192.0.2.10:80",
      "[2001:db8::10]:80",
    ]);
  });

  test("its load-balancer IPs and external IPs", () => {
    const parts = { loadBalancerIps: ["203.0.113.1", "2001:db8:1::1"], externalIps: ["203.0.113.2"] };
    const services = [service("payments/ledger", ["192.0.2.10"], [80], parts)];
    expect(new Cluster({ services, connectionPolicies }).guarded()).toEqual([
      "192.0.2.10:80",
      "203.0.113.1:80",
      "203.0.113.2:80",
      "[2001:db8:1::1]:80",
    ]);
  });

  test("its node ports, on every node address", () => {
    const services = [
      service("payments/ledger", ["192.0.2.10"], [port(80, { nodePort: 30080 })], { type: "NodePort" }),
    ];
    expect(new Cluster({ services, connectionPolicies }).guarded()).toEqual(["192.0.2.10:80", "node:30080"]);
  });

  test("its backends' pod IP and target port, IPv4 and IPv6", () => {
    const cluster = new Cluster({
      services: [service("payments/ledger", ["192.0.2.10", "2001:db8::10"], [80])],
      pods: [pod("payments/ledger-0", "198.51.100.1", { ips: ["198.51.100.1", "2001:db8:2::1"] })],
      endpointSlices: [
        slice("payments/ledger", ["198.51.100.1"], 8080, "v4"),
        slice("payments/ledger", ["2001:db8:2::1"], 8080, "v6"),
      ],
      connectionPolicies,
    });
    expect(cluster.guarded()).toEqual([
      "192.0.2.10:80",
      "198.51.100.1:8080",
      "[2001:db8:2::1]:8080",
      "[2001:db8::10]:80",
    ]);
  });

  test("its backends even if it is headless", () => {
    const cluster = new Cluster({
      services: [service("payments/ledger", [], [5432])],
      pods: [pod("payments/ledger-0", "198.51.100.1")],
      endpointSlices: [slice("payments/ledger", ["198.51.100.1"], 5432)],
      connectionPolicies,
    });
    expect(cluster.guarded()).toEqual(["198.51.100.1:5432"]);
    expect(cluster.outcome(sandbox, "198.51.100.1:5432")).toBe("deny rule");
  });

  test("TCP only: a UDP port of the same number is another door", () => {
    const ports = [
      port(53, { name: "tcp" }),
      port(53, { name: "udp", protocol: "UDP" }),
      port(54, { name: "u", protocol: "UDP" }),
    ];
    const cluster = new Cluster({
      services: [service("payments/ledger", ["192.0.2.10"], ports)],
      pods: [pod("payments/ledger-0", "198.51.100.1")],
      endpointSlices: [
        slice("payments/ledger", ["198.51.100.1"], [{ name: "udp", protocol: "UDP", port: 53 }]),
      ],
      connectionPolicies,
    });
    expect(cluster.guarded()).toEqual(["192.0.2.10:53"]);
  });

  test("every address of a hostNetwork backend's node: it listens on all of them", () => {
    const cluster = new Cluster({
      services: [service("payments/ledger", ["192.0.2.10"], [80])],
      nodes: [node("node-1", "203.0.113.11", "2001:db8:3::11"), node("node-2", "203.0.113.12")],
      pods: [pod("payments/ledger-0", "203.0.113.11", { hostNetwork: true })],
      endpointSlices: [slice("payments/ledger", ["203.0.113.11"], 9100)],
      connectionPolicies,
    });
    expect(cluster.guarded()).toEqual(["192.0.2.10:80", "203.0.113.11:9100", "[2001:db8:3::11]:9100"]);
  });
});

test("a hostNetwork backend of this node is guarded at this node's own interfaces too, loopback among them", () => {
  const ownAddresses = ["203.0.113.11", "198.51.100.254", "127.0.0.1", "::1"];
  const parts = (podNode: string) => ({
    services: [service("payments/ledger", ["192.0.2.10"], [80])],
    nodes: [node("node-1", "203.0.113.11"), node("node-2", "203.0.113.12")],
    pods: [
      pod("payments/ledger-0", podNode === "node-1" ? "203.0.113.11" : "203.0.113.12", {
        hostNetwork: true,
        nodeName: podNode,
      }),
    ],
    endpointSlices: [
      slice("payments/ledger", [podNode === "node-1" ? "203.0.113.11" : "203.0.113.12"], 9100),
    ],
    connectionPolicies,
  });
  const here = new Cluster(parts("node-1"), { ownAddresses }).guarded();
  expect(here).toEqual([
    "127.0.0.1:9100",
    "192.0.2.10:80",
    "198.51.100.254:9100",
    "203.0.113.11:9100",
    "[::1]:9100",
  ]);
  const elsewhere = new Cluster(parts("node-2"), { ownAddresses }).guarded();
  expect(elsewhere).toEqual(["192.0.2.10:80", "203.0.113.12:9100"]);
});

test("node addresses come from Node objects and the node's own interfaces, without loopback", () => {
  const nodes = [node("node-1", "203.0.113.11", "2001:db8:3::11"), node("node-2", "203.0.113.12")];
  expect(nodeAddresses({ nodes }, ["203.0.113.11", "198.51.100.254", "127.0.0.1", "::1", "fe80::1"])).toEqual(
    ["198.51.100.254", "2001:db8:3::11", "203.0.113.11", "203.0.113.12", "fe80::1"],
  );
});

test("a hostNetwork backend's other node addresses are guarded also where a slice lists them itself", () => {
  const cluster = new Cluster({
    services: [service("payments/ledger", ["192.0.2.10"], [80])],
    nodes: [node("node-1", "203.0.113.11", "203.0.113.12")],
    pods: [pod("payments/ledger-0", "203.0.113.11", { hostNetwork: true })],
    endpointSlices: [slice("payments/ledger", ["203.0.113.11", "203.0.113.12"], 9100)],
    connectionPolicies,
  });
  expect(cluster.guarded()).toEqual(["192.0.2.10:80", "203.0.113.11:9100", "203.0.113.12:9100"]);
});

describe("an address and a Service's port meet by name:", () => {
  const services = [
    service("payments/ledger", ["192.0.2.10"], [port(80, { name: "web" }), port(81, { name: "admin" })]),
  ];
  const pods = [pod("payments/ledger-0", "198.51.100.1")];

  test("only the guarded port's target is guarded", () => {
    const endpointSlices = [
      slice(
        "payments/ledger",
        ["198.51.100.1"],
        [
          { name: "web", protocol: "TCP", port: 8080 },
          { name: "admin", protocol: "TCP", port: 8081 },
        ],
      ),
    ];
    const only = [connectionPolicy("payments/p", ["ledger#admin"], denyNamespace("sandbox"))];
    const cluster = new Cluster({ services, pods, endpointSlices, connectionPolicies: only });
    expect(cluster.guarded()).toEqual(["192.0.2.10:81", "198.51.100.1:8081"]);
  });

  test("and by protocol", () => {
    const endpointSlices = [
      slice("payments/ledger", ["198.51.100.1"], [{ name: "web", protocol: "UDP", port: 8080 }]),
    ];
    const cluster = new Cluster({ services, pods, endpointSlices, connectionPolicies });
    expect(cluster.guarded()).toEqual(["192.0.2.10:80", "192.0.2.10:81"]);
  });

  test("two ports with one target are one way in", () => {
    const endpointSlices = [
      slice(
        "payments/ledger",
        ["198.51.100.1"],
        [
          { name: "web", protocol: "TCP", port: 8080 },
          { name: "admin", protocol: "TCP", port: 8080 },
        ],
      ),
    ];
    const only = [connectionPolicy("payments/p", ["ledger#admin"], denyNamespace("sandbox"))];
    const cluster = new Cluster({ services, pods, endpointSlices, connectionPolicies: only });
    expect(cluster.guarded()).toEqual(["192.0.2.10:80", "192.0.2.10:81", "198.51.100.1:8080"]);
  });
});

describe("an EndpointSlice address counts only if a live pod of the Service's namespace has it:", () => {
  const services = [service("payments/ledger", ["192.0.2.10"], [80])];
  const endpointSlices = [slice("payments/ledger", ["198.51.100.1"], 8080)];

  test.each([
    ["a live pod of the namespace", [pod("payments/a", "198.51.100.1")], true],
    ["nobody", [], false],
    ["a pod of another namespace", [pod("sandbox/a", "198.51.100.1")], false],
    ["a completed pod of the namespace", [pod("payments/a", "198.51.100.1", { completed: true })], false],
    [
      "a completed pod of the namespace, and now a pod of another",
      [pod("payments/a", "198.51.100.1", { completed: true }), pod("sandbox/b", "198.51.100.1")],
      false,
    ],
    ["a pod of a namespace whose name begins alike", [pod("payments-eu/a", "198.51.100.1")], false],
  ])("%s", (_, pods, guarded) => {
    const cluster = new Cluster({ services, endpointSlices, pods, connectionPolicies });
    expect(cluster.guardAt("198.51.100.1:8080") !== undefined).toBe(guarded);
    expect(cluster.outcome(sandbox, "192.0.2.10:80")).toBe("deny rule");
  });

  test("a slice of another Service, or of none, is not this Service's", () => {
    const other = [
      slice("payments/other", ["198.51.100.1"], 8080),
      slice("payments/", ["198.51.100.1"], 8080),
    ];
    const pods = [pod("payments/a", "198.51.100.1")];
    expect(new Cluster({ services, endpointSlices: other, pods, connectionPolicies }).guarded()).toEqual([
      "192.0.2.10:80",
    ]);
  });
});

describe("externalIPs never override", () => {
  const grabby = (address: string) =>
    service("payments/ledger", ["192.0.2.10"], [443], { externalIps: [address] });

  test.each([
    ["a ClusterIP", "192.0.2.99", {}],
    ["a pod IP", "198.51.100.9", {}],
    ["a Node object's address", "203.0.113.11", {}],
    ["an address of the node's own interfaces", "203.0.113.99", {}],
  ])("%s", (_, address) => {
    const cluster = new Cluster(
      {
        services: [service("victim/api", ["192.0.2.99"], [443]), grabby(address)],
        pods: [pod("victim/api-0", "198.51.100.9")],
        nodes: [node("node-1", "203.0.113.11")],
        connectionPolicies,
      },
      { ownAddresses: ["203.0.113.99"] },
    );
    expect(cluster.guarded()).toEqual(["192.0.2.10:443"]);
  });

  test("a load-balancer IP, however old the Service that claims it", () => {
    const old = service("payments/ledger", ["192.0.2.10"], [443], {
      externalIps: ["203.0.113.1"],
      created: 1,
    });
    const victim = service("victim/api", ["192.0.2.99"], [443], {
      loadBalancerIps: ["203.0.113.1"],
      created: 2,
    });
    expect(new Cluster({ services: [old, victim], connectionPolicies }).guarded()).toEqual([
      "192.0.2.10:443",
    ]);
  });

  test("an older Service's external IP; the newer one's other ports are its own", () => {
    const externalIps = ["203.0.113.1"];
    const newer = service("payments/ledger", ["192.0.2.10"], [443, 8443], { externalIps, created: 2 });
    const older = service("victim/api", ["192.0.2.99"], [443], { externalIps, created: 1 });
    for (const services of [
      [newer, older],
      [older, newer],
    ]) {
      const cluster = new Cluster({ services, connectionPolicies });
      expect(cluster.guardAt("203.0.113.1:443")).toBeUndefined();
      expect(cluster.outcome(sandbox, "203.0.113.1:8443")).toBe("deny rule");
    }
  });
});

test("an ExternalName's external IPs are not addresses of anything, and take none from others", () => {
  const externalIps = ["203.0.113.1"];
  const name = service("payments/old", [], [443], { type: "ExternalName", externalIps, created: 1 });
  const ledger = service("payments/ledger", ["192.0.2.10"], [443], { externalIps, created: 2 });
  const cluster = new Cluster({ services: [name, ledger], connectionPolicies });
  expect(cluster.outcome(sandbox, "203.0.113.1:443")).toBe("deny rule");
  const points = slice("payments/old", ["192.0.2.10"], 443);
  const alone = { ...ledger, externalIps: [] };
  const other = new Cluster({ services: [name, alone], endpointSlices: [points], connectionPolicies });
  expect(other.guarded()).toEqual(["192.0.2.10:443"]);
});

test("a load-balancer IP may be a node's address, but no ClusterIP and no pod IP", () => {
  const loadBalancerIps = ["203.0.113.11", "192.0.2.99", "198.51.100.9"];
  const cluster = new Cluster({
    services: [
      service("payments/ledger", ["192.0.2.10"], [443], { loadBalancerIps }),
      service("victim/api", ["192.0.2.99"], [443]),
    ],
    pods: [pod("victim/api-0", "198.51.100.9"), pod("victim/agent", "203.0.113.11", { hostNetwork: true })],
    nodes: [node("node-1", "203.0.113.11")],
    connectionPolicies,
  });
  expect(cluster.guarded()).toEqual(["192.0.2.10:443", "203.0.113.11:443"]);
});

describe("failsafe: default/kubernetes and the cluster DNS Service", () => {
  const system = {
    services: [
      service("default/kubernetes", ["192.0.2.1"], [port(443, { name: "https" })]),
      service("kube-system/kube-dns", ["192.0.2.2"], [port(53, { name: "dns-tcp", nodePort: 30053 })]),
      service("kube-system/dns-alias", ["192.0.2.3"], [53]),
    ],
    nodes: [node("node-1", "203.0.113.11")],
    pods: [
      pod("kube-system/coredns-0", "198.51.100.53"),
      pod("kube-system/apiserver", "203.0.113.11", { hostNetwork: true }),
      pod("sandbox/host", "203.0.113.11", { hostNetwork: true }),
    ],
    endpointSlices: [
      slice("default/kubernetes", ["203.0.113.11"], [{ name: "https", protocol: "TCP", port: 6443 }]),
      slice("kube-system/kube-dns", ["198.51.100.53"], [{ name: "dns-tcp", protocol: "TCP", port: 5353 }]),
      slice("kube-system/dns-alias", ["198.51.100.53"], 5353),
    ],
  };
  const grants = ["default", "kube-system"].map((namespace) => ({
    namespace,
    name: "open",
    from: [{ group: "ngrok.k8s.ngrok.com", kind: "CloudEndpoint", namespace: "ops" }],
    to: [{ group: "", kind: "Service" }],
  }));
  const shut = [{ actions: [{ type: "deny" }] }];

  test.each([
    ["ops", "http://kubernetes.default:443", "CloudEndpoint/ops/e", "192.0.2.1:443"],
    ["ops", "tcp://kube-dns.kube-system:53", "CloudEndpoint/ops/e", "192.0.2.2:53"],
  ])("are not guarded from %s, with a ReferenceGrant and as a trusted namespace: %s", (namespace, url, key, place) => {
    const endpoints = [boundCloud(`${namespace}/e`, url, shut)];
    const trustedNamespaces = new Set(["default", "kube-system", namespace]);
    const cluster = new Cluster({ ...system, endpoints, referenceGrants: grants }, { trustedNamespaces });
    expect(cluster.guardAt(place)).toBeUndefined();
    expect(cluster.guarded()).toEqual([]);
    expect(cluster.reason(key)).toBe("RefNotPermitted");
  });

  test("are guarded by an object in kube-system or default that names them", () => {
    const policies = [
      connectionPolicy("default/p", ["kubernetes"], denyNamespace("sandbox")),
      connectionPolicy("kube-system/p", ["kube-dns"], denyNamespace("sandbox")),
    ];
    const cluster = new Cluster({ ...system, connectionPolicies: policies });
    for (const place of ["192.0.2.1:443", "192.0.2.2:53", "198.51.100.53:5353"]) {
      expect(cluster.outcome(sandbox, place)).toBe("deny rule");
    }
  });

  test("are not guarded through a Service that shares their backends, even from kube-system", () => {
    const policies = [connectionPolicy("kube-system/p", ["dns-alias"], denyNamespace("sandbox"))];
    expect(new Cluster({ ...system, connectionPolicies: policies }).guarded()).toEqual(["192.0.2.3:53"]);
  });

  test("are not guarded by what leads to a guarded backend and claims their place on the nodes", () => {
    const ports = [port(6443, { name: "a" }), port(30053, { name: "b" })];
    const services = [
      ...system.services,
      service("sandbox/trap", ["192.0.2.66"], [80]),
      service("sandbox/lb", ["192.0.2.67"], ports, { loadBalancerIps: ["203.0.113.11"] }),
    ];
    const endpointSlices = [
      ...system.endpointSlices,
      slice(
        "sandbox/lb",
        ["192.0.2.66"],
        [
          { name: "a", protocol: "TCP", port: 80 },
          { name: "b", protocol: "TCP", port: 80 },
        ],
      ),
    ];
    const policies = [connectionPolicy("sandbox/p", ["trap"], denyNamespace("payments"))];
    const cluster = new Cluster({ ...system, services, endpointSlices, connectionPolicies: policies });
    expect(cluster.guarded()).toEqual(["192.0.2.66:80", "192.0.2.67:30053", "192.0.2.67:6443"]);
  });

  test("are not guarded at their nodes by another namespace's hostNetwork pod, node port or external IP", () => {
    const services = [
      ...system.services,
      service(
        "sandbox/trap",
        ["192.0.2.66"],
        [port(80, { name: "a", nodePort: 6443 }), port(443, { name: "b" })],
        {
          externalIps: ["192.0.2.1"],
        },
      ),
    ];
    const endpointSlices = [
      ...system.endpointSlices,
      slice("sandbox/trap", ["203.0.113.11"], [{ name: "a", protocol: "TCP", port: 6443 }]),
    ];
    const policies = [connectionPolicy("sandbox/p", ["trap"], denyNamespace("payments"))];
    const cluster = new Cluster({ ...system, services, endpointSlices, connectionPolicies: policies });
    expect(cluster.guarded()).toEqual(["192.0.2.66:443", "192.0.2.66:80"]);
  });
});
