/** Warns of rules that deny pods which lack an annotation: what is meant as a comparison fails where the key is missing. */
import { UNKNOWN } from "../model/connection.ts";
import { childPath } from "./json-path.ts";
import type { Rule } from "./policy.ts";
import type { Report } from "./report.ts";
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

/** `path`: of the rules' list. The rules are valid. */
export function warnOfMissingAnnotations(rules: readonly Rule[], path: string, report: Report): void {
  for (const rule of rules) {
    const list = childPath(childPath(path, rule.index), "expressions");
    for (const [index, expression] of rule.expressions.entries()) {
      if (![...expression.reads].every((name) => KNOWN.test(name))) continue;
      const result = expression.evaluate(bare);
      if (!(result instanceof Error) || !result.message.startsWith("no such key")) continue;
      const message =
        `a pod without the annotation is denied (${result.message}): ` +
        'if it should not be, ask `"<key>" in conn.k8s.pod.metadata.annotations` first';
      report.warn("PODGATE_MISSING_ANNOTATION", childPath(list, index), message);
    }
  }
}
