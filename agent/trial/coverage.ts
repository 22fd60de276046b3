/** Which rules the tests made match, and which never did: a rule that no test reaches may say anything. */
import type { Explanation, PolicyTrace } from "../explain/explanation.ts";
import type { World } from "../explain/world.ts";
import type { FileCluster } from "../files/file-snapshot.ts";
import { chainOf } from "../guard/routes.ts";
import { refKey } from "../model/objects.ts";
import { childPath } from "../policy/json-path.ts";
import type { Position } from "../policy/yaml.ts";

export interface RuleCoverage {
  /** `Kind/namespace/name` of the object whose policy it is in. */
  readonly object: string;
  readonly index: number;
  readonly name: string;
  /** Of how many tests it matched. */
  readonly hits: number;
  /** Where it is written; undefined where that cannot be told. */
  readonly position: Position | undefined;
}

export interface Coverage {
  /** Every rule that some connection can meet, in the order of the objects' keys: not of objects that guard nothing. */
  readonly rules: readonly RuleCoverage[];
}

export function coverageOf(world: World, files: FileCluster, explanations: readonly Explanation[]): Coverage {
  const hits = new Map<string, number>();
  for (const { steps } of explanations) {
    const matched = new Set(steps.flatMap(({ policies }) => policies.flatMap(matchedRules)));
    for (const key of matched) hits.set(key, (hits.get(key) ?? 0) + 1);
  }
  const met = metObjects(world);
  const rules = [...world.policies].flatMap(([object, { inForce }]) => {
    if (inForce.kind !== "policy" || !met.has(object)) return [];
    return inForce.policy.rules.map(({ index, name }) => ({
      object,
      index,
      name,
      hits: hits.get(ruleKey(object, index)) ?? 0,
      position: positionOf(world, files, object, index),
    }));
  });
  return {
    rules: rules.sort((a, b) => (a.object < b.object ? -1 : a.object > b.object ? 1 : a.index - b.index)),
  };
}

export function missed({ rules }: Coverage): readonly RuleCoverage[] {
  return rules.filter(({ hits }) => hits === 0);
}

/** Objects that guard something, and endpoints that a forward of one can lead to. */
function metObjects({ guardSet }: World): ReadonlySet<string> {
  const links = guardSet.guards
    .flatMap(({ policies }) => policies)
    .flatMap((policy) => chainOf(policy, guardSet.routes));
  return new Set(links.map(({ object }) => refKey(object)));
}

function matchedRules({ object, rules, leadsTo }: PolicyTrace): readonly string[] {
  const own = rules.filter(({ state }) => state === "decides" || state === "matches");
  return [
    ...own.map(({ index }) => ruleKey(object, index)),
    ...(leadsTo?.endpoints ?? []).flatMap((endpoint) => matchedRules(endpoint)),
  ];
}

function ruleKey(object: string, index: number): string {
  return `${object}#${index}`;
}

function positionOf(
  world: World,
  { objects }: FileCluster,
  key: string,
  index: number,
): Position | undefined {
  const source = world.policies.get(key)?.object.policy;
  if (source?.kind !== "inline" && source?.kind !== "reference") return undefined;
  const [kind = "", namespace = "", name = ""] = key.split("/");
  const owner =
    source.kind === "inline"
      ? { kind, namespace, name }
      : { kind: "NgrokTrafficPolicy", namespace, name: source.name };
  const manifest = objects.find(
    (each) => "metadata" in each && refKey({ ...each.metadata, kind: each.kind }) === refKey(owner),
  )?.manifest;
  if (manifest === undefined) return undefined;
  const path = source.kind === "inline" ? source.path : "spec.policy";
  const inFile = manifest.path === "" ? path : `${manifest.path}.${path}`;
  return manifest.document.locate(childPath(`${inFile}.on_tcp_connect`, index));
}
