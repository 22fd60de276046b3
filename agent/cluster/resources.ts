/** Which resources the agent watches, where they are served and how they are read. */
import type { PolicyObject } from "../model/objects.ts";
import { readConditions } from "./conditions.ts";
import { parseConnectionPolicy } from "./parse-connection-policy.ts";
import { parseAgentEndpoint, parseCloudEndpoint } from "./parse-endpoint.ts";
import { parseEndpointSlice } from "./parse-endpoint-slice.ts";
import { parseNamespace } from "./parse-namespace.ts";
import { parseNode } from "./parse-node.ts";
import { parseLocalPod, parsePod } from "./parse-pod.ts";
import { parseReferenceGrant } from "./parse-reference-grant.ts";
import { parseService } from "./parse-service.ts";
import { parseTrafficPolicy } from "./parse-traffic-policy.ts";
import type { Resource } from "./reflector.ts";

const NGROK = "ngrok.k8s.ngrok.com";
const PODGATE = "podgate.dev";
const GATEWAY = "gateway.networking.k8s.io";

function core<T>(name: string, parse: Resource<T>["parse"]): Resource<T> {
  return { name, paths: [`/api/v1/${name}`], parse };
}

/** A resource of a CRD, which may be installed later or never. */
function custom<T>(
  plural: string,
  group: string,
  versions: readonly [string, ...string[]],
  parse: Resource<T>["parse"],
): Resource<T> {
  const [first, ...others] = versions.map((version) => `/apis/${group}/${version}/${plural}`);
  return { name: `${plural}.${group}`, paths: [first ?? "", ...others], custom: true, parse };
}

export const pods = core("pods", parsePod);

export function localPods(nodeName: string) {
  const query = { fieldSelector: `spec.nodeName=${nodeName}` };
  return { ...core("pods", parseLocalPod), label: "pods of this node", query };
}

export const nodes = core("nodes", parseNode);
export const namespaces = core("namespaces", parseNamespace);
export const services = core("services", parseService);
export const endpointSlices: Resource<ReturnType<typeof parseEndpointSlice>> = {
  name: "endpointslices.discovery.k8s.io",
  paths: ["/apis/discovery.k8s.io/v1/endpointslices"],
  parse: parseEndpointSlice,
};
/** v1beta1 is what nearly every installed Gateway API has; newer ones may serve v1 alone. */
export const referenceGrants = custom("referencegrants", GATEWAY, ["v1beta1", "v1"], parseReferenceGrant);
export const trafficPolicies = custom("ngroktrafficpolicies", NGROK, ["v1alpha1"], parseTrafficPolicy);
export const agentEndpoints = {
  ...custom("agentendpoints", NGROK, ["v1alpha1"], parseAgentEndpoint),
  conditions: readConditions,
};
export const cloudEndpoints = {
  ...custom("cloudendpoints", NGROK, ["v1alpha1"], parseCloudEndpoint),
  conditions: readConditions,
};
export const connectionPolicies = {
  ...custom("connectionpolicies", PODGATE, ["v1alpha1"], parseConnectionPolicy),
  conditions: readConditions,
};

/** The kinds whose status the agent writes. */
export type PolicyKind = "AgentEndpoint" | "CloudEndpoint" | "ConnectionPolicy";
export type PolicyRef = Pick<PolicyObject, "namespace" | "name" | "uid"> & { readonly kind: PolicyKind };

const policyResources: Readonly<Record<PolicyKind, Resource<PolicyObject>>> = {
  AgentEndpoint: agentEndpoints,
  CloudEndpoint: cloudEndpoints,
  ConnectionPolicy: connectionPolicies,
};

export function resourceOf(kind: PolicyKind): Resource<PolicyObject> {
  return policyResources[kind];
}

/** Path of one object, at the version that is read. */
export function objectPath({ kind, namespace, name }: PolicyRef): string {
  const [collection] = resourceOf(kind).paths;
  const at = collection.lastIndexOf("/");
  const plural = collection.slice(at + 1);
  return `${collection.slice(0, at)}/namespaces/${encodeURIComponent(namespace)}/${plural}/${encodeURIComponent(name)}`;
}
