import { afterEach, beforeEach, expect, test } from "vitest";
import type { KubeObject } from "../../lab/apiserver/object.ts";
import { type ApiServer, startApiServer } from "../../lab/apiserver/server.ts";
import { call, pod } from "./client.ts";

let server: ApiServer;
beforeEach(async () => {
  server = await startApiServer();
});
afterEach(() => server.close());

const get = (path: string) => call(server.url, "GET", path);
const names = (body: { items: KubeObject[] }) => body.items.map(({ metadata }) => metadata.name);

function makePods(...pods: readonly [name: string, spec?: object, labels?: object][]): void {
  for (const [name, spec, labels] of pods) {
    server.store.create("pods", { ...pod(name, { ...spec }), metadata: { name, labels: { ...labels } } });
  }
}

test("a list carries the version it was read at", async () => {
  makePods(["a"], ["b"]);
  const { body } = await get("/api/v1/pods");
  expect(body).toMatchObject({ kind: "PodList", apiVersion: "v1" });
  expect(body.metadata.resourceVersion).toBe(String(server.store.history.version));
  expect(names(body)).toEqual(["a", "b"]);
});

test("a list reaches one namespace or all", async () => {
  makePods(["a"]);
  server.store.create("pods", { ...pod("b"), metadata: { name: "b", namespace: "kube-system" } });
  expect(names((await get("/api/v1/namespaces/kube-system/pods")).body)).toEqual(["b"]);
  expect(names((await get("/api/v1/pods")).body)).toEqual(["a", "b"]);
});

test("pages are of one version, whatever is written between them", async () => {
  makePods(["a"], ["b"], ["c"], ["d"], ["e"]);
  const first = (await get("/api/v1/pods?limit=2")).body;
  expect([names(first), first.metadata.remainingItemCount]).toEqual([["a", "b"], 3]);
  makePods(["bb"]);
  server.store.delete("pods", "default", "d");
  server.store.modify("pods", "default", "e", ({ metadata }) => {
    metadata.labels = { changed: "yes" };
  });
  const second = (await get(`/api/v1/pods?limit=2&continue=${first.metadata.continue}`)).body;
  const third = (await get(`/api/v1/pods?limit=2&continue=${second.metadata.continue}`)).body;
  expect([...names(second), ...names(third)]).toEqual(["c", "d", "e"]);
  expect(third.items[0].metadata.labels).toEqual({});
  expect(third.metadata.continue).toBeUndefined();
  expect(third.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
});

test("a page after compaction is a 410, and so is a list of a version that is gone", async () => {
  makePods(["a"], ["b"]);
  const { metadata } = (await get("/api/v1/pods?limit=1")).body;
  server.faults.compact();
  expect((await get(`/api/v1/pods?limit=1&continue=${metadata.continue}`)).body).toMatchObject({
    code: 410,
    reason: "Expired",
  });
  const exact = `/api/v1/pods?resourceVersion=${metadata.resourceVersion}&resourceVersionMatch=Exact`;
  expect((await get(exact)).code).toBe(410);
});

test("an exact version shows the list as it was, a future one is refused for now", async () => {
  makePods(["a"]);
  const version = server.store.history.version;
  makePods(["b"]);
  const then = await get(`/api/v1/pods?resourceVersion=${version}&resourceVersionMatch=Exact`);
  expect(names(then.body)).toEqual(["a"]);
  expect(names((await get(`/api/v1/pods?resourceVersion=${version}`)).body)).toEqual(["a", "b"]);
  const future = await get("/api/v1/pods?resourceVersion=99999");
  expect([future.code, future.body.reason, future.headers.get("retry-after")]).toEqual([504, "Timeout", "1"]);
});

test.each([
  ["labelSelector=tier=web", ["a", "b"]],
  ["labelSelector=tier==web,zone=1", ["a"]],
  ["labelSelector=tier!=web", ["c", "d"]],
  ["labelSelector=tier in (web,db),zone", ["a"]],
  ["labelSelector=tier notin (web)", ["c", "d"]],
  ["labelSelector=!tier", ["d"]],
  ["fieldSelector=spec.nodeName=node-1", ["a", "c"]],
  ["fieldSelector=spec.nodeName=", ["b", "d"]],
  ["fieldSelector=metadata.name!=a,status.phase=Pending", ["b", "c", "d"]],
  ["fieldSelector=spec.hostNetwork=true", ["d"]],
  ["fieldSelector=spec.hostNetwork=false&labelSelector=tier", ["a", "b", "c"]],
])("%s selects %j", async (query, expected) => {
  makePods(
    ["a", { nodeName: "node-1" }, { tier: "web", zone: "1" }],
    ["b", {}, { tier: "web" }],
    ["c", { nodeName: "node-1" }, { tier: "db" }],
    ["d", { hostNetwork: true }],
  );
  expect(names((await get(`/api/v1/pods?${encodeURI(query)}`)).body)).toEqual(expected);
});

test.each([
  "labelSelector=a=b=c",
  "labelSelector=in (a)",
  "fieldSelector=spec.containers=a",
  "fieldSelector=metadata.name",
  "limit=x",
  "continue=nonsense",
  "resourceVersion=abc",
])("%s is a 400", async (query) => {
  expect((await get(`/api/v1/pods?${encodeURI(query)}`)).body).toMatchObject({
    code: 400,
    reason: "BadRequest",
  });
});

test("the versions of a kind show the same objects", async () => {
  const spec = { from: [], to: [] };
  const path = "/apis/gateway.networking.k8s.io/v1beta1/namespaces/default/referencegrants";
  await call(server.url, "POST", path, { metadata: { name: "g" }, spec });
  const stable = (await get("/apis/gateway.networking.k8s.io/v1/namespaces/default/referencegrants")).body;
  expect(stable.items[0]).toMatchObject({
    apiVersion: "gateway.networking.k8s.io/v1",
    metadata: { name: "g" },
  });
  expect((await get(`${path}/g`)).body.apiVersion).toBe("gateway.networking.k8s.io/v1beta1");
});
