import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { type ApiServer, startApiServer } from "../../lab/apiserver/server.ts";
import { call } from "./client.ts";
import { agentEndpointCrd } from "./crd.ts";

let server: ApiServer;
beforeAll(async () => {
  server = await startApiServer();
  server.store.create("customresourcedefinitions.apiextensions.k8s.io", parse(agentEndpointCrd));
});
afterAll(() => server.close());

const get = async (path: string) => (await call(server.url, "GET", path)).body;

test("/version, /healthz and /readyz answer", async () => {
  expect(await get("/version")).toMatchObject({ major: "1" });
  for (const path of ["/healthz", "/livez", "/readyz"]) expect(await get(path)).toBe("ok");
});

test("/api and /apis name the groups and their versions, preferred first", async () => {
  expect(await get("/api")).toMatchObject({ kind: "APIVersions", versions: ["v1"] });
  const { kind, groups } = await get("/apis");
  expect(kind).toBe("APIGroupList");
  const gateway = groups.find(({ name }: { name: string }) => name === "gateway.networking.k8s.io");
  expect(gateway.versions.map(({ version }: { version: string }) => version)).toEqual(["v1beta1", "v1"]);
  expect(gateway.preferredVersion.version).toBe("v1beta1");
  expect(await get("/apis/gateway.networking.k8s.io")).toMatchObject({ kind: "APIGroup", ...gateway });
});

test("a resource list names resources, subresources, short names and categories", async () => {
  const core = await get("/api/v1");
  expect(core).toMatchObject({ kind: "APIResourceList", groupVersion: "v1" });
  const names = core.resources.map(({ name }: { name: string }) => name);
  expect(names).toEqual(
    expect.arrayContaining(["pods", "pods/log", "pods/status", "services", "nodes/status"]),
  );
  const custom = await get("/apis/ngrok.k8s.ngrok.com/v1alpha1");
  expect(custom.resources[0]).toMatchObject({
    name: "agentendpoints",
    singularName: "agentendpoint",
    namespaced: true,
    kind: "AgentEndpoint",
    shortNames: ["aep"],
    categories: ["ngrok"],
  });
});

test("what is not served has no list, and documents cannot be written", async () => {
  for (const path of [
    "/api/v2",
    "/apis/example.com",
    "/apis/discovery.k8s.io/v2",
    "/openapi/v3/apis/example.com/v1",
  ]) {
    expect((await call(server.url, "GET", path)).code).toBe(404);
  }
  expect((await call(server.url, "POST", "/apis", {})).code).toBe(405);
});

test("OpenAPI names every kind and offers fieldValidation for writing it", async () => {
  const { paths } = await get("/openapi/v3");
  const path = "apis/ngrok.k8s.ngrok.com/v1alpha1";
  expect(Object.keys(paths)).toEqual(expect.arrayContaining(["api/v1", "apis/discovery.k8s.io/v1", path]));
  const document = await get(paths[path].serverRelativeURL);
  const schema = document.components.schemas["ngrok.k8s.ngrok.com.v1alpha1.AgentEndpoint"];
  const gvk = { group: "ngrok.k8s.ngrok.com", version: "v1alpha1", kind: "AgentEndpoint" };
  expect(schema["x-kubernetes-group-version-kind"]).toEqual([gvk]);
  expect(schema.properties.spec.properties.url.description).toBe("Where it listens.");
  const item = document.paths[`/${path}/namespaces/{namespace}/agentendpoints/{name}`];
  expect(item.patch["x-kubernetes-group-version-kind"]).toEqual(gvk);
  expect(item.patch.parameters).toContainEqual(
    expect.objectContaining({ name: "fieldValidation", in: "query" }),
  );
});

test("the kubeconfig points at the server", () => {
  const config = parse(server.kubeconfig());
  expect(config.clusters[0].cluster.server).toBe(server.url);
  expect(config["current-context"]).toBe(config.contexts[0].name);
});
