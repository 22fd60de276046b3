/** Objects that a tenant makes to hold up the agent: what they cost is bounded, and so is whom they refuse. */
import { describe, expect, test } from "vitest";
import { decideConnection, scopeOf } from "../../../agent/guard/decide.ts";
import type { Routes } from "../../../agent/guard/routes.ts";
import { evaluate } from "../../../agent/policy/evaluate.ts";
import {
  agentEndpoint,
  Cluster,
  caller,
  connectionPolicy,
  deny,
  denyNamespace,
  forward,
  pod,
  reference,
  service,
  slice,
  trafficPolicy,
} from "./builders.ts";

const count = (length: number) => Array.from({ length }, (_, i) => i);
const address = (i: number) => `10.96.${i >> 8}.${i & 255}`;
const stranger = caller("sandbox/crawler");
const tenant = caller("tenant/client");

/** Ms that `work` takes. */
function timeOf(work: () => unknown): number {
  const began = performance.now();
  work();
  return performance.now() - began;
}

describe("300 endpoints that forward to each other, everyone to all", () => {
  const rules = count(300).map((i) => ({
    expressions: [`conn.k8s.pod.metadata.namespace == "x${i}"`],
    actions: [forward(`http://e${i}.internal`)],
  }));
  const parts = {
    services: count(300).map((i) => service(`tenant/s${i}`, [address(i)], [80])),
    endpoints: count(300).map((i) =>
      agentEndpoint(`tenant/e${i}`, `http://e${i}.internal`, `http://s${i}.tenant:80`, reference("all")),
    ),
  };
  const scopes = ({ set }: Cluster) => new Set(set.guards.map((guard) => scopeOf(guard, set.routes)));

  test("are followed once", () => {
    const cluster = new Cluster({ ...parts, trafficPolicies: [trafficPolicy("tenant/all", rules)] });
    expect(cluster.set.guards).toHaveLength(300);
    expect(timeOf(() => expect(scopes(cluster)).toEqual(new Set(["namespace"])))).toBeLessThan(2000);
  });

  test("are all per pod because one is, wherever in the ring", () => {
    const byName = [{ expressions: ['conn.k8s.pod.metadata.name == "x"'], actions: [deny] }];
    const [, ...others] = parts.endpoints;
    const one = agentEndpoint("tenant/e0", "http://e0.internal", "http://s0.tenant:80", byName);
    const trafficPolicies = [trafficPolicy("tenant/all", rules)];
    const cluster = new Cluster({ ...parts, endpoints: [one, ...others], trafficPolicies });
    expect(scopes(cluster)).toEqual(new Set(["pod"]));
  });
});

test("a chain of 2,000 Services, each leading to the next one's address, is guarded to its first", () => {
  const key = (i: number) => `tenant/s${String(i).padStart(4, "0")}`;
  const services = count(2000).map((i) => service(key(i), [address(i)], [80]));
  const endpointSlices = count(1999).map((i) => slice(key(i), [address(i + 1)], 80));
  const connectionPolicies = [connectionPolicy("tenant/p", ["s1999"], denyNamespace("sandbox"))];
  let cluster: Cluster | undefined;
  const ms = timeOf(() => {
    cluster = new Cluster({ services, endpointSlices, connectionPolicies });
  });
  expect(cluster?.outcome(stranger, `${address(0)}:80`)).toBe("deny rule");
  expect(cluster?.outcome(tenant, `${address(0)}:80`)).toBe("allow");
  expect(ms).toBeLessThan(2000);
});

test("a ring of Services is guarded all around, and looking ends", () => {
  const services = count(50).map((i) => service(`tenant/s${i}`, [address(i)], [80]));
  const endpointSlices = count(50).map((i) => slice(`tenant/s${i}`, [address((i + 1) % 50)], 80));
  const connectionPolicies = [connectionPolicy("tenant/p", ["s7"], denyNamespace("sandbox"))];
  const cluster = new Cluster({ services, endpointSlices, connectionPolicies });
  for (const i of count(50)) expect(cluster.outcome(stranger, `${address(i)}:80`)).toBe("deny rule");
});

describe("where over 100 policies meet", () => {
  /** `policies` on each of `services` Services, all of them over one pod; and a neighbour's Service of its own. */
  function crowd(services: number, policies: number, order: 1 | -1 = 1) {
    const all = count(services).map((i) => service(`tenant/s${i}`, [address(i)], [80]));
    const targets = count(16).map((i) => `s${i % services}`);
    const claims = count(policies).map((i) =>
      connectionPolicy(`tenant/p${i}`, targets, denyNamespace("sandbox")),
    );
    return {
      pods: [pod("tenant/web", "10.244.0.9"), pod("shop/web", "10.244.0.10")],
      services: [...all, service("shop/web", ["10.96.200.1"], [80])].sort(() => order),
      endpointSlices: [
        ...count(services).map((i) => slice(`tenant/s${i}`, ["10.244.0.9"], 8080)),
        slice("shop/web", ["10.244.0.10"], 8080),
      ],
      connectionPolicies: [...claims, connectionPolicy("shop/p", ["web"], denyNamespace("sandbox"))],
    };
  }

  test("everybody is refused, and the objects say why", () => {
    const cluster = new Cluster(crowd(1, 101));
    for (const place of [`${address(0)}:80`, "10.244.0.9:8080"]) {
      expect(cluster.outcome(tenant, place)).toBe("deny over-limit");
    }
    const conditions = cluster.set.conditions.filter(({ object }) => object.namespace === "tenant");
    expect(new Set(conditions.map(({ accepted, reason }) => `${accepted} ${reason}`))).toEqual(
      new Set(["false OverLimit"]),
    );
    expect(conditions[0]?.message).toMatch(/tenant\/s0:80 .*denied; remove/);
  });

  test("nobody else is: neither at 100, nor at a neighbour's Service", () => {
    expect(new Cluster(crowd(1, 100)).outcome(tenant, `${address(0)}:80`)).toBe("allow");
    const cluster = new Cluster(crowd(1, 101));
    expect(cluster.outcome(tenant, "10.96.200.1:80")).toBe("allow");
    expect(cluster.outcome(stranger, "10.244.0.10:8080")).toBe("deny rule");
  });

  test("a Service that leads there refuses everybody too, whatever the order of the objects", () => {
    const services = [service("shop/alias", ["10.96.201.1"], [80])];
    for (const order of [1, -1] as const) {
      const parts = crowd(20, 120, order);
      const cluster = new Cluster({
        ...parts,
        services: [...services, ...parts.services],
        endpointSlices: [...parts.endpointSlices, slice("shop/alias", ["10.244.0.9"], 8080)],
      });
      expect(cluster.outcome(tenant, "10.96.201.1:80")).toBe("deny over-limit");
      expect(cluster.outcome(tenant, "10.96.200.1:80")).toBe("allow");
    }
  });

  test("a thousand Services with a thousand policies take no time", () => {
    expect(timeOf(() => new Cluster(crowd(1000, 1000)))).toBeLessThan(5000);
  });
});

describe("a hundred policies that are each as slow as a policy may be", () => {
  const list = `[${count(100).join()}]`;
  const slow = {
    expressions: [`${list}.all(a, ${list}.all(b, a + b + conn.client_port > 0)) && conn.client_port == 1`],
    actions: [deny],
  };
  let asked = 0;
  const counting: Routes["evaluate"] = (...about) => {
    asked += 1;
    return evaluate(...about);
  };
  const cluster = (policies: number) =>
    new Cluster(
      {
        services: [service("tenant/slow", [address(0)], [80]), service("shop/web", ["10.96.200.1"], [80])],
        connectionPolicies: [
          ...count(policies).map((i) => connectionPolicy(`tenant/p${i}`, ["slow"], [slow, slow, slow])),
          connectionPolicy("shop/p", ["web"], denyNamespace("sandbox")),
        ],
      },
      { evaluate: counting },
    );

  test("are not asked to the end: whoever dials there is refused, and nobody else", () => {
    const all = cluster(100);
    const slowGuard = all.set.guards.find(({ key }) => key.includes("tenant"));
    const connection = {
      client: { ip: "10.244.0.1", port: 40_000 },
      server: { ip: address(0), port: 80 },
      start: 0,
      now: 0,
    };
    if (slowGuard === undefined) throw new Error("there is no guard");
    asked = 0;
    const verdict = decideConnection(slowGuard, stranger, connection, all.set.routes);
    expect(verdict).toMatchObject({ action: "deny", reason: "over-limit" });
    expect(asked).toBeLessThan(10);
    expect(all.outcome(stranger, `${address(0)}:80`)).toBe("deny over-limit");
    expect(all.outcome(stranger, "10.96.200.1:80")).toBe("deny rule");
    expect(cluster(2).outcome(stranger, `${address(0)}:80`)).toMatch(/^proxy/);
  });
});

test("decides with the evaluation it is given", () => {
  const parts = {
    services: [service("shop/web", [address(0)], [80])],
    connectionPolicies: [connectionPolicy("shop/p", ["web"], denyNamespace("sandbox"))],
  };
  const asked: string[] = [];
  const remembering: Routes["evaluate"] = (policy, facts, resolve, observer) => {
    asked.push(facts.identity.kind);
    return evaluate(policy, facts, resolve, observer);
  };
  expect(new Cluster(parts, { evaluate: remembering }).outcome(stranger, `${address(0)}:80`)).toBe(
    "deny rule",
  );
  expect(asked).toEqual(["pod"]);
});
