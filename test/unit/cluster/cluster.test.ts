/** The snapshot: what is in it, when it means something, and what stays the same object. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { clusterRig, pod, resource } from "./cluster-rig.ts";
import { pause } from "./rig.ts";

describe("a snapshot", () => {
  test("holds every kind, pods of this node twice: slim, and with their annotations", async () => {
    const it = await clusterRig();
    const { store } = it.server;
    store.create("nodes", {
      metadata: { name: "node-a" },
      status: { addresses: [{ type: "InternalIP", address: "192.0.2.10" }] },
    });
    store.create("namespaces", { metadata: { name: "payments" } });
    const here = pod("here", "node-a", { metadata: { annotations: { "ngrok.com/a": "b" } } });
    store.create("pods", here);
    store.create("pods", pod("there", "node-b", { metadata: { annotations: { "ngrok.com/a": "b" } } }));
    store.create("services", {
      metadata: { name: "web" },
      spec: { ports: [{ port: 80 }], clusterIP: "10.96.7.7" },
    });
    store.create("endpointslices.discovery.k8s.io", {
      metadata: { name: "web-1", labels: { "kubernetes.io/service-name": "web" } },
      addressType: "IPv4",
      endpoints: [{ addresses: ["192.0.2.77"] }],
      ports: [{ port: 8080 }],
    });
    store.create("referencegrants.gateway.networking.k8s.io", { metadata: { name: "grant" }, spec: {} });
    const spec = {
      url: "http://web.default",
      bindings: ["kubernetes"],
      upstream: { url: "http://web.default" },
      trafficPolicy: { targetRef: { name: "rules" } },
    };
    store.create(resource("AgentEndpoint"), { metadata: { name: "agent" }, spec });
    store.create(resource("CloudEndpoint"), { metadata: { name: "cloud" }, spec });
    store.create(resource("NgrokTrafficPolicy"), { metadata: { name: "rules" }, spec: { policy: {} } });
    store.create(resource("ConnectionPolicy"), {
      metadata: { name: "own" },
      spec: { targetRefs: [{ kind: "Service", name: "web" }], trafficPolicy: { inline: {} } },
    });
    await it.start();
    const snapshot = it.cluster.snapshot();
    expect(snapshot.pods.map(({ name, nodeName }) => [name, nodeName])).toEqual([
      ["here", "node-a"],
      ["there", "node-b"],
    ]);
    expect(snapshot.pods[0]).not.toHaveProperty("annotations");
    expect(snapshot.localPods.map(({ name, annotations }) => [name, [...annotations]])).toEqual([
      ["here", [["ngrok.com/a", "b"]]],
    ]);
    expect(snapshot.nodes).toContainEqual({ name: "node-a", addresses: ["192.0.2.10"] });
    expect([...snapshot.namespaces.keys()]).toEqual(
      expect.arrayContaining(["default", "kube-system", "payments"]),
    );
    expect(snapshot.services).toContainEqual(
      expect.objectContaining({ namespace: "default", name: "web", clusterIps: ["10.96.7.7"] }),
    );
    expect(snapshot.endpointSlices).toContainEqual(
      expect.objectContaining({ serviceName: "web", addresses: ["192.0.2.77"] }),
    );
    expect(snapshot.referenceGrants.map(({ name }) => name)).toEqual(["grant"]);
    expect(snapshot.endpoints.map(({ kind, name }) => `${kind} ${name}`)).toEqual([
      "AgentEndpoint agent",
      "CloudEndpoint cloud",
    ]);
    expect(snapshot.trafficPolicies.map(({ name }) => name)).toEqual(["rules"]);
    expect(snapshot.connectionPolicies.map(({ name }) => name)).toEqual(["own"]);
  });

  test("is the same object until something in it changes, and then the rest of it is", async () => {
    const it = await clusterRig();
    it.server.store.create("pods", pod("one", "node-b"));
    await it.start();
    const before = it.cluster.snapshot();
    expect(it.cluster.snapshot()).toBe(before);
    it.server.store.create("namespaces", { metadata: { name: "shop" } });
    await it.settle(() => it.cluster.snapshot() !== before, "the new namespace");
    const after = it.cluster.snapshot();
    expect(after.namespaces.has("shop")).toBe(true);
    expect(before.namespaces.has("shop")).toBe(false);
    for (const key of ["pods", "localPods", "nodes", "services", "endpoints", "trafficPolicies"] as const) {
      expect(after[key]).toBe(before[key]);
    }
  });

  test("means something only when every resource has been listed", async () => {
    const it = await clusterRig();
    const services = { resource: "services", verb: "list" } as const;
    const refused = it.server.faults.respond(services, 500, { times: Number.POSITIVE_INFINITY });
    it.cluster.start();
    await it.settle(() => it.cluster.health().filter(({ synced }) => !synced).length === 1, "all but one");
    expect(it.cluster.synced).toBe(false);
    expect(it.cluster.health().find(({ synced }) => !synced)).toMatchObject({
      resource: "services",
      lastError: "list services: 500 InternalError: injected fault 500",
    });
    refused.remove();
    await it.settle(() => it.cluster.synced, "sync of all");
  });

  test("of a cluster without any of the CRDs is empty of policies, and whole", async () => {
    const it = await clusterRig([]);
    it.server.store.catalog.delete("referencegrants.gateway.networking.k8s.io");
    await it.start();
    expect(it.cluster.snapshot()).toMatchObject({
      endpoints: [],
      connectionPolicies: [],
      referenceGrants: [],
    });
    expect(it.cluster.health().filter(({ served }) => !served)).toHaveLength(5);
    expect(it.log.filter(({ level }) => level !== "info")).toEqual([]);
  });
});

describe("changes", () => {
  test("come bundled: a burst of events is one", async () => {
    const it = await clusterRig();
    await it.start();
    await pause(50);
    const before = it.changes();
    const held = it.server.faults.holdEvents({ resource: "namespaces" });
    for (let i = 0; i < 50; i++) it.server.store.create("namespaces", { metadata: { name: `ns-${i}` } });
    await it.settle(() => held.count === 50, "the events");
    held.release();
    await it.settle(() => it.cluster.snapshot().namespaces.has("ns-49"), "the namespaces");
    expect(it.changes() - before).toBeGreaterThan(0);
    expect(it.changes() - before).toBeLessThan(25);
  });

  test("of a pod's readiness are none", async () => {
    const it = await clusterRig();
    it.server.store.create("pods", pod("one", "node-a"));
    await it.start();
    await pause(50);
    const before = it.changes();
    it.server.store.modify(
      "pods",
      "default",
      "one",
      (object) => {
        object.status = { ...(object.status as object), conditions: [{ type: "Ready", status: "True" }] };
      },
      { subresource: "status" },
    );
    await pause(100);
    expect(it.changes()).toBe(before);
  });
});

test("a policy object whose text cannot be read stays in the snapshot as malformed", async () => {
  const it = await clusterRig();
  it.server.store.create(resource("AgentEndpoint"), {
    metadata: { name: "odd" },
    spec: { trafficPolicy: 7 },
  });
  it.server.store.create(resource("ConnectionPolicy"), { metadata: { name: "odd" }, spec: [] });
  await it.start();
  expect(it.cluster.snapshot().endpoints).toMatchObject([{ name: "odd", policy: { kind: "malformed" } }]);
  expect(it.cluster.snapshot().connectionPolicies).toMatchObject([{ policy: { kind: "malformed" } }]);
});

test("10,000 pods of 3 KB cost less than 25 MB of heap", () => {
  const script = fileURLToPath(new URL("memory.ts", import.meta.url));
  const child = spawnSync(process.execPath, ["--expose-gc", script], { encoding: "utf8", timeout: 120_000 });
  expect(child.stderr.replaceAll(/.*Warning.*\n?/g, "")).toBe("");
  const { pods, bytes, listBytes, milliseconds, last } = JSON.parse(child.stdout);
  console.log(
    `${pods} pods: ${(listBytes / 1e6).toFixed(1)} MB on the wire, ${(bytes / 1e6).toFixed(1)} MB of heap, ${milliseconds} ms`,
  );
  expect([pods, last]).toEqual([10_000, "10.0.39.15"]);
  expect(listBytes).toBeGreaterThan(30e6);
  expect(bytes).toBeLessThan(25e6);
}, 130_000);
