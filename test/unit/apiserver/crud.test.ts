import { afterEach, beforeEach, expect, test } from "vitest";
import { type ApiServer, startApiServer } from "../../lab/apiserver/server.ts";
import { type Answer, call, pod } from "./client.ts";

let server: ApiServer;
beforeEach(async () => {
  server = await startApiServer();
});
afterEach(() => server.close());

const pods = "/api/v1/namespaces/default/pods";
const http = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
): Promise<Answer> => call(server.url, method, path, body, headers);

test("a created object has a uid, a version, a time and generation 1, whatever its writer says", async () => {
  const mine = {
    uid: "00000000-0000-0000-0000-000000000001",
    creationTimestamp: "2001-01-01T00:00:00Z",
    generation: 9,
  };
  const { code, body } = await http("POST", pods, pod("a", {}, mine));
  expect(code).toBe(201);
  expect(body.metadata).toMatchObject({ name: "a", namespace: "default", generation: 1 });
  expect(body.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
  expect(body.metadata.uid).not.toBe(mine.uid);
  expect(Date.parse(body.metadata.creationTimestamp)).toBeGreaterThan(Date.now() - 5000);
  expect((await http("GET", `${pods}/a`)).body).toEqual(body);
});

test("a caller in the same process may preset the uid", () => {
  const uid = "0d5c0f5e-0000-4000-8000-000000000000";
  expect(server.store.create("pods", { ...pod("a"), metadata: { name: "a" } }, { uid }).metadata.uid).toBe(
    uid,
  );
});

test("generateName makes a name", async () => {
  const { body } = await http("POST", pods, pod("", {}, { generateName: "web-" }));
  expect(body.metadata.name).toMatch(/^web-[a-z0-9]{5}$/);
});

test("an object exists once, and a missing one is a 404 that names it", async () => {
  await http("POST", pods, pod("a"));
  const again = await http("POST", pods, pod("a"));
  expect(again.body).toMatchObject({ kind: "Status", status: "Failure", code: 409, reason: "AlreadyExists" });
  expect(again.body.message).toBe('pods "a" already exists');
  const missing = await http("GET", `${pods}/b`);
  expect(missing.body).toMatchObject({ code: 404, reason: "NotFound", details: { name: "b", kind: "pods" } });
});

test("generation counts changes of spec, not of metadata or status", async () => {
  const service = { metadata: { name: "s" }, spec: { ports: [{ port: 80 }] } };
  const path = "/api/v1/namespaces/default/services";
  const created = (await http("POST", path, service)).body;
  const labelled = (
    await http("PUT", `${path}/s`, { ...created, metadata: { ...created.metadata, labels: { a: "b" } } })
  ).body;
  expect(labelled.metadata.generation).toBe(1);
  const status = { ...labelled, status: { loadBalancer: { ingress: [{ ip: "192.0.2.1" }] } } };
  const ready = (await http("PUT", `${path}/s/status`, status)).body;
  expect(ready.metadata.generation).toBe(1);
  expect(ready.status.loadBalancer.ingress[0].ip).toBe("192.0.2.1");
  const spec = { ...ready.spec, externalIPs: ["192.0.2.9"] };
  expect((await http("PUT", `${path}/s`, { ...ready, spec })).body.metadata.generation).toBe(2);
});

test("the status subresource changes nothing but the status, and the object nothing of it", async () => {
  const created = (await http("POST", pods, pod("a"))).body;
  const both = {
    ...created,
    metadata: { ...created.metadata, labels: { a: "b" } },
    status: { phase: "Running" },
  };
  const status = (await http("PUT", `${pods}/a/status`, both)).body;
  expect([status.status, status.metadata.labels]).toEqual([{ phase: "Running" }, undefined]);
  const body = {
    ...status,
    metadata: { ...status.metadata, labels: { c: "d" } },
    status: { phase: "Failed" },
  };
  const main = (await http("PUT", `${pods}/a`, body)).body;
  expect([main.status.phase, main.metadata.labels]).toEqual(["Running", { c: "d" }]);
});

test("an update made from an older version is a conflict, one without a version is not", async () => {
  const first = (await http("POST", pods, pod("a"))).body;
  const labels = { seen: "yes" };
  const second = (await http("PUT", `${pods}/a`, { ...first, metadata: { ...first.metadata, labels } })).body;
  expect(Number(second.metadata.resourceVersion)).toBeGreaterThan(Number(first.metadata.resourceVersion));
  const stale = await http("PUT", `${pods}/a`, first);
  expect(stale.body).toMatchObject({ code: 409, reason: "Conflict" });
  const { resourceVersion: _, ...metadata } = second.metadata;
  expect((await http("PUT", `${pods}/a`, { ...second, metadata })).code).toBe(200);
});

test("an update that changes nothing is no new version", async () => {
  const first = (await http("POST", pods, pod("a"))).body;
  const second = (await http("PUT", `${pods}/a`, first)).body;
  expect(second.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
});

test("a pod's containers cannot change under it", async () => {
  const first = (await http("POST", pods, pod("a"))).body;
  const other = await http("PUT", `${pods}/a`, { ...first, spec: { ...first.spec, hostNetwork: true } });
  expect(other.body).toMatchObject({ code: 422, reason: "Invalid" });
  expect(other.body.message).toContain("pod updates may not change fields other than");
});

test("a binding puts a pod on a node, once", async () => {
  await http("POST", pods, pod("a"));
  const binding = { apiVersion: "v1", kind: "Binding", target: { kind: "Node", name: "node-1" } };
  expect((await http("POST", `${pods}/a/binding`, binding)).code).toBe(201);
  const bound = (await http("GET", `${pods}/a`)).body;
  expect(bound.spec.nodeName).toBe("node-1");
  expect(bound.status.conditions).toMatchObject([{ type: "PodScheduled", status: "True" }]);
  expect((await http("POST", `${pods}/a/binding`, binding)).code).toBe(409);
});

test("a pod without a node is deleted at once", async () => {
  await http("POST", pods, pod("a"));
  expect((await http("DELETE", `${pods}/a`)).body).toMatchObject({ kind: "Status", status: "Success" });
  expect((await http("GET", `${pods}/a`)).code).toBe(404);
});

test("a pod on a node is marked, and goes when its kubelet says so", async () => {
  await http("POST", pods, pod("a", { nodeName: "node-1", terminationGracePeriodSeconds: 7 }));
  const marked = (await http("DELETE", `${pods}/a`)).body;
  expect(marked).toMatchObject({ kind: "Pod", metadata: { deletionGracePeriodSeconds: 7 } });
  expect(Date.parse(marked.metadata.deletionTimestamp)).toBeGreaterThan(Date.now() + 4000);
  expect((await http("GET", `${pods}/a`)).code).toBe(200);
  const longer = (await http("DELETE", `${pods}/a`, { gracePeriodSeconds: 60 })).body;
  expect(longer.metadata.deletionGracePeriodSeconds).toBe(7);
  expect((await http("DELETE", `${pods}/a`, { gracePeriodSeconds: 0 })).code).toBe(200);
  expect((await http("GET", `${pods}/a`)).code).toBe(404);
});

test("a delete for another uid is refused", async () => {
  await http("POST", pods, pod("a"));
  const refused = await http("DELETE", `${pods}/a`, { preconditions: { uid: "another" } });
  expect(refused.code).toBe(409);
  expect((await http("GET", `${pods}/a`)).code).toBe(200);
});

test("a finalizer holds an object until it is taken away", async () => {
  const path = "/api/v1/namespaces/default/configmaps";
  await http("POST", path, { metadata: { name: "c", finalizers: ["example.com/hold"] }, data: { a: "b" } });
  const held = (await http("DELETE", `${path}/c`)).body;
  expect(held.metadata.deletionTimestamp).toBeDefined();
  await http("PUT", `${path}/c`, { ...held, metadata: { ...held.metadata, finalizers: [] } });
  expect((await http("GET", `${path}/c`)).code).toBe(404);
});

test("a namespace takes what is in it along, and waits for pods", async () => {
  await http("POST", "/api/v1/namespaces", { metadata: { name: "team" } });
  const inside = "/api/v1/namespaces/team";
  await http("POST", `${inside}/configmaps`, { metadata: { name: "c" } });
  await http("POST", `${inside}/pods`, pod("p", { nodeName: "node-1" }));
  const marked = (await http("DELETE", inside)).body;
  expect(marked).toMatchObject({ kind: "Namespace", status: { phase: "Terminating" } });
  expect((await http("GET", `${inside}/configmaps/c`)).code).toBe(404);
  const refused = await http("POST", `${inside}/configmaps`, { metadata: { name: "d" } });
  expect([refused.code, refused.body.reason]).toEqual([403, "Forbidden"]);
  await http("DELETE", `${inside}/pods/p?gracePeriodSeconds=0`);
  expect((await http("GET", inside)).code).toBe(404);
});

test("an object needs its namespace, and default cannot be deleted", async () => {
  const lost = await http("POST", "/api/v1/namespaces/nowhere/pods", pod("a"));
  expect(lost.body).toMatchObject({ code: 404, details: { kind: "namespaces", name: "nowhere" } });
  expect((await http("DELETE", "/api/v1/namespaces/default")).code).toBe(403);
});

test("a collection is deleted as far as its selector reaches", async () => {
  for (const [name, tier] of [
    ["a", "web"],
    ["b", "web"],
    ["c", "db"],
  ]) {
    await http("POST", pods, pod(name ?? "", {}, { labels: { tier } }));
  }
  expect((await http("DELETE", `${pods}?labelSelector=tier%3Dweb`)).body.items).toHaveLength(2);
  expect(server.store.list("pods").map(({ metadata }) => metadata.name)).toEqual(["c"]);
});

test("a dry run writes nothing", async () => {
  expect((await http("POST", `${pods}?dryRun=All`, pod("a"))).code).toBe(201);
  expect((await http("GET", `${pods}/a`)).code).toBe(404);
});

test.each([
  ["malformed JSON", "POST", pods, "{", 400, "BadRequest"],
  ["a body that is a list", "POST", pods, "[]", 400, "BadRequest"],
  [
    "another kind",
    "POST",
    pods,
    { apiVersion: "v1", kind: "Service", metadata: { name: "a" } },
    400,
    "BadRequest",
  ],
  ["another namespace", "POST", pods, pod("a", {}, { namespace: "other" }), 400, "BadRequest"],
  ["a label that is a number", "POST", pods, pod("a", {}, { labels: { a: 1 } }), 400, "BadRequest"],
  ["no containers", "POST", pods, { metadata: { name: "a" } }, 422, "Invalid"],
  ["a name in capitals", "POST", pods, pod("A"), 422, "Invalid"],
  ["an unknown resource", "GET", "/api/v1/namespaces/default/widgets", undefined, 404, "NotFound"],
  ["an unknown group", "GET", "/apis/example.com/v1/widgets", undefined, 404, "NotFound"],
  ["a method the resource has not", "POST", "/api/v1/pods", pod("a"), 405, "MethodNotAllowed"],
  ["a body over 3 MiB", "POST", pods, "x".repeat(3 * 1024 * 1024 + 1), 413, "RequestEntityTooLarge"],
] as const)("%s is refused", async (_what, method, path, body, code, reason) => {
  const answer = await http(method, path, body);
  expect(answer.body).toMatchObject({ kind: "Status", apiVersion: "v1", status: "Failure", code, reason });
  expect(answer.code).toBe(code);
});

test("a YAML body is read, a malformed one is a 400", async () => {
  const yaml = { "content-type": "application/yaml" };
  const text = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: c}\ndata: {when: 2001-01-01}\n";
  const path = "/api/v1/namespaces/default/configmaps";
  expect((await http("POST", path, text, yaml)).body.data).toEqual({ when: "2001-01-01" });
  expect((await http("POST", path, "a: [", yaml)).body).toMatchObject({ code: 400, reason: "BadRequest" });
});

test("a namespace that is empty but has a finalizer stays until the finalizer goes", async () => {
  await http("POST", "/api/v1/namespaces", { metadata: { name: "team", finalizers: ["example.com/hold"] } });
  const held = (await http("DELETE", "/api/v1/namespaces/team")).body;
  expect(held.status.phase).toBe("Terminating");
  await http("PUT", "/api/v1/namespaces/team", { ...held, metadata: { ...held.metadata, finalizers: [] } });
  expect((await http("GET", "/api/v1/namespaces/team")).code).toBe(404);
});

test("a Secret's text is kept as base64", async () => {
  const secret = { metadata: { name: "s" }, data: { a: "YQ==" }, stringData: { b: "b" } };
  const { body } = await http("POST", "/api/v1/namespaces/default/secrets", secret);
  expect(body).toMatchObject({ type: "Opaque", data: { a: "YQ==", b: "Yg==" } });
  expect(body.stringData).toBeUndefined();
});

test("over HTTP a new object has no status but a Node, in the same process it has what it is given", async () => {
  const status = { phase: "Running", conditions: [] };
  expect((await http("POST", pods, { ...pod("a"), status })).body.status.phase).toBe("Pending");
  const node = await http("POST", "/api/v1/nodes", { metadata: { name: "n" }, status: { conditions: [] } });
  expect(node.body.status).toEqual({ conditions: [] });
  const made = server.store.create("pods", { ...pod("b"), metadata: { name: "b" }, status });
  expect(made.status).toMatchObject(status);
});

test("what the store hands out cannot be changed", () => {
  const made = server.store.create("pods", { ...pod("a"), metadata: { name: "a", labels: { a: "b" } } });
  expect(() => Object.assign(made.metadata.labels ?? {}, { a: "c" })).toThrow(TypeError);
  expect(server.store.get("pods", "default", "a").metadata.labels).toEqual({ a: "b" });
});
