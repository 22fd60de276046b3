import { afterEach, beforeEach, expect, test } from "vitest";
import type { JsonObject } from "../../lab/apiserver/json.ts";
import { type ApiServer, startApiServer } from "../../lab/apiserver/server.ts";
import { call } from "./client.ts";

let server: ApiServer;
beforeEach(async () => {
  server = await startApiServer({ serviceCidrs: ["192.0.2.0/29", "2001:db8::/112"] });
});
afterEach(() => server.close());

const path = "/api/v1/namespaces/default/services";
const port = { name: "http", port: 80 };

async function create(spec: JsonObject, name = "s") {
  return (await call(server.url, "POST", path, { metadata: { name }, spec: { ports: [port], ...spec } }))
    .body;
}

test("a Service gets an address of the first family, a type, and its ports their defaults", async () => {
  expect((await create({})).spec).toMatchObject({
    type: "ClusterIP",
    clusterIP: "192.0.2.2",
    clusterIPs: ["192.0.2.2"],
    ipFamilies: ["IPv4"],
    ipFamilyPolicy: "SingleStack",
    sessionAffinity: "None",
    ports: [{ name: "http", port: 80, protocol: "TCP", targetPort: 80 }],
  });
});

test.each([
  [{ ipFamilyPolicy: "PreferDualStack" }, ["192.0.2.2", "2001:db8::2"], ["IPv4", "IPv6"]],
  [
    { ipFamilyPolicy: "RequireDualStack", ipFamilies: ["IPv6"] },
    ["2001:db8::2", "192.0.2.2"],
    ["IPv6", "IPv4"],
  ],
  [{ ipFamilies: ["IPv6"] }, ["2001:db8::2"], ["IPv6"]],
  [{ clusterIP: "2001:db8::77" }, ["2001:db8::77"], ["IPv6"]],
  [{ clusterIP: "192.0.2.6" }, ["192.0.2.6"], ["IPv4"]],
  [{ clusterIP: "None" }, ["None"], ["IPv4"]],
])("%j gives %j", async (spec, clusterIPs, ipFamilies) => {
  expect((await create(spec)).spec).toMatchObject({ clusterIP: clusterIPs[0], clusterIPs, ipFamilies });
});

test("without a second range dual stack is preferred in vain and required in vain", async () => {
  const single = await startApiServer({ serviceCidrs: ["192.0.2.0/29"] });
  const make = (name: string, ipFamilyPolicy: string) =>
    call(single.url, "POST", path, { metadata: { name }, spec: { ports: [port], ipFamilyPolicy } });
  expect((await make("a", "PreferDualStack")).body.spec.clusterIPs).toEqual(["192.0.2.2"]);
  expect((await make("b", "RequireDualStack")).code).toBe(422);
  await single.close();
});

test("an ExternalName has no address", async () => {
  const { spec } = await create({ type: "ExternalName", externalName: "example.com" });
  expect(spec.clusterIP).toBeUndefined();
  expect(spec.ipFamilies).toBeUndefined();
});

test("node ports are allocated, kept, and given back", async () => {
  const first = await create({ type: "NodePort" });
  const [{ nodePort }] = first.spec.ports;
  expect(nodePort).toBeGreaterThanOrEqual(30000);
  expect(nodePort).toBeLessThanOrEqual(32767);
  expect((await create({ type: "LoadBalancer" }, "t")).spec.ports[0].nodePort).not.toBe(nodePort);
  const { clusterIP: _, clusterIPs: __, ...bare } = first.spec;
  const spec = { ...bare, ports: [{ name: "http", port: 80 }] };
  const { resourceVersion: ___, ...metadata } = first.metadata;
  const kept = (await call(server.url, "PUT", `${path}/s`, { metadata, spec })).body;
  expect([kept.spec.ports[0].nodePort, kept.spec.clusterIP]).toEqual([nodePort, first.spec.clusterIP]);
  const plain = (
    await call(server.url, "PUT", `${path}/s`, { metadata, spec: { ...spec, type: "ClusterIP" } })
  ).body;
  expect(plain.spec.ports[0].nodePort).toBeUndefined();
  const taken = await create({ type: "NodePort", ports: [{ ...port, nodePort }] }, "u");
  expect(taken.spec.ports[0].nodePort).toBe(nodePort);
});

test("a load balancer may do without node ports, and TCP and UDP may share one", async () => {
  const none = await create({ type: "LoadBalancer", allocateLoadBalancerNodePorts: false });
  expect(none.spec.ports[0].nodePort).toBeUndefined();
  const tcp = { name: "tcp", port: 53, protocol: "TCP", nodePort: 30053 };
  const both = await create(
    { type: "NodePort", ports: [tcp, { ...tcp, name: "udp", protocol: "UDP" }] },
    "dns",
  );
  expect(both.spec.ports.map(({ nodePort }: { nodePort: number }) => nodePort)).toEqual([30053, 30053]);
});

test("an address is given once, and again when its Service is gone", async () => {
  const names = ["a", "b", "c", "d", "e"];
  const given = [];
  for (const name of names) given.push((await create({}, name)).spec.clusterIP);
  expect(new Set(given).size).toBe(5);
  expect((await create({}, "f")).message).toContain("range 192.0.2.0/29 is full");
  await call(server.url, "DELETE", `${path}/c`);
  expect((await create({}, "f")).spec.clusterIP).toBe(given[2]);
});

test("a dry run takes no address", async () => {
  const body = { metadata: { name: "s" }, spec: { ports: [port], clusterIP: "192.0.2.6" } };
  expect((await call(server.url, "POST", `${path}?dryRun=All`, body)).code).toBe(201);
  expect((await create({ clusterIP: "192.0.2.6" })).spec.clusterIP).toBe("192.0.2.6");
});

test.each([
  ["no port", { ports: [] }, "spec.ports: Required value"],
  ["two ports without names", { ports: [{ port: 80 }, { port: 81 }] }, "spec.ports[0].name: Required value"],
  ["one port twice", { ports: [port, { ...port, name: "b" }] }, "spec.ports[1].port: Duplicate value"],
  ["one name twice", { ports: [port, { ...port, port: 81 }] }, "spec.ports[1].name: Duplicate value"],
  ["port 0", { ports: [{ port: 0 }] }, "must be between 1 and 65535"],
  ["a node port below the range", { type: "NodePort", ports: [{ ...port, nodePort: 80 }] }, "30000-32767"],
  ["an address outside the range", { clusterIP: "198.51.100.1" }, "not in the valid range"],
  ["an address that is taken", { clusterIP: "192.0.2.1" }, "already allocated"],
  ["an address that is none", { clusterIP: "one" }, "must be a valid IP address"],
  ["an unknown type", { type: "Nodeport" }, "spec.type"],
  ["a name that is missing", { type: "ExternalName" }, "spec.externalName: Required value"],
])("%s is refused", async (_what, spec, message) => {
  const answer = await create(spec);
  expect(answer).toMatchObject({ kind: "Status", code: 422, reason: "Invalid" });
  expect(answer.message).toContain(message);
});

test("a cluster IP cannot be changed", async () => {
  const first = await create({});
  const spec = { ...first.spec, clusterIP: "192.0.2.5", clusterIPs: ["192.0.2.5"] };
  expect((await call(server.url, "PUT", `${path}/s`, { ...first, spec })).body.message).toContain(
    "may not change once set",
  );
});

test("a second family can be added later", async () => {
  const first = await create({});
  const spec = { ...first.spec, ipFamilyPolicy: "PreferDualStack" };
  const second = (await call(server.url, "PUT", `${path}/s`, { ...first, spec })).body;
  expect(second.spec.clusterIPs).toEqual(["192.0.2.2", "2001:db8::2"]);
});

test("a range that is none is refused at once, and the server's own Service has the first address", async () => {
  await expect(startApiServer({ serviceCidrs: ["10.96.0.0"] })).rejects.toThrow(
    'read service range "10.96.0.0"',
  );
  expect(server.store.get("services", "default", "kubernetes").spec).toMatchObject({
    clusterIP: "192.0.2.1",
  });
});
