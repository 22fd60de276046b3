/** What is wrong with an object apart from its policy: fields nobody reads, urls, where it goes. */
import { field, isRecord } from "../cluster/fields.ts";
import type { FileObject, ReadObject } from "../files/objects.ts";
import type { Diagnostic } from "../model/diagnostic.ts";
import type { ConnectionPolicy, Endpoint } from "../model/objects.ts";
import { childPath } from "../policy/json-path.ts";
import { parseEndpointUrl } from "../policy/url.ts";

export function checkObject(
  object: FileObject,
  options: { readonly namespace: string | undefined },
): readonly Diagnostic[] {
  switch (object.kind) {
    case "policy":
    case "other":
      return [];
    case "unknown": {
      // A directory may hold anything; a file that was named is meant to say something.
      const message =
        "this is neither a Kubernetes object nor a policy: write apiVersion and kind, or on_tcp_connect";
      return object.manifest.file.named ? [error("PODGATE_UNKNOWN_DOCUMENT", "", message)] : [];
    }
    case "misfit":
      return [error("PODGATE_OBJECT", object.path, object.problem)];
    default:
      return [
        ...fieldProblems(object),
        ...unknownFields(object),
        ...(object.kind === "ConnectionPolicy" ? repeatedTargets(object.object) : []),
        ...(options.namespace === undefined ? namespaceAssumed(object) : []),
        ...(object.kind === "AgentEndpoint" || object.kind === "CloudEndpoint"
          ? boundScheme(object.object)
          : []),
      ];
  }
}

/** Of an object that has a policy they are errors, because it then denies; of any other, something is left out. */
function fieldProblems(object: ReadObject): readonly Diagnostic[] {
  const problems = new Map(
    object.problems.map(({ path, problem }) => [`${path}: ${problem}`, { path, problem }]),
  );
  const source =
    typeof object.object === "object" && "policy" in object.object ? object.object.policy : undefined;
  if (source?.kind === "malformed") {
    problems.set(`${source.path}: ${source.message}`, { path: source.path, problem: source.message });
  }
  const severity = hasPolicy(object) ? "error" : "warning";
  return [...problems.values()].map(({ path, problem }) => ({
    severity,
    code: "PODGATE_OBJECT",
    path,
    message: `${path}: ${problem}`,
  }));
}

/** Fields of `spec`, as the custom resource definitions have them. */
const SPEC_FIELDS: Readonly<Record<string, readonly string[]>> = {
  AgentEndpoint: [
    "url",
    "upstream",
    "trafficPolicy",
    "bindings",
    "description",
    "metadata",
    "clientCertificateRefs",
    "tlsTermination",
  ],
  CloudEndpoint: [
    "url",
    "trafficPolicy",
    "trafficPolicyName",
    "bindings",
    "poolingEnabled",
    "description",
    "metadata",
  ],
  NgrokTrafficPolicy: ["policy"],
  ConnectionPolicy: ["targetRefs", "trafficPolicy", "mode", "onAgentDown"],
};

/** Fields beside `spec`, of every kind. */
const OBJECT_FIELDS: readonly string[] = ["apiVersion", "kind", "metadata", "spec", "status"];

/** A misspelt or misplaced `trafficPolicy` leaves an endpoint without one, and an API server may drop it without a word. */
function unknownFields({ kind, manifest }: ReadObject): readonly Diagnostic[] {
  const known = SPEC_FIELDS[kind];
  if (known === undefined) return [];
  const outside = unknownKeys(manifest.value, OBJECT_FIELDS).map((key) =>
    error(
      "PODGATE_UNKNOWN_FIELD",
      childPath("", key),
      known.includes(key)
        ? `\`${key}\` is outside spec, where nobody reads it: indent it to be in spec`
        : `${kind} has no field \`${key}\` beside spec: remove it`,
    ),
  );
  const inside = unknownKeys(field(manifest.value, "spec"), known).map((key) =>
    error(
      "PODGATE_UNKNOWN_FIELD",
      childPath("spec", key),
      `${kind} has no field \`${key}\`: use ${known.join(", ")} or remove it`,
    ),
  );
  return [...outside, ...inside];
}

function unknownKeys(value: unknown, known: readonly string[]): readonly string[] {
  return isRecord(value) ? Object.keys(value).filter((key) => !known.includes(key)) : [];
}

/** As the custom resource definition demands: an API server refuses them. */
function repeatedTargets({ targets }: ConnectionPolicy): readonly Diagnostic[] {
  const repeated = targets.some(({ service, port }, index) =>
    targets
      .slice(index + 1)
      .some((other) => other.service === service && (!port || !other.port || port === other.port)),
  );
  const message = "spec.targetRefs: names a Service or port twice: name it once, as a whole or by its ports";
  return repeated ? [error("PODGATE_OBJECT", "spec.targetRefs", message)] : [];
}

function namespaceAssumed(object: ReadObject): readonly Diagnostic[] {
  if (!object.namespaceAssumed || !hasPolicy(object)) return [];
  const message =
    "the object goes to whatever namespace is current, and outside its own namespace it guards only from a trusted " +
    "one: write metadata.namespace, or pass --namespace";
  return [warning("PODGATE_NO_NAMESPACE", "metadata", message)];
}

export function hasPolicy({ kind }: ReadObject): boolean {
  return SPEC_FIELDS[kind] !== undefined;
}

/** ngrok refuses https for kubernetes-bound endpoints, and a url without a scheme is an https url. */
function boundScheme(endpoint: Endpoint): readonly Diagnostic[] {
  if (!endpoint.bindings.includes("kubernetes")) return [];
  const url = parseEndpointUrl(endpoint.url);
  if (url instanceof Error || url.scheme !== "https") return [];
  const why = endpoint.url.includes("://") ? "" : " (which a url without a scheme means)";
  const message = `ngrok refuses https${why} in a kubernetes-bound url, here it guards port ${url.port ?? url.defaultPort}: write http, tls or tcp`;
  return [warning("ERR_NGROK_18018", "spec.url", message)];
}

function error(code: string, path: string, message: string): Diagnostic {
  return { severity: "error", code, path, message };
}

function warning(code: string, path: string, message: string): Diagnostic {
  return { severity: "warning", code, path, message };
}
