/** Lint on texts, with results short enough to write down. */
import { parseManifests } from "../../../agent/files/manifests.ts";
import { DEFAULT_PREFIXES } from "../../../agent/identity/annotations.ts";
import { type LintOptions, lint } from "../../../agent/lint/lint.ts";
import type { PlacedDiagnostic } from "../../../agent/policy/yaml.ts";

export const M = "conn.k8s.pod.metadata";

/** `named`: on the command line, not found in a directory. */
export function lintText(
  text: string,
  over: Partial<LintOptions> = {},
  named = true,
): readonly PlacedDiagnostic[] {
  const manifests = parseManifests([{ name: "f", text, named }]);
  return lint(manifests, {
    namespace: "default",
    trustedNamespaces: new Set(["default", "kube-system"]),
    annotationPrefixes: DEFAULT_PREFIXES,
    ...over,
  }).diagnostics;
}

/** `warning PODGATE_X line: the offending text`. */
export function told(text: string, over: Partial<LintOptions> = {}): string[] {
  return lintText(text, over).map(
    ({ severity, code, position, span }) =>
      `${severity} ${code} ${position.line}: ${text.slice(span.start, span.end)}`,
  );
}

/**
 * A bare policy of rules `expression ;; expression => action`, one on each line from the second; nothing before `=>`:
 * every connection.
 */
export function rules(...lines: readonly string[]): string {
  return `on_tcp_connect:\n${lines.map((line) => `  - ${JSON.stringify(rule(line))}\n`).join("")}`;
}

function rule(line: string): object {
  const [, before = "", action = ""] = /^(.*)=>(.*)$/s.exec(line) ?? [];
  const type = action.trim();
  const config = type === "forward-internal" ? { config: { url: "http://ledger.payments.internal" } } : {};
  const actions = [{ type, ...config }];
  if (before.trim() === "") return { actions };
  return { expressions: before.split(";;").map((each) => each.trim()), actions };
}

/** A CloudEndpoint for Service ledger in payments. */
export function endpoint(
  lines: readonly string[],
  spec: object = {},
  metadata: object = { namespace: "payments" },
): string {
  return manifest("CloudEndpoint", metadata, {
    url: "http://ledger.payments",
    bindings: ["kubernetes"],
    trafficPolicy: { inline: { on_tcp_connect: lines.map(rule) } },
    ...spec,
  });
}

/** An object in JSON, a field of its spec on each line; what is undefined is left out. */
export function manifest(kind: string, metadata: object, spec: object): string {
  const apiVersion = API_VERSIONS[kind] ?? "ngrok.k8s.ngrok.com/v1alpha1";
  const fields = Object.entries(spec).filter(([, value]) => value !== undefined);
  const lines = fields.map(([key, value]) => `  ${key}: ${JSON.stringify(value)}\n`).join("");
  return `---\napiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: ${JSON.stringify({ name: "ledger", ...metadata })}\nspec:\n${lines}`;
}

const API_VERSIONS: Readonly<Record<string, string>> = {
  ConnectionPolicy: "podgate.dev/v1alpha1",
  Namespace: "v1",
  Service: "v1",
  ReferenceGrant: "gateway.networking.k8s.io/v1beta1",
};
