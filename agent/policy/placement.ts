/** Where a policy's verdicts can be made: beforehand for the kernel, or by the proxy when there is a connection; and why. */
import type { Policy, PolicyAction, Rule, Scope, SubjectScope, Template } from "./policy.ts";
import { TERMINATE_TLS } from "./terminate-tls-action.ts";
import { CHANCE } from "./variables.ts";

/** What a variable's value hangs on. */
type Source =
  /** On nothing, or on what is the same for every connection that a policy is asked about. */
  | "nothing"
  | "namespace"
  | "pod"
  /** Its address, in the family of the destination. */
  | "address"
  | "destination"
  | "connection";

const SOURCES: ReadonlyMap<string, Source> = new Map<string, Source>([
  // Equal for every pod of a namespace whose identity is whole: error_code and error_message are "" for all of them.
  // (A pod with ERR_NGROK_28000 is judged on its own whatever a policy reads.)
  ["conn.k8s.pod.metadata.namespace", "namespace"],
  ["conn.k8s.pod.metadata.error_code", "namespace"],
  ["conn.k8s.pod.metadata.error_message", "namespace"],
  ["conn.k8s.namespace.labels", "namespace"],
  // Verdicts are made on each node for its own pods.
  ["conn.k8s.node.name", "namespace"],
  ["conn.client_ip", "address"],
  ["conn.server_ip", "destination"],
  ["conn.server_port", "destination"],
  ["conn.server_region", "nothing"],
  ["conn.client_port", "connection"],
  ["conn.ts.start", "connection"],
  ["time.now", "connection"],
  [CHANCE, "connection"],
  [TERMINATE_TLS, "connection"],
]);

/** Rather too much than too little: what is not listed is the pod's. */
function sourceOf(name: string): Source {
  const source = SOURCES.get(name);
  if (source !== undefined) return source;
  // What they were set from has been counted where it was read.
  if (/^(vars|actions|endpoint)\b/.test(name) || name.startsWith("conn.geo")) return "nothing";
  return "pod";
}

/** Whether only a connection that exists has it; anything else that is unknown may become known before. */
export function isOfConnection(name: string): boolean {
  return sourceOf(name) === "connection";
}

export function scopeOfReads(reads: ReadonlySet<string>): Scope {
  return [...reads].some(isOfConnection) ? "dynamic" : subjectScope({ reads });
}

/** For whom verdicts are made beforehand: for each namespace or each pod. Of a dynamic policy as far as they can be. */
export function subjectScope(policy: Pick<Policy, "reads">): SubjectScope {
  const sources = new Set([...policy.reads].map(sourceOf));
  return sources.has("pod") || sources.has("address") ? "pod" : "namespace";
}

/** What of a destination a policy's verdict hangs on. */
export interface DestinationNeeds {
  readonly family: boolean;
  readonly serverIp: boolean;
  readonly serverPort: boolean;
}

export function destinationNeeds(policy: Pick<Policy, "reads" | "rules">): DestinationNeeds {
  const fallsBack = policy.rules.some(({ actions }) =>
    actions.some((action) => action.type === "forward-internal" && action.continueOnError),
  );
  return {
    // A forward may lead somewhere in one family and nowhere in the other.
    family: policy.reads.has("conn.client_ip") || fallsBack,
    serverIp: policy.reads.has("conn.server_ip"),
    serverPort: policy.reads.has("conn.server_port"),
  };
}

export interface Placement {
  readonly where: "kernel, per namespace" | "kernel, per pod" | "proxy";
  /** What of the policy makes it so, for people: `it reads conn.client_port (rule 2)`. */
  readonly why: string;
}

export function placement(policy: Pick<Policy, "reads" | "rules" | "scope">): Placement {
  const reads = [...policy.reads].filter((name) => !/^(vars|actions)\b/.test(name)).sort();
  if (policy.scope === "dynamic") {
    return { where: "proxy", why: because(reads, ["connection"], policy.rules) };
  }
  if (policy.scope === "pod") {
    return { where: "kernel, per pod", why: because(reads, ["pod", "address"], policy.rules) };
  }
  const decisive = reads.filter((name) => sourceOf(name) === "namespace");
  const why =
    decisive.length > 0 ? because(reads, ["namespace"], policy.rules) : "it reads nothing of the caller";
  return { where: "kernel, per namespace", why };
}

function because(reads: readonly string[], sources: readonly Source[], rules: readonly Rule[]): string {
  const decisive = reads.filter((name) => sources.includes(sourceOf(name)));
  const phrases = decisive.map((name) => {
    const rule = rules.find((candidate) => readsIn(candidate).has(name));
    const place = rule === undefined ? "" : ` (rule ${rule.index})`;
    if (name === CHANCE) return `it asks rand${place}`;
    return name === TERMINATE_TLS ? `it terminates TLS${place}` : `it reads ${name}${place}`;
  });
  return phrases.join(", ");
}

/** Everything that one rule reads. */
function readsIn({ expressions, actions }: Rule): ReadonlySet<string> {
  const reads = new Set(expressions.flatMap((expression) => [...expression.reads]));
  for (const action of actions) {
    if (action.type === "terminate-tls") reads.add(TERMINATE_TLS);
    if (action.type === "restrict-ips") reads.add("conn.client_ip");
    for (const template of templatesOf(action)) for (const name of template.reads) reads.add(name);
  }
  return reads;
}

function templatesOf(action: PolicyAction): readonly Template[] {
  switch (action.type) {
    case "deny":
    case "close-connection":
      return [];
    case "forward-internal":
      return [action.url];
    case "log":
      return [action.metadata];
    case "set-vars":
      return action.vars.map(({ value }) => value);
    case "restrict-ips":
      return [...action.allow, ...action.deny].filter((range) => "reads" in range);
    case "terminate-tls":
      return [...(action.pair ? [action.pair.certificate, action.pair.key] : []), ...action.authorities];
  }
}
