import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { jsonPatch, mergePatch } from "../../lab/apiserver/patch-json.ts";
import { strategicPatch } from "../../lab/apiserver/patch-strategic.ts";
import { type ApiServer, startApiServer } from "../../lab/apiserver/server.ts";
import { call, pod } from "./client.ts";

test.each([
  ["objects merge", { a: { b: 1, c: 2 } }, { a: { b: 3 } }, { a: { b: 3, c: 2 } }],
  ["null removes", { a: 1, b: 2 }, { a: null }, { b: 2 }],
  ["lists are replaced", { a: [1, 2] }, { a: [3] }, { a: [3] }],
  ["nulls inside something new are no values", {}, { a: { b: null, c: 1 } }, { a: { c: 1 } }],
  ["a value becomes an object", { a: 1 }, { a: { b: 1 } }, { a: { b: 1 } }],
])("merge patch: %s", (_what, target, patch, expected) => {
  expect(mergePatch(target, patch)).toEqual(expected);
});

test("merge patch: __proto__ is a field like any other", () => {
  const merged = mergePatch({}, JSON.parse('{"__proto__":{"polluted":1}}')) as Record<string, unknown>;
  expect(Object.keys(merged)).toEqual(["__proto__"]);
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
});

const list = { a: ["x", "y"], "b/c": { "~d": 1 } };

test.each([
  ["add at an index", [{ op: "add", path: "/a/1", value: "z" }], { ...list, a: ["x", "z", "y"] }],
  ["add at the end", [{ op: "add", path: "/a/-", value: "z" }], { ...list, a: ["x", "y", "z"] }],
  ["replace an element", [{ op: "replace", path: "/a/0", value: "z" }], { ...list, a: ["z", "y"] }],
  ["remove", [{ op: "remove", path: "/a" }], { "b/c": { "~d": 1 } }],
  ["escaped names", [{ op: "replace", path: "/b~1c/~0d", value: 2 }], { ...list, "b/c": { "~d": 2 } }],
  ["move", [{ op: "move", from: "/a", path: "/e" }], { "b/c": { "~d": 1 }, e: ["x", "y"] }],
  ["copy", [{ op: "copy", from: "/a/0", path: "/a/-" }], { ...list, a: ["x", "y", "x"] }],
  [
    "test, then add",
    [
      { op: "test", path: "/a/0", value: "x" },
      { op: "add", path: "/e", value: 1 },
    ],
    { ...list, e: 1 },
  ],
])("JSON patch: %s", (_what, patch, expected) => {
  expect(jsonPatch(list, patch)).toEqual(expected);
});

test.each([
  [[{ op: "remove", path: "/nothing" }], 422],
  [[{ op: "replace", path: "/a/7", value: 1 }], 422],
  [[{ op: "add", path: "/a/01", value: 1 }], 422],
  [[{ op: "test", path: "/a/0", value: "y" }], 422],
  [[{ op: "frobnicate", path: "/a" }], 400],
  [[{ op: "add", value: 1 }], 400],
  [[{ op: "add", path: "a", value: 1 }], 400],
  [{ op: "remove", path: "/a" }, 400],
])("JSON patch %j is refused with %i", (patch, code) => {
  expect(() => jsonPatch(list, patch)).toThrow(expect.objectContaining({ code }));
});

const containers = [
  { name: "a", image: "a:1", ports: [{ containerPort: 80, name: "http" }] },
  { name: "b", image: "b:1" },
];

test.each([
  [
    "list elements merge by their key",
    { containers },
    { containers: [{ name: "b", image: "b:2" }] },
    { containers: [containers[0], { name: "b", image: "b:2" }] },
  ],
  [
    "nested lists too",
    { containers },
    { containers: [{ name: "a", ports: [{ containerPort: 80, name: "web" }, { containerPort: 81 }] }] },
    {
      containers: [
        { name: "a", image: "a:1", ports: [{ containerPort: 80, name: "web" }, { containerPort: 81 }] },
        { name: "b", image: "b:1" },
      ],
    },
  ],
  [
    "$patch: delete removes an element",
    { containers },
    { containers: [{ name: "a", $patch: "delete" }] },
    { containers: [containers[1]] },
  ],
  [
    "$patch: replace replaces the list",
    { containers },
    { containers: [{ name: "c" }, { $patch: "replace" }] },
    { containers: [{ name: "c" }] },
  ],
  [
    "$patch: replace replaces an object",
    { a: { b: 1 } },
    { a: { c: 2, $patch: "replace" } },
    { a: { c: 2 } },
  ],
  [
    "$setElementOrder orders",
    { containers },
    {
      containers: [{ name: "c" }],
      "$setElementOrder/containers": [{ name: "c" }, { name: "b" }, { name: "a" }],
    },
    { containers: [{ name: "c" }, containers[1], containers[0]] },
  ],
  [
    "$retainKeys drops the others",
    { strategy: { type: "A", a: 1 } },
    { strategy: { $retainKeys: ["type"], type: "B" } },
    { strategy: { type: "B" } },
  ],
  ["sets grow", { finalizers: ["a"] }, { finalizers: ["b"] }, { finalizers: ["a", "b"] }],
  [
    "and shrink",
    { finalizers: ["a", "b"] },
    { "$deleteFromPrimitiveList/finalizers": ["a"] },
    { finalizers: ["b"] },
  ],
  [
    "lists without a key are replaced",
    { tolerations: [{ key: "a" }] },
    { tolerations: [{ key: "b" }] },
    { tolerations: [{ key: "b" }] },
  ],
  ["null removes", { a: 1, b: 2 }, { a: null }, { b: 2 }],
  [
    "conditions merge by type",
    {
      conditions: [
        { type: "Ready", status: "False" },
        { type: "Other", status: "True" },
      ],
    },
    { conditions: [{ type: "Ready", status: "True" }] },
    {
      conditions: [
        { type: "Ready", status: "True" },
        { type: "Other", status: "True" },
      ],
    },
  ],
])("strategic merge patch: %s", (_what, target, patch, expected) => {
  expect(strategicPatch(target, patch, "Pod")).toEqual(expected);
});

test("strategic merge patch: Service ports go by port, an EndpointSlice's are replaced", () => {
  const target = { ports: [{ port: 80, name: "http" }] };
  const patch = { ports: [{ port: 81, name: "more" }] };
  expect(strategicPatch(target, patch, "Service")).toEqual({ ports: [...target.ports, ...patch.ports] });
  expect(strategicPatch(target, patch, "EndpointSlice")).toEqual(patch);
});

describe("over HTTP", () => {
  let server: ApiServer;
  beforeEach(async () => {
    server = await startApiServer();
    server.store.create("pods", { ...pod("a"), metadata: { name: "a" } });
  });
  afterEach(() => server.close());

  const path = "/api/v1/namespaces/default/pods/a";
  const send = (type: string, body: unknown, query = "", at = path) =>
    call(server.url, "PATCH", at + query, body, { "content-type": type });

  test("a patch changes the object, and a status patch the status alone", async () => {
    const labels = { metadata: { labels: { tier: "web" } } };
    expect((await send("application/merge-patch+json", labels)).body.metadata.labels).toEqual({
      tier: "web",
    });
    const status = { ...labels, metadata: { labels: { tier: "db" } }, status: { phase: "Running" } };
    const { body } = await send("application/strategic-merge-patch+json", status, "", `${path}/status`);
    expect([body.status.phase, body.metadata.labels]).toEqual(["Running", { tier: "web" }]);
  });

  test("a patch with an older version is a conflict", async () => {
    const patch = { metadata: { resourceVersion: "1", labels: { a: "b" } } };
    expect((await send("application/merge-patch+json", patch)).body).toMatchObject({
      code: 409,
      reason: "Conflict",
    });
  });

  test("a patch cannot rename an object or give it another uid", async () => {
    expect((await send("application/merge-patch+json", { metadata: { name: "b" } })).code).toBe(400);
    expect((await send("application/merge-patch+json", { metadata: { uid: "b" } })).code).toBe(409);
  });

  test("an unknown patch type is a 415, a missing object a 404", async () => {
    expect((await send("application/json", {})).body).toMatchObject({
      code: 415,
      reason: "UnsupportedMediaType",
    });
    expect((await send("application/merge-patch+json", {}, "", `${path}b`)).code).toBe(404);
  });

  test("apply needs a field manager and creates what is not there", async () => {
    const type = "application/apply-patch+yaml";
    const config = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c" }, data: { a: "1" } };
    const at = "/api/v1/namespaces/default/configmaps/c";
    expect((await send(type, config, "", at)).code).toBe(400);
    const { code, body } = await send(type, config, "?fieldManager=me", at);
    expect(code).toBe(201);
    expect(body.metadata.managedFields).toMatchObject([
      {
        manager: "me",
        operation: "Apply",
        apiVersion: "v1",
        fieldsType: "FieldsV1",
        fieldsV1: { "f:data": { "f:a": {} } },
      },
    ]);
    const again = await send(type, config, "?fieldManager=me", at);
    expect(again.body.metadata.resourceVersion).toBe(body.metadata.resourceVersion);
  });

  test("apply keeps a port that a Service has for two protocols", async () => {
    const ports = [
      { name: "dns", port: 53, protocol: "UDP" },
      { name: "dns-tcp", port: 53, protocol: "TCP" },
    ];
    const config = { apiVersion: "v1", kind: "Service", metadata: { name: "dns" }, spec: { ports } };
    const at = "/api/v1/namespaces/default/services/dns";
    for (const _ of ["created", "applied again"]) {
      const { body } = await send("application/apply-patch+yaml", config, "?fieldManager=me", at);
      expect(body.spec.ports).toMatchObject(ports);
    }
  });

  test("an applier's abandoned field goes, unless another applier has it", async () => {
    const at = "/api/v1/namespaces/default/configmaps/c";
    const apply = (manager: string, data: Record<string, string>) =>
      send(
        "application/apply-patch+yaml",
        { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c" }, data },
        `?fieldManager=${manager}`,
        at,
      );
    await apply("one", { a: "1", b: "1", c: "1" });
    await apply("two", { b: "1" });
    expect((await apply("one", { a: "1" })).body.data).toEqual({ a: "1", b: "1" });
    const clash = await apply("two", { a: "2" });
    expect(clash.body).toMatchObject({ code: 409, details: { causes: [{ field: ".data.a" }] } });
  });
});
