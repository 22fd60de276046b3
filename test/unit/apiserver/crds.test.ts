import { afterEach, beforeEach, expect, test } from "vitest";
import { parse } from "yaml";
import type { JsonObject } from "../../lab/apiserver/json.ts";
import { type ApiServer, startApiServer } from "../../lab/apiserver/server.ts";
import { call, watch } from "./client.ts";
import { agentEndpointCrd } from "./crd.ts";

let server: ApiServer;
beforeEach(async () => {
  server = await startApiServer();
});
afterEach(() => server.close());

const crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const crdName = "agentendpoints.ngrok.k8s.ngrok.com";
const endpoints = "/apis/ngrok.k8s.ngrok.com/v1alpha1/namespaces/default/agentendpoints";
const http = (method: string, path: string, body?: unknown) => call(server.url, method, path, body);
const define = () => http("POST", crds, parse(agentEndpointCrd));
const create = (spec: JsonObject, name = "web", query = "") =>
  http("POST", endpoints + query, { metadata: { name }, spec });

test("a kind is served from the moment its CRD is there, and no longer than it is", async () => {
  expect((await http("GET", endpoints)).code).toBe(404);
  const defined = await define();
  expect(defined.code).toBe(201);
  expect(defined.body.status.conditions).toContainEqual(
    expect.objectContaining({ type: "Established", status: "True" }),
  );
  expect((await http("GET", endpoints)).body).toMatchObject({ kind: "AgentEndpointList", items: [] });
  expect((await http("GET", "/apis")).body.groups).toContainEqual(
    expect.objectContaining({ name: "ngrok.k8s.ngrok.com" }),
  );
  await create({ url: "http://a.b" });
  await http("DELETE", `${crds}/${crdName}`);
  expect((await http("GET", endpoints)).code).toBe(404);
  expect((await http("GET", "/apis/ngrok.k8s.ngrok.com")).code).toBe(404);
});

test("with the CRD go its objects, whose watches hear of it and end", async () => {
  await define();
  await create({ url: "http://a.b" });
  const version = server.store.history.version;
  const stream = await watch(server.url, `${endpoints}?watch=true&resourceVersion=${version}`);
  await http("DELETE", `${crds}/${crdName}`);
  expect((await stream.next()).type).toBe("DELETED");
  expect(await stream.nextLine()).toBe("end");
});

test("an object with a finalizer keeps its CRD, and is still served", async () => {
  await define();
  const metadata = { name: "held", finalizers: ["example.com/hold"] };
  await http("POST", endpoints, { metadata, spec: { url: "http://a.b" } });
  expect((await http("DELETE", `${crds}/${crdName}`)).body.metadata.deletionTimestamp).toBeDefined();
  const held = (await http("GET", `${endpoints}/held`)).body;
  await http("PUT", `${endpoints}/held`, { ...held, metadata: { ...held.metadata, finalizers: [] } });
  expect((await http("GET", `${crds}/${crdName}`)).code).toBe(404);
});

test("unknown fields are pruned, except where the schema keeps them; defaults come in", async () => {
  await define();
  const trafficPolicy = { inline: { on_tcp_connect: [{ anything: true }] } };
  const { body } = await create({ url: "http://a.b", bindngs: ["x"], trafficPolicy, metadata: { a: "b" } });
  expect(body.spec).toEqual({ url: "http://a.b", bindings: ["public"], trafficPolicy, metadata: { a: "b" } });
});

test("fieldValidation=Strict refuses unknown fields, Warn says so, Ignore does not", async () => {
  await define();
  const spec = { url: "http://a.b", upstream: { url: "http://c", prot: 1 } };
  const strict = await create(spec, "web", "?fieldValidation=Strict");
  expect(strict.body).toMatchObject({ code: 400, reason: "BadRequest" });
  expect(strict.body.message).toContain('strict decoding error: unknown field "spec.upstream.prot"');
  const warned = await create(spec, "web", "?fieldValidation=Warn");
  expect([warned.code, warned.headers.get("warning")]).toEqual([
    201,
    '299 - "unknown field \\"spec.upstream.prot\\""',
  ]);
  expect((await create(spec, "other", "?fieldValidation=Ignore")).headers.get("warning")).toBeNull();
});

test.each([
  ["a required field", {}, "spec.url: Required value"],
  [
    "a type",
    { url: 1 },
    'spec.url: Invalid value: "integer": spec.url in body must be of type string: "integer"',
  ],
  [
    "an enum",
    { url: "a", bindings: ["x"] },
    'spec.bindings[0]: Unsupported value: "x": supported values: "kubernetes"',
  ],
  [
    "maxItems",
    { url: "a", bindings: ["public", "public"] },
    "spec.bindings in body should have at most 1 items",
  ],
  ["a pattern", { url: "a", upstream: { url: "b" } }, "spec.upstream.url in body should match '^[a-z]+://'"],
  ["a maximum", { url: "a", weight: 101 }, "less than or equal to 100"],
  ["int-or-string", { url: "a", port: true }, "must be of type integer,string"],
  ["values of a map", { url: "a", metadata: { b: 1 } }, "spec.metadata.b in body must be of type string"],
  ["null", { url: "a", upstream: { url: null } }, "spec.upstream.url in body must be of type string"],
])("%s is checked", async (_what, spec, message) => {
  await define();
  const { body } = await create(spec);
  expect(body).toMatchObject({
    code: 422,
    reason: "Invalid",
    details: { kind: "AgentEndpoint", name: "web" },
  });
  expect(body.message).toContain(message);
});

test("what may be null, an integer or a string passes", async () => {
  await define();
  const upstream = { url: "http://c", protocol: null };
  expect((await create({ url: "a", port: 80, upstream })).code).toBe(201);
  expect((await create({ url: "a", port: "http", weight: 0 }, "b")).code).toBe(201);
});

test("every violation is told at once", async () => {
  await define();
  const { body } = await create({ bindings: ["x"], upstream: {} });
  expect(body.details.causes.map(({ field }: { field: string }) => field).sort()).toEqual([
    "spec.bindings[0]",
    "spec.upstream.url",
    "spec.url",
  ]);
});

test("status is its own, and generation counts the spec alone", async () => {
  await define();
  const made = (
    await http("POST", endpoints, { metadata: { name: "web" }, spec: { url: "a" }, status: { a: 1 } })
  ).body;
  expect(made.status).toBeUndefined();
  const ready = (
    await http("PUT", `${endpoints}/web/status`, { ...made, spec: { url: "b" }, status: { a: 1 } })
  ).body;
  expect([ready.status, ready.spec.url, ready.metadata.generation]).toEqual([{ a: 1 }, "a", 1]);
  const moved = (await http("PUT", `${endpoints}/web`, { ...ready, spec: { url: "b" }, status: { a: 2 } }))
    .body;
  expect([moved.status, moved.spec.url, moved.metadata.generation]).toEqual([{ a: 1 }, "b", 2]);
});

test("a custom resource is only replaced with its version", async () => {
  await define();
  const made = (await create({ url: "a" })).body;
  const { resourceVersion: _, ...metadata } = made.metadata;
  const answer = await http("PUT", `${endpoints}/web`, { ...made, metadata });
  expect(answer.body.message).toContain(
    "metadata.resourceVersion: Required value: must be specified for an update",
  );
});

test("a changed CRD changes what is served", async () => {
  const defined = (await define()).body;
  const changed = structuredClone(defined);
  changed.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.extra = { type: "string" };
  expect((await http("PUT", `${crds}/${crdName}`, changed)).code).toBe(200);
  expect((await create({ url: "a", extra: "kept" })).body.spec.extra).toBe("kept");
});

test.each([
  [
    "a name that is not PLURAL.GROUP",
    (crd: JsonObject) => ({ ...crd, metadata: { name: "a.b" } }),
    "metadata.name",
  ],
  [
    "no versions",
    (crd: JsonObject) => ({ ...crd, spec: { ...(crd.spec as JsonObject), versions: [] } }),
    "spec.versions: Required value",
  ],
  [
    "a pattern that does not compile",
    (crd: JsonObject) => JSON.parse(JSON.stringify(crd).replace("^[a-z]+", "[")),
    "must be a valid regular expression",
  ],
])("a CRD with %s is refused", async (_what, change, message) => {
  const { body } = await http("POST", crds, change(parse(agentEndpointCrd)));
  expect(body).toMatchObject({ code: 422, reason: "Invalid" });
  expect(body.message).toContain(message);
});

test("a strategic merge patch of a custom resource is a 415", async () => {
  await define();
  await create({ url: "a" });
  const type = { "content-type": "application/strategic-merge-patch+json" };
  expect((await call(server.url, "PATCH", `${endpoints}/web`, { spec: { url: "b" } }, type)).code).toBe(415);
});
