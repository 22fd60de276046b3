/** EndpointSlices as the real controller would make them. */
import { expect, test } from "vitest";
import type { Pod, Service } from "../../lab/kube-objects.ts";
import { desiredSlices } from "../../lab/slices.ts";

function pod(
  name: string,
  change: {
    port?: number;
    ready?: boolean;
    phase?: "Running" | "Succeeded";
    deleted?: boolean;
    labels?: Record<string, string>;
  } = {},
): Pod {
  const { port = 8080, ready = true, phase = "Running", deleted = false, labels = { app: "web" } } = change;
  const number = name.length;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: "shop",
      uid: name,
      labels,
      ...(deleted ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}),
    },
    spec: { nodeName: "n", containers: [{ name: "c", ports: [{ name: "http", containerPort: port }] }] },
    status: {
      phase,
      podIPs: [{ ip: `192.0.2.${number}` }, { ip: `2001:db8::${number}` }],
      conditions: [{ type: "Ready", status: ready ? "True" : "False", lastTransitionTime: "" }],
    },
  };
}

function service(spec: Partial<Service["spec"]> = {}): Service {
  const ports = [{ port: 80, targetPort: "http" }];
  const metadata = { name: "web", namespace: "shop", uid: "s" };
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata,
    spec: { selector: { app: "web" }, ipFamilies: ["IPv4"], ports, ...spec },
  };
}

const conditions = (pods: Pod[], of = service()) =>
  desiredSlices([of], pods).flatMap(({ endpoints = [] }) => endpoints.map((endpoint) => endpoint.conditions));

test("each family of the Service has slices of its own", () => {
  const slices = desiredSlices([service({ ipFamilies: ["IPv4", "IPv6"] })], [pod("a")]);
  expect(slices.map(({ addressType, endpoints }) => [addressType, endpoints?.[0]?.addresses])).toEqual([
    ["IPv4", ["192.0.2.1"]],
    ["IPv6", ["2001:db8::1"]],
  ]);
  expect(new Set(slices.map(({ metadata }) => metadata.name)).size).toBe(2);
});

test("a pod that is not ready or is ending is an endpoint that says so, a completed one is none", () => {
  expect(
    conditions([
      pod("a"),
      pod("bb", { ready: false }),
      pod("ccc", { deleted: true }),
      pod("dddd", { phase: "Succeeded" }),
    ]),
  ).toEqual([
    { ready: true, serving: true, terminating: false },
    { ready: false, serving: false, terminating: false },
    { ready: false, serving: true, terminating: true },
  ]);
});

test("publishNotReadyAddresses makes every endpoint ready", () => {
  const publishing = service({ publishNotReadyAddresses: true });
  expect(conditions([pod("a", { ready: false })], publishing)).toMatchObject([
    { ready: true, serving: false },
  ]);
});

test("a named target port is each pod's own, and a number goes to all", () => {
  const pods = [pod("a"), pod("bb", { port: 9090 })];
  expect(desiredSlices([service()], pods).map(({ ports }) => ports?.[0]?.port)).toEqual([8080, 9090]);
  const numbered = service({
    ports: [
      { port: 80, targetPort: 7070 },
      { name: "same", port: 81 },
    ],
  });
  const [slice, ...others] = desiredSlices([numbered], pods);
  expect(others).toEqual([]);
  expect(slice?.ports).toEqual([
    { name: "", protocol: "TCP", port: 7070 },
    { name: "same", protocol: "TCP", port: 81 },
  ]);
});

test("a hundred endpoints fill a slice", () => {
  const pods = Array.from({ length: 101 }, (_, index) => pod("p".repeat(index + 1)));
  expect(desiredSlices([service()], pods).map(({ endpoints }) => endpoints?.length)).toEqual([100, 1]);
});

test("a selector that matches nobody has an empty slice; no selector and ExternalName have none", () => {
  expect(desiredSlices([service()], [pod("a", { labels: { app: "other" } })])).toMatchObject([
    { endpoints: [] },
  ]);
  expect(desiredSlices([service({ selector: {} }), service({ type: "ExternalName" })], [pod("a")])).toEqual(
    [],
  );
});
