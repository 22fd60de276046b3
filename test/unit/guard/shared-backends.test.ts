/** A backend that any guard covers passes it on: no way round, and nobody shut out. */
import { describe, expect, test } from "vitest";
import {
  Cluster,
  caller,
  connectionPolicy,
  denyNamespace,
  failClosed,
  node,
  pod,
  port,
  service,
  slice,
} from "./builders.ts";

const payments = caller("payments/web");
const sandbox = caller("sandbox/web");

const guardDb = connectionPolicy("payments/p", ["db-rw"], denyNamespace("sandbox"));
const dbPods = [pod("payments/db-0", "198.51.100.1"), pod("payments/db-1", "198.51.100.2")];
const dbRw = service("payments/db-rw", ["192.0.2.10"], [5432]);
const dbRwSlice = slice("payments/db-rw", ["198.51.100.1"], 5432);

describe("leads nobody past a guard:", () => {
  test("an unguarded Service with the same backend", () => {
    const cluster = new Cluster({
      services: [dbRw, service("payments/db-ro", ["192.0.2.11"], [port(15432, { nodePort: 30432 })])],
      pods: dbPods,
      endpointSlices: [dbRwSlice, slice("payments/db-ro", ["198.51.100.1", "198.51.100.2"], 5432)],
      connectionPolicies: [guardDb],
    });
    expect(cluster.outcome(sandbox, "192.0.2.11:15432")).toBe("deny rule");
    expect(cluster.outcome(sandbox, "node:30432")).toBe("deny rule");
    expect(cluster.outcome(payments, "192.0.2.11:15432")).toBe("allow");
    // Its other backend is not the guarded Service's.
    expect(cluster.outcome(sandbox, "198.51.100.2:5432")).toBe("not guarded");
  });

  test("a Service that shares the pod but not the port is no way in", () => {
    const cluster = new Cluster({
      services: [dbRw, service("payments/metrics", ["192.0.2.11"], [9187])],
      pods: dbPods,
      endpointSlices: [dbRwSlice, slice("payments/metrics", ["198.51.100.1"], 9187)],
      connectionPolicies: [guardDb],
    });
    expect(cluster.outcome(sandbox, "192.0.2.11:9187")).toBe("not guarded");
  });

  test("a foreign selectorless Service with a hand-made EndpointSlice", () => {
    const cluster = new Cluster({
      services: [dbRw, service("sandbox/tunnel", ["192.0.2.66"], [80], { externalIps: ["203.0.113.66"] })],
      pods: dbPods,
      endpointSlices: [dbRwSlice, slice("sandbox/tunnel", ["198.51.100.1"], 5432)],
      connectionPolicies: [guardDb],
    });
    expect(cluster.outcome(sandbox, "192.0.2.66:80")).toBe("deny rule");
    expect(cluster.outcome(sandbox, "203.0.113.66:80")).toBe("deny rule");
    expect(cluster.outcome(payments, "192.0.2.66:80")).toBe("allow");
  });

  test("a hand-made EndpointSlice that points at the guarded Service's own ways in, or at another that does", () => {
    const nodePort = port(5432, { nodePort: 30432 });
    const cluster = new Cluster({
      services: [
        service("payments/db-rw", ["192.0.2.10"], [nodePort], { loadBalancerIps: ["203.0.113.1"] }),
        service("sandbox/at-lb", ["192.0.2.61"], [80]),
        service("sandbox/at-node", ["192.0.2.62"], [80], { loadBalancerIps: ["203.0.113.62"] }),
        service("sandbox/at-at-node", ["192.0.2.63"], [80]),
        service("aaa/first-by-name", ["192.0.2.64"], [80]),
      ],
      nodes: [node("node-1", "203.0.113.11"), node("node-2", "203.0.113.12")],
      endpointSlices: [
        slice("sandbox/at-lb", ["203.0.113.1"], 5432),
        slice("sandbox/at-node", ["203.0.113.12"], 30432),
        slice("sandbox/at-at-node", ["203.0.113.62"], 80),
        slice("aaa/first-by-name", ["192.0.2.63"], 80),
      ],
      connectionPolicies: [guardDb],
    });
    for (const address of ["192.0.2.61", "192.0.2.62", "203.0.113.62", "192.0.2.63", "192.0.2.64"]) {
      expect(cluster.outcome(sandbox, `${address}:80`), address).toBe("deny rule");
    }
  });

  test("a node port", () => {
    const services = [service("payments/db-rw", ["192.0.2.10"], [port(5432, { nodePort: 30432 })])];
    const cluster = new Cluster({ services, connectionPolicies: [guardDb] });
    expect(cluster.outcome(sandbox, "node:30432")).toBe("deny rule");
    expect(cluster.outcome(payments, "node:30432")).toBe("allow");
  });

  test("a pod that listens on the number of a guarded node port is no way in", () => {
    const cluster = new Cluster({
      services: [
        service("payments/db-rw", ["192.0.2.10"], [port(5432, { nodePort: 30432 })]),
        service("sandbox/own", ["192.0.2.66"], [80]),
      ],
      nodes: [node("node-1", "203.0.113.11")],
      pods: [pod("sandbox/own-0", "198.51.100.9")],
      endpointSlices: [slice("sandbox/own", ["198.51.100.9"], 30432)],
      connectionPolicies: [guardDb],
    });
    expect(cluster.outcome(sandbox, "192.0.2.66:80")).toBe("not guarded");
  });

  test("the pod address itself", () => {
    const cluster = new Cluster({
      services: [dbRw],
      pods: dbPods,
      endpointSlices: [dbRwSlice],
      connectionPolicies: [guardDb],
    });
    expect(cluster.outcome(sandbox, "198.51.100.1:5432")).toBe("deny rule");
    expect(cluster.outcome(payments, "198.51.100.1:5432")).toBe("allow");
  });

  test("a node address that is also another door: both guards apply", () => {
    const cluster = new Cluster({
      services: [
        service("payments/db-rw", ["192.0.2.10"], [port(5432, { nodePort: 30432 })]),
        service("payments/exporter", ["192.0.2.11"], [9100]),
      ],
      nodes: [node("node-1", "203.0.113.11")],
      pods: [pod("payments/exporter-0", "203.0.113.11", { hostNetwork: true })],
      endpointSlices: [slice("payments/exporter", ["203.0.113.11"], 30432)],
      connectionPolicies: [guardDb, connectionPolicy("payments/q", ["exporter"], denyNamespace("guest"))],
    });
    expect(cluster.outcome(sandbox, "203.0.113.11:30432")).toBe("deny rule");
    expect(cluster.outcome(caller("guest/web"), "203.0.113.11:30432")).toBe("deny rule");
    expect(cluster.outcome(payments, "203.0.113.11:30432")).toBe("allow");
    expect(cluster.outcome(caller("guest/web"), "192.0.2.10:5432")).toBe("allow");
  });
});

describe("a hand-made EndpointSlice shuts nobody's address:", () => {
  const everybody = [{ actions: [{ type: "deny" }] }];
  const trap = connectionPolicy("sandbox/p", ["trap"], everybody);

  test("a guarded Service whose slice names a foreign pod guards its own addresses only", () => {
    const cluster = new Cluster({
      services: [dbRw, service("sandbox/trap", ["192.0.2.66"], [80])],
      pods: dbPods,
      endpointSlices: [dbRwSlice, slice("sandbox/trap", ["198.51.100.1", "192.0.2.10"], 5432)],
      connectionPolicies: [trap],
    });
    expect(cluster.guarded()).toEqual(["192.0.2.66:80"]);
  });

  test("nor does it change the guard of a Service that has one", () => {
    const parts = {
      services: [dbRw],
      pods: dbPods,
      endpointSlices: [dbRwSlice],
      connectionPolicies: [guardDb],
    };
    const before = new Cluster(parts);
    const after = new Cluster({
      ...parts,
      services: [dbRw, service("sandbox/trap", ["192.0.2.66"], [80])],
      endpointSlices: [dbRwSlice, slice("sandbox/trap", ["198.51.100.1"], 5432)],
      connectionPolicies: [guardDb, trap],
    });
    for (const place of ["192.0.2.10:5432", "198.51.100.1:5432"]) {
      expect(after.guardAt(place)?.key).toBe(before.guardAt(place)?.key);
      expect(after.outcome(payments, place)).toBe("allow");
    }
  });
});

describe("an address that inherited a guard", () => {
  const parts = {
    services: [dbRw, service("payments/db-ro", ["192.0.2.11"], [5432])],
    pods: dbPods,
    endpointSlices: [dbRwSlice, slice("payments/db-ro", ["198.51.100.1"], 5432)],
  };
  const closed = failClosed("payments", "http://db-rw.payments.internal");

  test("allows what its policy forwards to the Service it guards: the answer for that Service's backends is yes", () => {
    const cluster = new Cluster({
      ...parts,
      connectionPolicies: [connectionPolicy("payments/p", ["db-rw"], closed)],
    });
    expect(cluster.outcome(payments, "192.0.2.11:5432")).toBe("allow");
    expect(cluster.outcome(sandbox, "192.0.2.11:5432")).toBe("deny rule");
  });

  test("has the guards of all Services that share the backend: each policy forwards home", () => {
    const connectionPolicies = [
      connectionPolicy("payments/p", ["db-rw"], closed),
      connectionPolicy("payments/q", ["db-ro"], failClosed("payments", "http://db-ro.payments.internal")),
    ];
    const cluster = new Cluster({ ...parts, connectionPolicies });
    for (const place of ["192.0.2.10:5432", "192.0.2.11:5432", "198.51.100.1:5432"]) {
      expect(cluster.outcome(payments, place), place).toBe("allow");
      expect(cluster.outcome(sandbox, place), place).toBe("deny rule");
    }
  });

  test("of a policy that guards it itself forwards as that policy says", () => {
    const connectionPolicies = [connectionPolicy("payments/p", ["db-rw", "db-ro"], closed)];
    const cluster = new Cluster({ ...parts, connectionPolicies });
    expect(cluster.outcome(payments, "192.0.2.11:5432")).toBe("forward payments/db-rw:5432");
    expect(cluster.outcome(payments, "198.51.100.1:5432")).toBe("allow");
  });
});
