/** The policies of objects: whether they can be read, whether their object can use them, and what is risky in them. */
import { field, isRecord } from "../cluster/fields.ts";
import { policySource } from "../cluster/parse-policy-source.ts";
import type { FileCluster } from "../files/file-snapshot.ts";
import type { Manifest } from "../files/manifests.ts";
import type { ReadObject } from "../files/objects.ts";
import { unfit } from "../guard/validity.ts";
import type { Diagnostic } from "../model/diagnostic.ts";
import { type ConnectionPolicy, type Endpoint, nameKey, type PolicySource } from "../model/objects.ts";
import { type LintContext, lintPolicy } from "../policy/lint.ts";
import { HTTP_RULES, parsePolicy } from "../policy/parse.ts";
import type { ParseResult, Policy } from "../policy/policy.ts";
import { parseInternalUrl, parseUpstreamUrl } from "../policy/url.ts";

export interface LintedPolicy {
  readonly manifest: Manifest;
  readonly diagnostics: readonly Diagnostic[];
  /** Absent for an NgrokTrafficPolicy, which guards nothing itself. */
  readonly endpoint?: {
    readonly object: Endpoint | ConnectionPolicy;
    /** Undefined where there is none that can be run. */
    readonly policy: Policy | undefined;
    readonly readsPod: boolean;
    /** Where `policy` stands in the object; undefined where another object has it. */
    readonly path: string | undefined;
  };
}

type Owner = Extract<ReadObject, { readonly object: Endpoint | ConnectionPolicy }>;
type Shared = Extract<ReadObject, { readonly kind: "NgrokTrafficPolicy" }>;

/**
 * What a policy matters to Podgate: it guards; it is about pods, but guards nothing as things are; it is on its own;
 * or it is about something else and none of our business.
 */
type Bearing = (typeof BEARINGS)[number];

/** Of a policy that several objects use, the first that holds for one of them counts. */
const BEARINGS = ["guards", "unbound", "alone", "elsewhere"] as const;

export function barePolicy(value: unknown, context: LintContext): readonly Diagnostic[] {
  return policyDiagnostics(parsePolicy(value, ""), "", "alone", context);
}

export function policiesOf(
  { objects, snapshot }: FileCluster,
  context: LintContext,
): readonly LintedPolicy[] {
  const owners = objects.filter(isOwner);
  const shared = new Map(
    objects.flatMap((object) =>
      object.kind === "NgrokTrafficPolicy"
        ? [
            [
              nameKey(object.metadata),
              { object, result: parsePolicy(object.object.value, SHARED_PATH) },
            ] as const,
          ]
        : [],
    ),
  );
  const bearings = new Map<string, Bearing[]>();
  const owned = owners.map((owner): LintedPolicy => {
    const source = writtenSource(owner);
    if (source.kind !== "reference") {
      const result = source.kind === "inline" ? parsePolicy(source.value, source.path) : undefined;
      return lintOwner(owner, result, source, context);
    }
    const key = `${owner.metadata.namespace}/${source.name}`;
    const result = shared.get(key)?.result;
    const bearing = bearingOf(owner.object, result);
    bearings.set(key, [...(bearings.get(key) ?? []), bearing]);
    const linted = lintOwner(owner, result, source, context);
    // With none of them among the files, they are elsewhere; with some, this one was meant to be.
    const missing = result === undefined && snapshot.trafficPolicies.length > 0;
    return missing ? { ...linted, diagnostics: [...linted.diagnostics, noPolicy(key, source)] } : linted;
  });
  return [
    ...owned,
    ...[...shared].map(([key, each]) => lintShared(each.object, each.result, bearings.get(key), context)),
  ];
}

const SHARED_PATH = "spec.policy";

function isOwner(object: FileCluster["objects"][number]): object is Owner {
  return (
    object.kind === "AgentEndpoint" || object.kind === "CloudEndpoint" || object.kind === "ConnectionPolicy"
  );
}

/** The policy's text, also where another field is so wrong that the object denies: all mistakes are told at once. */
function writtenSource({ object, manifest }: Owner): PolicySource {
  const spec = field(manifest.value, "spec");
  return object.policy.kind === "malformed" && isRecord(spec) ? policySource(spec) : object.policy;
}

function lintOwner(
  { manifest, object }: Owner,
  result: ParseResult | undefined,
  source: PolicySource,
  context: LintContext,
): LintedPolicy {
  const inline = source.kind === "inline" ? source.path : undefined;
  const bearing = bearingOf(object, result);
  const policy = result?.ok === true ? result.policy : undefined;
  const diagnostics: Diagnostic[] = [];
  if (inline !== undefined && result !== undefined) {
    diagnostics.push(...policyDiagnostics(result, inline, bearing, context));
  }
  const place = "path" in source ? source.path : "spec";
  if (policy !== undefined || source.kind === "none")
    diagnostics.push(...fitness(object, policy, bearing, place));
  if (bearing === "unbound") diagnostics.push(unbound(object, place));
  const readsPod = result === undefined ? false : readsPodOf(result);
  return { manifest, diagnostics, endpoint: { object, policy, readsPod, path: inline } };
}

function lintShared(
  { manifest }: Shared,
  result: ParseResult,
  users: readonly Bearing[] = [],
  context: LintContext,
): LintedPolicy {
  const strictest = BEARINGS.find((bearing) => users.includes(bearing));
  return { manifest, diagnostics: policyDiagnostics(result, SHARED_PATH, strictest ?? "alone", context) };
}

function bearingOf(object: Endpoint | ConnectionPolicy, result: ParseResult | undefined): Bearing {
  if (object.kind === "ConnectionPolicy") return "guards";
  if (object.guardUpstream || object.bindings.includes("kubernetes")) return "guards";
  if (result === undefined || !readsPodOf(result)) return "elsewhere";
  const upstream = object.upstreamUrl === undefined ? undefined : parseUpstreamUrl(object.upstreamUrl);
  if (upstream instanceof Error) return "guards";
  return upstream?.service === undefined ? "unbound" : "guards";
}

function readsPodOf(result: ParseResult): boolean {
  return result.ok ? result.policy.readsPod : result.readsPod;
}

function policyDiagnostics(
  result: ParseResult,
  path: string,
  bearing: Bearing,
  context: LintContext,
): readonly Diagnostic[] {
  if (bearing === "elsewhere") return [];
  if (result.ok) return [...result.warnings, ...lintPolicy(result.policy, path, context)];
  return result.diagnostics.map((each) =>
    // Elsewhere than on an endpoint that guards, ngrok runs them.
    each.code === HTTP_RULES && bearing !== "guards" ? { ...each, severity: "warning" } : each,
  );
}

/** What the kind of object demands of its policy. */
function fitness(
  object: Endpoint | ConnectionPolicy,
  policy: Policy | undefined,
  bearing: Bearing,
  path: string,
): readonly Diagnostic[] {
  const found: Diagnostic[] = [];
  if (bearing === "guards" && object.policy.kind !== "malformed") {
    const why = unfit(object, policy ?? NO_RULES);
    const coded = why === undefined ? undefined : /^(ERR_NGROK_\d+): (.*)$/s.exec(why);
    if (why !== undefined) {
      found.push({
        severity: "error",
        code: coded?.[1] ?? "PODGATE_UNFIT",
        path,
        message: coded?.[2] ?? why,
      });
    }
  }
  if (object.kind !== "ConnectionPolicy" && policy !== undefined && policy.rules.length > 0) {
    const url = parseInternalUrl(object.url);
    if (!(url instanceof Error) && (url.scheme === "http" || url.scheme === "https")) {
      const message =
        "ngrok refuses on_tcp_connect rules on an internal http endpoint, here they run: write a tcp or tls url for both";
      found.push({ severity: "warning", code: "ERR_NGROK_2262", path: "spec.url", message });
    }
  }
  return found;
}

const NO_RULES: Policy = { rules: [], scope: "namespace", reads: new Set(), readsPod: false, cost: 0 };

function unbound({ kind }: Endpoint | ConnectionPolicy, path: string): Diagnostic {
  const message =
    kind === "CloudEndpoint"
      ? "the policy is about pods, but the endpoint is not bound to kubernetes and guards nothing: write bindings: [kubernetes]"
      : "the policy is about pods, but neither the url nor the upstream is a Service, so it guards nothing: write bindings: [kubernetes], or a Service as upstream";
  return { severity: "warning", code: "PODGATE_NOT_BOUND", path, message };
}

function noPolicy(key: string, { path }: Extract<PolicySource, { kind: "reference" }>): Diagnostic {
  const message = `NgrokTrafficPolicy ${key} is not among the files, and without it every connection is denied: add it or change the name`;
  return { severity: "warning", code: "PODGATE_NO_POLICY", path, message };
}
