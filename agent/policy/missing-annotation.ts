/** Warns of rules that deny pods which lack an annotation: what is meant as a comparison fails where the key is missing. */
import { UNKNOWN } from "../model/connection.ts";
import type { Diagnostic } from "../model/diagnostic.ts";
import { childPath } from "./json-path.ts";
import type { Policy } from "./policy.ts";
import { variableValues } from "./variables.ts";

/** Everybody's common ground: a pod without a single annotation, of whose connection nothing is known. */
const bare = variableValues({
  identity: {
    kind: "pod",
    pod: {
      id: "",
      name: "",
      namespace: "",
      annotations: new Map(),
      labels: UNKNOWN,
      serviceAccount: "",
      nodeName: "",
      namespaceLabels: UNKNOWN,
      addresses: [],
      errorCode: "",
      errorMessage: "",
    },
  },
  connection: {
    client: { ip: UNKNOWN, port: UNKNOWN },
    server: { ip: UNKNOWN, port: UNKNOWN },
    start: UNKNOWN,
    now: UNKNOWN,
  },
  endpoint: { id: "", url: "", protocol: "", host: "", port: 0 },
});
/** What `bare` has values for. */
const KNOWN = /^conn\.k8s\.pod\.(id$|metadata\.)/;

/**
 * `path`: of the policy document. Cheap, for every policy that the agent reads: each expression is tried once. What
 * only a whole evaluation shows, `lintPolicy` finds.
 */
export function missingAnnotations({ rules }: Policy, path: string): readonly Diagnostic[] {
  return rules.flatMap((rule) => {
    const list = childPath(childPath(childPath(path, "on_tcp_connect"), rule.index), "expressions");
    return rule.expressions.flatMap((expression, index): readonly Diagnostic[] => {
      if (![...expression.reads].every((name) => KNOWN.test(name))) return [];
      const result = expression.evaluate(bare);
      if (!(result instanceof Error) || !result.message.startsWith("no such key")) return [];
      const message =
        `a pod without the annotation is denied (${result.message}): ` +
        'if it should not be, ask `"<key>" in conn.k8s.pod.metadata.annotations` first';
      return [{ severity: "warning", code: "PODGATE_MISSING_KEY", path: childPath(list, index), message }];
    });
  });
}
