/** Callers to ask a policy about: the ones its own words name, one that they do not, and one nobody knows. */
import { type Connection, type EndpointFacts, UNKNOWN } from "../model/connection.ts";
import { type Identity, type PodIdentity, unresolved } from "../model/identity.ts";
import { evaluate } from "./evaluate.ts";
import {
  ANNOTATIONS,
  type ExpressionFacts,
  entryName,
  LABELS,
  METADATA,
  NAMESPACE,
  NAMESPACE_LABELS,
} from "./lint-facts.ts";
import type { Outcome, Policy } from "./policy.ts";

/** A policy may name thousands; what lint looks for shows with few. */
const MOST_NAMED = 6;
/** What no policy names. */
const OTHER = "podgate-lint";

export interface Caller {
  readonly pod: PodIdentity;
  /** Annotations and labels that the policy reads and this pod does not have, as `entryName` has them. */
  readonly lacks: readonly string[];
}

export const nobody: Identity = unresolved("lint asks");

/** `caller` with more annotations than are surfaced: what remains of them is the same here. */
export function oversized({ pod }: Caller): Identity {
  return { kind: "pod", pod: { ...pod, errorCode: "ERR_NGROK_28000", errorMessage: "too large" } };
}

/** What the policy says of a caller, whatever the time and whatever chance brings: then it is undecided. */
export function ask(policy: Policy, identity: Identity): Outcome {
  return evaluate(policy, { identity, connection: CONNECTION, endpoint: ENDPOINT }, () => undefined);
}

export function askCaller(policy: Policy, { pod }: Caller): Outcome {
  return ask(policy, { kind: "pod", pod });
}

/** Addresses for documentation (RFC 5737): a policy that names the caller's means another. */
const CONNECTION: Connection = {
  client: { ip: "192.0.2.1", port: 40_000 },
  server: { ip: "192.0.2.2", port: 80 },
  start: UNKNOWN,
  now: UNKNOWN,
};
const ENDPOINT: EndpointFacts = { id: "", url: "", protocol: "", host: "", port: 0 };

/** Whole identities; the first is one that no policy names. */
export function callersOf(facts: readonly ExpressionFacts[]): readonly Caller[] {
  const entrySets = entrySetsOf(facts);
  return placesOf(facts).flatMap(({ namespace, name }) =>
    entrySets.map(({ maps, lacks }) => ({
      pod: {
        id: "00000000-0000-4000-8000-000000000000",
        name,
        namespace,
        annotations: mapOf(maps, ANNOTATIONS),
        labels: mapOf(maps, LABELS),
        serviceAccount: OTHER,
        nodeName: OTHER,
        namespaceLabels: mapOf(maps, NAMESPACE_LABELS),
        addresses: ["192.0.2.1"],
        errorCode: "",
        errorMessage: "",
      },
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

function textsOf(facts: readonly ExpressionFacts[], variable: string): readonly string[] {
  const texts = facts.flatMap(({ comparisons }) =>
    comparisons.flatMap((comparison) => (comparison.variable === variable ? [comparison.text] : [])),
  );
  return [...new Set(texts)].filter((text) => text !== "").slice(0, MOST_NAMED);
}

interface Entry {
  readonly map: string;
  readonly key: string;
  readonly value: string;
}

/** All annotations and labels the policy reads, none, and all but each one; with values it names and with others. */
function entrySetsOf(facts: readonly ExpressionFacts[]) {
  const named = new Map(
    facts.flatMap(({ comparisons }) => comparisons.map(({ variable, text }) => [variable, text] as const)),
  );
  const entries = new Map(
    facts.flatMap((each) =>
      each.entries.map(({ map, key }) => {
        const name = entryName(map, key);
        return [name, { map, key, value: named.get(name) ?? OTHER }] as const;
      }),
    ),
  );
  const names = [...entries.keys()].slice(0, MOST_NAMED);
  const without = (lacks: readonly string[], other: boolean) => ({
    lacks,
    maps: names.flatMap((name): Entry[] => {
      const entry = entries.get(name);
      if (entry === undefined || lacks.includes(name)) return [];
      return [other ? { ...entry, value: OTHER } : entry];
    }),
  });
  const lists = [[], ...names.map((name) => [name]), ...(names.length > 1 ? [names] : [])];
  return names.length === 0
    ? [without([], false)]
    : lists.flatMap((lacks) => [without(lacks, false), without(lacks, true)]);
}

function mapOf(entries: readonly Entry[], map: string): ReadonlyMap<string, string> {
  return new Map(entries.flatMap((entry) => (entry.map === map ? [[entry.key, entry.value] as const] : [])));
}
