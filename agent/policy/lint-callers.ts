/** Callers to ask a policy about: the ones its own words name, one that they do not, and one nobody knows. */
import { UNKNOWN } from "../model/connection.ts";
import { type Identity, type PodIdentity, unresolved } from "../model/identity.ts";
import { ANNOTATIONS, type ExpressionFacts, METADATA, NAMESPACE } from "./lint-facts.ts";

/** A policy may name thousands; what lint looks for shows with few. */
const MOST_NAMED = 6;

export const nobody: Identity = unresolved("lint asks");

export interface Caller {
  readonly pod: PodIdentity;
  /** Keys the policy reads that this pod does not have. */
  readonly lacks: readonly string[];
}

/** Whole identities; the first is one that no policy names. */
export function callersOf(facts: readonly ExpressionFacts[]): readonly Caller[] {
  const annotationSets = annotationsOf(facts);
  return placesOf(facts).flatMap(({ namespace, name }) =>
    annotationSets.map(({ annotations, lacks }) => ({
      pod: { ...WHOLE, name, namespace, annotations },
      lacks,
    })),
  );
}

/** Every namespace named, and every name in a namespace named first and in one that is not: not all pairs, which multiply. */
function placesOf(facts: readonly ExpressionFacts[]): readonly { namespace: string; name: string }[] {
  const namespaces = [OTHER, ...textsOf(facts, NAMESPACE)];
  const names = textsOf(facts, `${METADATA}.name`);
  return [
    ...namespaces.map((namespace) => ({ namespace, name: OTHER })),
    ...namespaces.slice(0, 2).flatMap((namespace) => names.map((name) => ({ namespace, name }))),
  ];
}

const OTHER = "podgate-lint";
const WHOLE = {
  id: "00000000-0000-4000-8000-000000000000",
  labels: UNKNOWN,
  serviceAccount: "",
  nodeName: "",
  namespaceLabels: UNKNOWN,
  addresses: [],
  errorCode: "",
  errorMessage: "",
} as const;

/** `caller` with more annotations than are surfaced: what remains of them is the same here. */
export function oversized({ pod }: Caller): Identity {
  return { kind: "pod", pod: { ...pod, errorCode: "ERR_NGROK_28000", errorMessage: "too large" } };
}

function textsOf(facts: readonly ExpressionFacts[], variable: string): readonly string[] {
  const texts = facts.flatMap(({ comparisons }) =>
    comparisons.flatMap((comparison) => (comparison.variable === variable ? [comparison.text] : [])),
  );
  return [...new Set(texts)].filter((text) => text !== "").slice(0, MOST_NAMED);
}

/** None, all, and all but each one. */
function annotationsOf(facts: readonly ExpressionFacts[]) {
  const values = new Map<string, string>();
  for (const { annotations } of facts) for (const { key } of annotations) values.set(key, OTHER);
  for (const { comparisons } of facts) {
    for (const { variable, text } of comparisons) {
      if (!variable.startsWith(`${ANNOTATIONS}[`)) continue;
      const key: unknown = JSON.parse(variable.slice(ANNOTATIONS.length + 1, -1));
      if (typeof key === "string") values.set(key, text);
    }
  }
  const keys = [...values.keys()].slice(0, MOST_NAMED);
  const all = new Map(keys.map((key) => [key, values.get(key) ?? ""]));
  const allBut = keys.map((lacked) => ({
    annotations: new Map([...all].filter(([key]) => key !== lacked)),
    lacks: [lacked],
  }));
  const none = { annotations: new Map<string, string>(), lacks: keys };
  if (keys.length === 0) return [none];
  return [{ annotations: all, lacks: [] }, none, ...(keys.length > 1 ? allBut : [])];
}
