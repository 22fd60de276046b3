/** What the manifests of files are: Kubernetes objects as the agent would read them, or bare policy documents. */
import { type Fields, field, isRecord, text } from "../cluster/fields.ts";
import { type Metadata, type Parse, readMetadata } from "../cluster/metadata.ts";
import { parseConnectionPolicy } from "../cluster/parse-connection-policy.ts";
import { parseAgentEndpoint, parseCloudEndpoint } from "../cluster/parse-endpoint.ts";
import { parseEndpointSlice } from "../cluster/parse-endpoint-slice.ts";
import { parseNamespace } from "../cluster/parse-namespace.ts";
import { parseNode } from "../cluster/parse-node.ts";
import { parseLocalPod } from "../cluster/parse-pod.ts";
import { parseReferenceGrant } from "../cluster/parse-reference-grant.ts";
import { parseService } from "../cluster/parse-service.ts";
import { parseTrafficPolicy } from "../cluster/parse-traffic-policy.ts";
import type {
  ConnectionPolicy,
  Endpoint,
  EndpointSlice,
  LocalPod,
  Namespace,
  Node,
  ReferenceGrant,
  Service,
  TrafficPolicy,
} from "../model/objects.ts";
import type { Manifest } from "./manifests.ts";

/** What an odd field of an object is, by its JSON path inside the object ("" is the whole). */
export interface FieldProblem {
  readonly path: string;
  readonly problem: string;
}

interface Read<K extends string, T> {
  readonly kind: K;
  readonly manifest: Manifest;
  readonly metadata: Metadata;
  /** The file writes no metadata.namespace; `metadata.namespace` is the one it would be applied to. */
  readonly namespaceAssumed: boolean;
  readonly problems: readonly FieldProblem[];
  readonly object: T;
}

export type ReadObject =
  | Read<"AgentEndpoint" | "CloudEndpoint", Endpoint>
  | Read<"ConnectionPolicy", ConnectionPolicy>
  | Read<"NgrokTrafficPolicy", TrafficPolicy>
  | Read<"Namespace", Namespace>
  | Read<"Service", Service>
  | Read<"EndpointSlice", EndpointSlice>
  | Read<"ReferenceGrant", ReferenceGrant>
  | Read<"Pod", LocalPod>
  | Read<"Node", Node>;

export type FileObject =
  | ReadObject
  /** A policy on its own: `on_tcp_connect` at the top. */
  | { readonly kind: "policy"; readonly manifest: Manifest }
  /** An object of a kind that says nothing about connections, such as a Deployment. */
  | { readonly kind: "other"; readonly manifest: Manifest }
  /** One of the kinds above in an API group or without a name that nobody reads. */
  | { readonly kind: "misfit"; readonly manifest: Manifest; readonly path: string; readonly problem: string }
  /** Neither an object nor a policy. */
  | { readonly kind: "unknown"; readonly manifest: Manifest };

const NGROK = "ngrok.k8s.ngrok.com/v1alpha1";

interface KnownKind {
  readonly apiVersions: readonly string[];
  readonly namespaced: boolean;
  readonly parse: Parse<ReadObject["object"]>;
}

const KINDS: ReadonlyMap<string, KnownKind> = new Map([
  known("AgentEndpoint", [NGROK], true, parseAgentEndpoint),
  known("CloudEndpoint", [NGROK], true, parseCloudEndpoint),
  known("NgrokTrafficPolicy", [NGROK], true, parseTrafficPolicy),
  known("ConnectionPolicy", ["podgate.dev/v1alpha1"], true, parseConnectionPolicy),
  known("Namespace", ["v1"], false, parseNamespace),
  known("Service", ["v1"], true, parseService),
  known("Pod", ["v1"], true, parseLocalPod),
  known("Node", ["v1"], false, parseNode),
  known("EndpointSlice", ["discovery.k8s.io/v1"], true, parseEndpointSlice),
  known(
    "ReferenceGrant",
    ["gateway.networking.k8s.io/v1beta1", "gateway.networking.k8s.io/v1"],
    true,
    parseReferenceGrant,
  ),
]);

function known(
  kind: ReadObject["kind"],
  apiVersions: readonly string[],
  namespaced: boolean,
  parse: Parse<ReadObject["object"]>,
): [string, KnownKind] {
  return [kind, { apiVersions, namespaced, parse }];
}

/** `namespace`: where objects that name none would be applied. */
export function readObject(manifest: Manifest, namespace: string): FileObject {
  const { value } = manifest;
  if (!isRecord(value)) return { kind: "unknown", manifest };
  const kind = text(field(value, "kind"));
  const apiVersion = text(field(value, "apiVersion"));
  if (kind === undefined) return { kind: looksLikePolicy(value) ? "policy" : "unknown", manifest };
  const reader = KINDS.get(kind);
  if (reader === undefined) return { kind: "other", manifest };
  if (apiVersion === undefined || !reader.apiVersions.includes(apiVersion)) {
    // Service and Node are names that other API groups use too.
    if (!POLICY_KINDS.has(kind)) return { kind: "other", manifest };
    const problem = `${kind} is read from ${reader.apiVersions[0]} alone: write that`;
    return { kind: "misfit", manifest, path: apiVersion === undefined ? "kind" : "apiVersion", problem };
  }
  return readKnown(kind, reader, value, manifest, namespace);
}

const POLICY_KINDS: ReadonlySet<string> = new Set([
  "AgentEndpoint",
  "CloudEndpoint",
  "NgrokTrafficPolicy",
  "ConnectionPolicy",
]);

const POLICY_KEYS = [
  "on_tcp_connect",
  "on_http_request",
  "on_http_response",
  "on_event_stream_message",
  "inbound",
  "outbound",
];

function looksLikePolicy(value: Fields): boolean {
  return POLICY_KEYS.some((key) => Object.hasOwn(value, key));
}

function readKnown(
  kind: string,
  { namespaced, parse }: KnownKind,
  value: Fields,
  manifest: Manifest,
  namespace: string,
): FileObject {
  const written = field(value, "metadata");
  const name = text(field(written, "name"));
  if (!name) {
    const problem = "the object has no name: write metadata.name";
    return { kind: "misfit", manifest, path: isRecord(written) ? "metadata.name" : "metadata", problem };
  }
  const own = text(field(written, "namespace")) ?? "";
  const place = namespaced ? own || namespace : "";
  // Files have no uids; one that is always the same makes objects of equal name one object, as in a cluster.
  const uid = text(field(written, "uid")) || `${kind}/${place}/${name}`;
  const metadata = readMetadata({ metadata: { ...(written as Fields), name, namespace: place, uid } });
  if (metadata === undefined) return { kind: "unknown", manifest };
  const problems: FieldProblem[] = [];
  const object = parse(value, metadata, (path, problem) => problems.push({ path, problem }));
  const namespaceAssumed = namespaced && own === "";
  return { kind, manifest, metadata, namespaceAssumed, problems, object } as ReadObject;
}
