/** Guards are a function of the objects, not of the order they came in; and of how many there are, not worse than linear. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Snapshot } from "../../../agent/cluster/snapshot.ts";
import { decide } from "../../../agent/guard/decide.ts";
import { computeGuards } from "../../../agent/guard/guards.ts";
import { lastValidInMemory } from "../../../agent/guard/last-valid.ts";
import { policyReader, resolvePolicies } from "../../../agent/guard/policies.ts";
import {
  agentEndpoint,
  boundAgent,
  boundCloud,
  Cluster,
  caller,
  connectionPolicy,
  denyNamespace,
  failClosed,
  nobody,
  node,
  OPTIONS,
  pod,
  port,
  service,
  slice,
  snapshot,
} from "./builders.ts";

const namespaces = ["a", "b", "a-b", "default"];
const key = fc
  .tuple(fc.constantFrom(...namespaces), fc.constantFrom("x", "y", "b-z"))
  .map((parts) => parts.join("/"));
const podAddress = fc.integer({ min: 1, max: 6 }).map((n) => `198.51.100.${n}`);
const externalIp = fc.constantFrom("203.0.113.1", "203.0.113.2", "203.0.113.11", "198.51.100.1");

const someService = fc
  .record({
    key,
    ip: fc.integer({ min: 1, max: 250 }),
    nodePort: fc.constantFrom(0, 30080, 30081),
    externalIp,
    created: fc.nat(2),
  })
  .map(({ key, ip, nodePort, externalIp, created }) =>
    service(key, [`192.0.2.${ip}`], [port(80, { nodePort })], { externalIps: [externalIp], created }),
  );
const someSlice = fc
  .tuple(key, fc.uniqueArray(podAddress, { maxLength: 3 }), fc.constantFrom(80, 8080))
  .map(([key, addresses, target]) => slice(key, addresses, target));
const somePod = fc.tuple(key, podAddress).map(([key, ip]) => pod(`${key}-${ip.at(-1)}`, ip));
const rules = fc.oneof(
  fc.constantFrom(...namespaces).map(denyNamespace),
  fc.tuple(fc.constantFrom(...namespaces), key).map(([namespace, target]) => {
    const [ns, name] = target.split("/");
    return failClosed(namespace, `http://${name}.${ns}.internal`);
  }),
);
const host = key.map((each) => each.split("/").reverse().join("."));
const someEndpoint = fc
  .tuple(key, host, host, rules, fc.nat(3))
  .map(([key, at, to, rules, kind]) =>
    kind === 0
      ? boundCloud(key, `http://${at}`, rules)
      : kind === 1
        ? boundAgent(key, `http://${at}`, `http://${to}`, rules)
        : agentEndpoint(
            key,
            kind === 2 ? "http://h.internal" : `http://${at}.internal`,
            `http://${to}`,
            rules,
          ),
  );
const somePolicy = fc
  .tuple(key, fc.constantFrom("x", "y", "b-z"), rules, fc.boolean())
  .map(([key, target, rules, audit]) => connectionPolicy(key, [target], rules, { audit }));

const unique = <T extends { namespace: string; name: string }>(
  arbitrary: fc.Arbitrary<T>,
  maxLength: number,
) => fc.uniqueArray(arbitrary, { maxLength, selector: ({ namespace, name }) => `${namespace}/${name}` });

const someCluster = fc
  .record({
    services: unique(someService, 6),
    endpointSlices: unique(someSlice, 6),
    pods: unique(somePod, 6),
    endpoints: fc.uniqueArray(someEndpoint, {
      maxLength: 5,
      selector: ({ kind, namespace, name }) => `${kind}/${namespace}/${name}`,
    }),
    connectionPolicies: unique(somePolicy, 3),
  })
  .map((parts) => ({ ...parts, nodes: [node("node-1", "203.0.113.11")] }));

const callers = [caller("a/x"), caller("b/x"), caller("a-b/x"), nobody];

/** Everything that can be seen of a cluster's guards, policies by their verdicts. */
function view(cluster: Cluster) {
  const guards = cluster.set.guards.map((guard) => ({
    ...guard,
    policies: guard.policies.map(({ object, home, audit }) => ({ object, home, audit })),
    verdicts: callers.map((from) => decide(guard, from, cluster.set.routes)),
  }));
  return { guards, conditions: cluster.set.conditions };
}

describe("for any objects", () => {
  test("the order they arrive in changes nothing", () => {
    const shuffled = someCluster.chain((parts) =>
      fc.record({
        parts: fc.constant(parts),
        again: fc.record({
          services: fc.shuffledSubarray(parts.services, { minLength: parts.services.length }),
          endpointSlices: fc.shuffledSubarray(parts.endpointSlices, {
            minLength: parts.endpointSlices.length,
          }),
          pods: fc.shuffledSubarray(parts.pods, { minLength: parts.pods.length }),
          endpoints: fc.shuffledSubarray(parts.endpoints, { minLength: parts.endpoints.length }),
          connectionPolicies: fc.shuffledSubarray(parts.connectionPolicies, {
            minLength: parts.connectionPolicies.length,
          }),
          nodes: fc.constant(parts.nodes),
        }),
      }),
    );
    fc.assert(
      fc.property(shuffled, ({ parts, again }) => {
        expect(view(new Cluster(again))).toEqual(view(new Cluster(parts)));
      }),
      { numRuns: 300 },
    );
  });

  test("no address has two guards, and every object has one condition", () => {
    fc.assert(
      fc.property(someCluster, (parts) => {
        const cluster = new Cluster(parts);
        const guarded = cluster.guarded();
        expect(new Set(guarded).size).toBe(guarded.length);
        expect(cluster.set.conditions).toHaveLength(parts.endpoints.length + parts.connectionPolicies.length);
      }),
      { numRuns: 300 },
    );
  });

  test("a ConnectionPolicy more never lets in a caller who was refused", () => {
    fc.assert(
      fc.property(someCluster, somePolicy, (parts, added) => {
        const isOther = (object: { namespace: string; name: string }) =>
          object.namespace !== added.namespace || object.name !== added.name;
        const before = { ...parts, connectionPolicies: parts.connectionPolicies.filter(isOther) };
        const after = new Cluster({ ...before, connectionPolicies: [...before.connectionPolicies, added] });
        const was = new Cluster(before);
        for (const place of was.guarded()) {
          for (const from of callers) {
            if (was.outcome(from, place).startsWith("deny"))
              expect(after.outcome(from, place)).toMatch(/^deny/);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  test("who may not connect to a guarded backend gets there through no Service", () => {
    fc.assert(
      fc.property(someCluster, (parts) => {
        const cluster = new Cluster(parts);
        for (const { namespace, serviceName, addresses, ports } of parts.endpointSlices) {
          const found = parts.services.find(
            (each) => each.namespace === namespace && each.name === serviceName,
          );
          // An address that two Services claim leads to one of them. The API server gives a ClusterIP to one only.
          const sharers = parts.services.filter((each) => each.clusterIps[0] === found?.clusterIps[0]);
          const front = sharers.length === 1 ? found : undefined;
          for (const backend of addresses.map((address) => `${address}:${ports[0]?.port}`)) {
            for (const from of callers) {
              const refused = cluster.outcome(from, backend) === "deny rule";
              if (refused && front)
                expect(cluster.outcome(from, `${front.clusterIps[0]}:80`)).toMatch(/^deny|^forward/);
            }
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

test("1,000 guarded Services with 10 backends each", () => {
  const parts: Partial<Snapshot> = (() => {
    const numbers = Array.from({ length: 1_000 }, (_, i) => i);
    const address = (i: number, j: number) => `10.${Math.floor(i / 250)}.${i % 250}.${j + 1}`;
    return {
      services: numbers.map((i) => service(`ns-${i}/svc`, [`10.96.${Math.floor(i / 250)}.${i % 250}`], [80])),
      pods: numbers.flatMap((i) =>
        Array.from({ length: 10 }, (_, j) => pod(`ns-${i}/svc-${j}`, address(i, j))),
      ),
      endpointSlices: numbers.map((i) =>
        slice(
          `ns-${i}/svc`,
          Array.from({ length: 10 }, (_, j) => address(i, j)),
          8080,
        ),
      ),
      endpoints: numbers.map((i) =>
        boundCloud(`ns-${i}/e`, `http://svc.ns-${i}`, failClosed(`ns-${i}`, `http://svc.ns-${i}.internal`)),
      ),
    };
  })();
  const objects = snapshot(parts);
  const time = <T>(what: string, run: () => T): T => {
    const start = performance.now();
    const result = run();
    console.log(`${what}: ${(performance.now() - start).toFixed(0)} ms`);
    return result;
  };
  const read = policyReader();
  const lastValid = lastValidInMemory();
  time("parse 1,000 policies", () => resolvePolicies(objects, lastValid, read));
  const policies = time("read them again", () => resolvePolicies(objects, lastValid, read));
  time("1,000 guards of 11 addresses, first time", () => computeGuards(objects, policies, OPTIONS));
  const set = time("again", () => computeGuards(objects, policies, OPTIONS));
  const pods = Array.from({ length: 250 }, (_, i) => caller(`ns-${i}/web`));
  const allowed = time("250,000 verdicts", () =>
    set.guards.reduce(
      (sum, guard) => sum + pods.filter((from) => decide(guard, from, set.routes).action === "allow").length,
      0,
    ),
  );
  expect(set.guards).toHaveLength(1_000);
  expect(set.guards.reduce((sum, { destinations }) => sum + destinations.length, 0)).toBe(11_000);
  expect(allowed).toBe(250);
});
