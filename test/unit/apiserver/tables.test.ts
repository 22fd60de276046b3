import { afterEach, beforeEach, expect, test } from "vitest";
import { parse } from "yaml";
import type { JsonObject } from "../../lab/apiserver/json.ts";
import { type ApiServer, startApiServer } from "../../lab/apiserver/server.ts";
import { age } from "../../lab/apiserver/tables/column.ts";
import { readPath } from "../../lab/apiserver/tables/json-path.ts";
import { call, pod, watch } from "./client.ts";
import { agentEndpointCrd } from "./crd.ts";

const now = Date.parse("2026-01-02T00:00:00Z");
let server: ApiServer;
beforeEach(async () => {
  server = await startApiServer({ now: () => now });
});
afterEach(() => server.close());

const accept = { accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json" };

interface Row {
  readonly cells: unknown[];
  readonly object?: JsonObject;
}

/** Column name -> cell of the first row. */
async function cells(path: string): Promise<Record<string, unknown>> {
  const { body } = await call(server.url, "GET", path, undefined, accept);
  expect(body).toMatchObject({ kind: "Table", apiVersion: "meta.k8s.io/v1" });
  const names = body.columnDefinitions.map(({ name }: { name: string }) => name);
  const [row] = body.rows as Row[];
  return Object.fromEntries(names.map((name: string, index: number) => [name, row?.cells[index]]));
}

test.each([
  [0, "0s"],
  [119, "119s"],
  [120, "2m"],
  [125, "2m5s"],
  [600, "10m"],
  [3 * 3600, "3h"],
  [3 * 3600 + 60, "3h1m"],
  [9 * 3600 + 60, "9h"],
  [49 * 3600, "2d1h"],
  [20 * 86400, "20d"],
  [800 * 86400, "2y70d"],
  [-10, "<invalid>"],
])("%i seconds are written %s", (seconds, text) => {
  expect(age(new Date(now - seconds * 1000).toISOString(), now)).toBe(text);
});

const main = (state: JsonObject, more: JsonObject = {}) => ({
  name: "main",
  ready: false,
  restartCount: 0,
  state,
  ...more,
});

test.each([
  ["Pending", {}, "0/1"],
  ["Running", { phase: "Running", containerStatuses: [main({ running: {} }, { ready: true })] }, "1/1"],
  ["ContainerCreating", { containerStatuses: [main({ waiting: { reason: "ContainerCreating" } })] }, "0/1"],
  [
    "CrashLoopBackOff",
    { phase: "Running", containerStatuses: [main({ waiting: { reason: "CrashLoopBackOff" } })] },
    "0/1",
  ],
  [
    "Completed",
    { phase: "Succeeded", containerStatuses: [main({ terminated: { exitCode: 0, reason: "Completed" } })] },
    "0/1",
  ],
  ["ExitCode:3", { phase: "Failed", containerStatuses: [main({ terminated: { exitCode: 3 } })] }, "0/1"],
  [
    "Signal:9",
    { phase: "Failed", containerStatuses: [main({ terminated: { exitCode: 137, signal: 9 } })] },
    "0/1",
  ],
  ["Evicted", { phase: "Failed", reason: "Evicted" }, "0/1"],
  ["Init:0/1", { initContainerStatuses: [{ state: { running: {} } }] }, "0/1"],
])("a pod is shown as %s", async (status, fields, ready) => {
  const spec = { initContainers: [{ name: "first", image: "x" }] };
  server.store.create("pods", { ...pod("a", spec), metadata: { name: "a" }, status: fields });
  expect(await cells("/api/v1/pods")).toMatchObject({
    Name: "a",
    Status: status,
    Ready: ready,
    Restarts: "0",
    Age: "0s",
  });
});

test("a pod that is being deleted is Terminating, and restarts say when", async () => {
  const lastState = { terminated: { finishedAt: "2026-01-01T23:50:00Z" } };
  const containerStatuses = [main({ running: {} }, { restartCount: 2, lastState })];
  server.store.create("pods", {
    ...pod("a", { nodeName: "n" }),
    metadata: { name: "a" },
    status: { containerStatuses },
  });
  expect((await cells("/api/v1/pods")).Restarts).toBe("2 (10m ago)");
  server.store.delete("pods", "default", "a");
  expect((await cells("/api/v1/pods/")).Status).toBe("Terminating");
});

test("a Service shows where it can be reached", async () => {
  const ports = [
    { name: "a", port: 80 },
    { name: "b", port: 81, protocol: "UDP" },
  ];
  const path = "/api/v1/namespaces/default/services/s";
  server.store.create("services", {
    metadata: { name: "s" },
    spec: { type: "LoadBalancer", ports, selector: { a: "b", A: "c" } },
  });
  const pending = await cells(path);
  expect(pending).toMatchObject({ "External-IP": "<pending>", Selector: "A=c,a=b" });
  expect(pending["Port(s)"]).toMatch(/^80:3\d{4}\/TCP,81:3\d{4}\/UDP$/);
  const ingress = [{ ip: "192.0.2.1" }, { hostname: "lb.example" }];
  server.store.modify(
    "services",
    "default",
    "s",
    (service) => {
      service.status = { loadBalancer: { ingress } };
    },
    { subresource: "status" },
  );
  expect((await cells(path))["External-IP"]).toBe("192.0.2.1,lb.example");
});

test("an EndpointSlice shows three addresses and counts the others", async () => {
  const endpoints = [1, 2, 3, 4, 5].map((last) => ({ addresses: [`192.0.2.${last}`] }));
  server.store.create("endpointslices.discovery.k8s.io", {
    metadata: { name: "e" },
    addressType: "IPv4",
    endpoints,
    ports: [],
  });
  expect(await cells("/apis/discovery.k8s.io/v1/endpointslices")).toMatchObject({
    AddressType: "IPv4",
    Ports: "<unset>",
    Endpoints: "192.0.2.1,192.0.2.2,192.0.2.3 + 2 more...",
  });
});

test("a node shows its state, roles and address", async () => {
  server.store.create("nodes", {
    metadata: { name: "n", labels: { "node-role.kubernetes.io/worker": "" } },
    spec: { unschedulable: true },
    status: {
      conditions: [{ type: "Ready", status: "True" }],
      addresses: [{ type: "InternalIP", address: "192.0.2.1" }],
      nodeInfo: { kubeletVersion: "v1.32.0" },
    },
  });
  expect(await cells("/api/v1/nodes")).toMatchObject({
    Status: "Ready,SchedulingDisabled",
    Roles: "worker",
    Version: "v1.32.0",
    "Internal-IP": "192.0.2.1",
    "External-IP": "<none>",
  });
});

test("an Event shows what happened to what, by whom and when", async () => {
  server.store.create("events", {
    metadata: { name: "e" },
    involvedObject: { kind: "Pod", name: "a" },
    type: "Warning",
    reason: "Failed",
    message: "It failed\n",
    source: { component: "kubelet", host: "node-1" },
    count: 3,
    lastTimestamp: "2026-01-01T23:59:00Z",
    firstTimestamp: "2026-01-01T23:00:00Z",
  });
  expect(await cells("/api/v1/events")).toEqual({
    "Last Seen": "60s",
    Type: "Warning",
    Reason: "Failed",
    Object: "pod/a",
    Subobject: "",
    Source: "kubelet, node-1",
    Message: "It failed",
    "First Seen": "60m",
    Count: 3,
    Name: "e",
  });
});

test("a CRD's printer columns come after the name, by JSONPath", async () => {
  server.store.create("customresourcedefinitions.apiextensions.k8s.io", parse(agentEndpointCrd));
  const name = "agentendpoints.ngrok.k8s.ngrok.com";
  server.store.create(name, {
    metadata: { name: "web" },
    spec: { url: "http://a.b", bindings: ["kubernetes"] },
    status: {
      conditions: [
        { type: "Other", status: "False" },
        { type: "Accepted", status: "True" },
      ],
    },
  });
  const path = "/apis/ngrok.k8s.ngrok.com/v1alpha1/agentendpoints";
  expect(await cells(path)).toEqual({
    Name: "web",
    URL: "http://a.b",
    Bindings: '["kubernetes"]',
    Accepted: "True",
    Age: "0s",
  });
  const { body } = await call(server.url, "GET", path, undefined, accept);
  expect(body.columnDefinitions.map(({ priority }: { priority: number }) => priority)).toEqual([
    0, 0, 1, 0, 0,
  ]);
});

test.each([
  [".a.b", [1]],
  [".a['x.y']", [2]],
  [".a.x\\.y", [2]],
  [".list[1].n", ["two"]],
  [".list[*].n", ["one", "two"]],
  ['.list[?(@.n=="two")].v', [{ deep: 3 }]],
  [".list[?(@.v.deep==3)].n", ["two"]],
  [".missing.b", []],
  [".a[", undefined],
])("JSONPath %s", (path, expected) => {
  const value = { a: { b: 1, "x.y": 2 }, list: [{ n: "one" }, { n: "two", v: { deep: 3 } }] };
  expect(readPath(value, path)).toEqual(expected);
});

test("includeObject says what goes along with a row", async () => {
  server.store.create("pods", { ...pod("a"), metadata: { name: "a" } });
  const row = async (query: string) =>
    (await call(server.url, "GET", `/api/v1/pods${query}`, undefined, accept)).body.rows[0].object;
  expect((await row("")).kind).toBe("PartialObjectMetadata");
  expect((await row("?includeObject=Object")).spec).toBeDefined();
  expect(await row("?includeObject=None")).toBeUndefined();
});

test("a watch of Tables sends one row an event", async () => {
  const stream = await watch(server.url, "/api/v1/pods?watch=true", accept);
  server.store.create("pods", { ...pod("a"), metadata: { name: "a" } });
  const event = await stream.next();
  expect([event.type, event.object.kind, (event.object.rows as Row[])[0]?.cells[0]]).toEqual([
    "ADDED",
    "Table",
    "a",
  ]);
  stream.close();
});

test("who does not ask for a Table gets the objects", async () => {
  const other = {
    accept: "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
  };
  for (const headers of [{}, { accept: "application/json" }, other]) {
    expect((await call(server.url, "GET", "/api/v1/pods", undefined, headers)).body.kind).toBe("PodList");
  }
});
