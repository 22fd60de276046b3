import { readdirSync } from "node:fs";
import { evaluate } from "@marcbachmann/cel-js";
import { describe, expect, test } from "vitest";
import { chartFile, chartFolder, type Manifest } from "./helm.ts";

const crds: Manifest[] = readdirSync(`${chartFolder}/crds`).map((file) => chartFile(`crds/${file}`));
const byKind = (kind: string): Manifest => crds.find((crd) => crd.spec.names.kind === kind);
const versionOf = (crd: Manifest): Manifest => crd.spec.versions[0];
const schemaOf = (crd: Manifest): Manifest => versionOf(crd).schema.openAPIV3Schema;

/** Every schema inside `schema`, with the path that leads to it. */
function* schemas(schema: Manifest, path = ""): Generator<{ path: string; schema: Manifest }> {
  yield { path, schema };
  for (const [name, child] of Object.entries(schema.properties ?? {}))
    yield* schemas(child, `${path}.${name}`);
  if (schema.items !== undefined) yield* schemas(schema.items, `${path}[]`);
}

const schemaAt = (crd: Manifest, path: string): Manifest =>
  [...schemas(schemaOf(crd))].find((found) => found.path === path)?.schema;

/** The rules of the schema at `path` that refuse `self`; what the API server would say. */
function refusals(kind: string, path: string, self: object): string[] {
  const rules: Manifest[] = schemaAt(byKind(kind), path)["x-kubernetes-validations"];
  return rules.filter(({ rule }) => evaluate(rule, { self }) !== true).map(({ message }) => message);
}

test("ngrok's kinds have ngrok's names, so that kubectl commands from its documents work", () => {
  const names = Object.fromEntries(
    crds.map((crd) => [crd.metadata.name, [crd.spec.names.shortNames ?? [], crd.spec.names.categories]]),
  );
  expect(names).toEqual({
    "agentendpoints.ngrok.k8s.ngrok.com": [["aep"], ["networking", "ngrok"]],
    "cloudendpoints.ngrok.k8s.ngrok.com": [["clep"], ["networking", "ngrok"]],
    "ngroktrafficpolicies.ngrok.k8s.ngrok.com": [[], ["networking", "ngrok"]],
    "connectionpolicies.podgate.dev": [["connpol"], ["networking", "podgate"]],
  });
});

describe.each(crds.map((crd) => [crd.metadata.name as string, crd]))("%s", (name, crd) => {
  test("is named after its plural and group, namespaced, with one stored version v1alpha1", () => {
    expect(name).toBe(`${crd.spec.names.plural}.${crd.spec.group}`);
    expect(crd.spec.scope).toBe("Namespaced");
    expect(crd.spec.versions).toHaveLength(1);
    expect(versionOf(crd)).toMatchObject({
      name: "v1alpha1",
      served: true,
      storage: true,
      subresources: { status: {} },
    });
  });

  test("is structural: every field has a type or says that it keeps what it does not know", () => {
    for (const { path, schema } of schemas(schemaOf(crd))) {
      const known = schema.type !== undefined || schema["x-kubernetes-preserve-unknown-fields"] === true;
      expect(known, `${name} ${path}`).toBe(true);
    }
  });

  test("keeps conditions as a map by type", () => {
    const conditions = schemaAt(crd, ".status.conditions");
    expect(conditions["x-kubernetes-list-type"]).toBe("map");
    expect(conditions["x-kubernetes-list-map-keys"]).toEqual(["type"]);
  });

  test("has printer columns that point at fields that exist", () => {
    const known = [...schemas(schemaOf(crd))].map(({ path }) => path);
    for (const { jsonPath } of versionOf(crd).additionalPrinterColumns) {
      const path = jsonPath.replace(/\[[^\]]*\]/g, "[]");
      expect([...known, ".metadata.creationTimestamp"], jsonPath).toContain(path);
    }
  });

  test("keeps a policy document whole, whatever is in it", () => {
    const documents = [...schemas(schemaOf(crd))].filter(({ path }) =>
      /^\.spec\..*\b(inline|policy)$/.test(path),
    );
    expect(documents.length).toBeGreaterThan(0);
    for (const { schema } of documents) expect(schema["x-kubernetes-preserve-unknown-fields"]).toBe(true);
  });
});

const policy = { on_tcp_connect: [] };
const targetRef = { name: "shared" };
test.each([
  ["AgentEndpoint", { inline: policy }, true],
  ["AgentEndpoint", { policy }, true],
  ["AgentEndpoint", { targetRef }, true],
  ["AgentEndpoint", {}, false],
  ["AgentEndpoint", { inline: policy, targetRef }, false],
  ["AgentEndpoint", { inline: policy, policy }, false],
  ["CloudEndpoint", { policy }, true],
  ["CloudEndpoint", { inline: policy }, true],
  ["CloudEndpoint", { inline: policy, targetRef }, false],
  ["ConnectionPolicy", { inline: policy }, true],
  ["ConnectionPolicy", { targetRef }, true],
  ["ConnectionPolicy", {}, false],
  ["ConnectionPolicy", { inline: policy, targetRef }, false],
])("%s with trafficPolicy %j is accepted: %s", (kind, trafficPolicy, accepted) => {
  expect(refusals(kind, ".spec.trafficPolicy", trafficPolicy)).toHaveLength(accepted ? 0 : 1);
});

test.each<[string, object[], string[]]>([
  ["two Services", [{ name: "a" }, { name: "b" }], []],
  [
    "two ports of one Service",
    [
      { name: "a", sectionName: "x" },
      { name: "a", sectionName: "y" },
    ],
    [],
  ],
  [
    "one Service twice",
    [{ name: "a" }, { name: "a" }],
    ["targetRefs must not name one Service or port twice"],
  ],
  [
    "one port twice",
    [{ name: "a", sectionName: "x" }, { name: "b" }, { name: "a", sectionName: "x" }],
    ["targetRefs must not name one Service or port twice"],
  ],
  [
    "a Service and one of its ports",
    [{ name: "a", sectionName: "x" }, { name: "a" }],
    ["targetRefs must name a Service as a whole or by its ports, not both"],
  ],
])("a ConnectionPolicy for %s is refused with %j", (_title, targetRefs, messages) => {
  expect(refusals("ConnectionPolicy", ".spec.targetRefs", targetRefs)).toEqual(messages);
});

test("a ConnectionPolicy's columns say what it does before they say how it is", () => {
  const columns: Manifest[] = versionOf(byKind("ConnectionPolicy")).additionalPrinterColumns;
  expect(columns.filter(({ priority }) => priority === undefined).map(({ name }) => name)).toEqual([
    "Mode",
    "Target",
    "Accepted",
    "Age",
  ]);
});

test("tlsTermination is accepted on a tls url only", () => {
  const tlsTermination = { serverCertificateRef: { name: "cert" } };
  expect(refusals("AgentEndpoint", ".spec", { url: "tls://db.shop", tlsTermination })).toEqual([]);
  expect(refusals("AgentEndpoint", ".spec", { url: "http://db.shop" })).toEqual([]);
  expect(refusals("AgentEndpoint", ".spec", { url: "http://db.shop", tlsTermination })).toEqual([
    "tlsTermination needs a tls:// url",
  ]);
});
