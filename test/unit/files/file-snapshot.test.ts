import { describe, expect, it } from "vitest";
import { toSnapshot } from "../../../agent/files/file-snapshot.ts";
import { parseManifests } from "../../../agent/files/manifests.ts";

function cluster(text: string, namespace?: string) {
  const { manifests } = parseManifests([{ name: "f", text, named: true }]);
  return toSnapshot(manifests, namespace);
}

const service = (name: string, spec: string) =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}, namespace: a}\nspec: ${spec}\n---\n`;

describe("the cluster that files describe", () => {
  it("holds every kind the agent reads, parsed as the agent parses it", () => {
    const { snapshot } = cluster(`
apiVersion: v1
kind: Namespace
metadata: {name: payments}
---
apiVersion: v1
kind: Pod
metadata: {name: billing, namespace: payments, annotations: {k8s.ngrok.com/tier: gold}}
---
apiVersion: v1
kind: Node
metadata: {name: worker-1}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s, namespace: payments, labels: {kubernetes.io/service-name: ledger}}
endpoints: [{addresses: [192.0.2.9]}]
ports: [{port: 8080}]
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: g, namespace: payments}
spec: {from: [{group: podgate.dev, kind: ConnectionPolicy, namespace: a}], to: [{group: "", kind: Service}]}
---
apiVersion: ngrok.k8s.ngrok.com/v1alpha1
kind: CloudEndpoint
metadata: {name: e}
spec: {url: "http://ledger.payments", bindings: [kubernetes], trafficPolicy: {targetRef: {name: p}}}
---
apiVersion: ngrok.k8s.ngrok.com/v1alpha1
kind: NgrokTrafficPolicy
metadata: {name: p}
spec: {policy: {on_tcp_connect: []}}
---
apiVersion: podgate.dev/v1alpha1
kind: ConnectionPolicy
metadata: {name: c, namespace: payments}
spec: {targetRefs: [{name: ledger}], trafficPolicy: {inline: {}}}
`);
    expect([...snapshot.namespaces.keys()]).toEqual(["payments"]);
    expect(snapshot.localPods).toMatchObject([
      { uid: "Pod/payments/billing", annotations: new Map([["k8s.ngrok.com/tier", "gold"]]) },
    ]);
    expect(snapshot.nodes).toEqual([{ name: "worker-1", addresses: ["192.0.2.1"] }]);
    expect(snapshot.endpointSlices).toMatchObject([{ serviceName: "ledger", addresses: ["192.0.2.9"] }]);
    expect(snapshot.referenceGrants).toMatchObject([{ namespace: "payments", from: [{ namespace: "a" }] }]);
    expect(snapshot.endpoints).toMatchObject([
      { kind: "CloudEndpoint", namespace: "default", policy: { kind: "reference", name: "p" } },
    ]);
    expect(snapshot.trafficPolicies).toMatchObject([{ namespace: "default", value: { on_tcp_connect: [] } }]);
    expect(snapshot.connectionPolicies).toMatchObject([{ targets: [{ service: "ledger" }] }]);
  });

  it("gives each Service without an address one of its own, but none to a headless one or an ExternalName", () => {
    const { snapshot } = cluster(
      service("one", "{ports: [{port: 80}]}") +
        service("two", "{ports: [{port: 80}]}") +
        service("given", "{clusterIP: 192.0.2.7}") +
        service("headless", "{clusterIP: None}") +
        service("outside", "{type: ExternalName, externalName: example.com}"),
    );
    const ips = Object.fromEntries(snapshot.services.map(({ name, clusterIps }) => [name, clusterIps]));
    expect(ips).toEqual({
      one: ["198.18.0.1"],
      two: ["198.18.0.2"],
      given: ["192.0.2.7"],
      headless: [],
      outside: [],
    });
  });

  it("has the later of two objects of one name", () => {
    const { snapshot, objects } = cluster(
      service("s", "{clusterIP: 192.0.2.1}") + service("s", "{clusterIP: 192.0.2.2}"),
    );
    expect(snapshot.services.map(({ clusterIps }) => clusterIps)).toEqual([["192.0.2.2"]]);
    expect(objects).toHaveLength(2);
  });

  it("applies objects that name no namespace to the one given", () => {
    const { snapshot } = cluster("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "sandbox");
    expect(snapshot.pods).toMatchObject([{ namespace: "sandbox", name: "a" }]);
  });

  it.each([
    ["{apiVersion: apps/v1, kind: Deployment}", { kind: "other" }],
    ["{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: x}}", { kind: "other" }],
    ["{on_tcp_connect: []}", { kind: "policy" }],
    ["{inbound: []}", { kind: "policy" }],
    ["[1]", { kind: "unknown" }],
    ["{replicas: 3}", { kind: "unknown" }],
    [
      "{apiVersion: ngrok.com/v1, kind: CloudEndpoint, metadata: {name: x}}",
      { kind: "misfit", path: "apiVersion" },
    ],
    ["{apiVersion: v1, kind: Service, metadata: {}}", { kind: "misfit", path: "metadata.name" }],
    ["{apiVersion: v1, kind: Service}", { kind: "misfit", path: "metadata" }],
  ])("knows what %s is", (text, expected) => {
    expect(cluster(text).objects).toMatchObject([expected]);
  });

  it("says what is odd about an object by its field", () => {
    const { objects } = cluster(service("s", '{ports: [{port: "80"}]}'));
    expect(objects).toMatchObject([
      { problems: [{ path: "spec.ports[0].port" }, { path: "spec.ports[0]", problem: "has no port" }] },
    ]);
  });
});
