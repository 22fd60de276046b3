import { expect, test } from "vitest";
import { withControllers } from "../../../agent/files/controllers.ts";
import { toSnapshot } from "../../../agent/files/file-snapshot.ts";
import { parseManifests } from "../../../agent/files/manifests.ts";

function snapshotOf(text: string) {
  return withControllers(toSnapshot(parseManifests([{ name: "f.yaml", text, named: true }]).manifests));
}

const service = (ports: string, selector = "{app: web}") =>
  `{apiVersion: v1, kind: Service, metadata: {namespace: a, name: web}, spec: {selector: ${selector}, ports: ${ports}}}`;
const pod = (name: string, rest = "") =>
  `{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: ${name}, labels: {app: web, tier: front}}${rest}}`;
const apart = (...documents: string[]) => documents.join("\n---\n");

test("pods without an address get one each; written ones, and pods on their node's network, stay as they are", () => {
  const { pods, localPods } = snapshotOf(
    apart(
      pod("one"),
      pod("two"),
      pod("three", ", status: {podIP: 192.0.2.1}"),
      pod("four", ", spec: {hostNetwork: true}"),
    ),
  );
  expect(pods.map(({ ips }) => ips)).toEqual([["198.19.0.1"], ["198.19.0.2"], ["192.0.2.1"], []]);
  expect(localPods).toBe(pods);
});

test("a Service leads to the pods that its selector chooses, at the ports that its own lead to", () => {
  const { endpointSlices } = snapshotOf(
    apart(
      service(
        "[{port: 80, name: web, targetPort: 8080}, {port: 81, name: same}, {port: 82, name: word, targetPort: adm}]",
      ),
      pod("one", ", spec: {containers: [{ports: [{name: adm, containerPort: 9000}]}]}"),
      pod("two"),
      pod("done", ", status: {phase: Succeeded, podIP: 192.0.2.1}"),
      pod("other").replace("app: web", "app: db"),
      pod("elsewhere").replace("namespace: a", "namespace: b"),
    ),
  );
  expect(
    endpointSlices.map(({ addresses, ports }) => [
      addresses,
      ports.map(({ name, port }) => `${name} ${port}`),
    ]),
  ).toEqual([
    [["198.19.0.1"], ["web 8080", "same 81", "word 9000"]],
    [["198.19.0.2"], ["web 8080", "same 81"]],
  ]);
});

test("a Service without a selector, or whose slices are written, leads where it says", () => {
  expect(snapshotOf(apart(service("[{port: 80}]", "{}"), pod("one"))).endpointSlices).toEqual([]);
  const slice =
    "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {namespace: a, name: s, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, endpoints: [{addresses: [192.0.2.9]}], ports: [{port: 1}]}";
  const { endpointSlices } = snapshotOf(apart(service("[{port: 80}]"), pod("one"), slice));
  expect(endpointSlices.map(({ name }) => name)).toEqual(["s"]);
});
