/** What the kernel would hold: of every guard, the verdict for each namespace or pod, as a table for people. */
import { decide, scopeOf } from "../guard/decide.ts";
import type { Guard } from "../guard/guard.ts";
import { placementOf } from "../guard/words.ts";
import { UNKNOWN } from "../model/connection.ts";
import type { Identity, PodIdentity } from "../model/identity.ts";
import { nameKey } from "../model/objects.ts";
import type { Decision, Verdict } from "../model/verdict.ts";
import { subjects } from "../policy/materialize.ts";
import { identityOf, type Questioner } from "./caller.ts";
import { doorsAt, type World } from "./world.ts";

/** Characters of what a described pod was given. */
const MOST = 100;

/** `callers`: pods beside the world's own. Guards that differ in nothing but what they guard are one entry. */
export function compiledVerdicts(world: World, callers: readonly Questioner[]): string {
  const pods = podsOf(world, callers);
  const entries = new Map<string, Set<string>>();
  for (const guard of world.guardSet.guards) {
    const body = guardText(world, guard, pods);
    const names = entries.get(body) ?? new Set();
    entries.set(body, names);
    for (const name of guardedNames(world, guard)) names.add(name);
  }
  const blocks = [...entries].map(([body, names]) => `${[...names].sort().join(", ")}\n${body}`);
  return blocks.length === 0 ? "nothing is guarded\n" : blocks.sort().join("\n");
}

/** Identities with what to call them: a pod that a test describes is told from others by what it was given. */
type Pods = ReadonlyMap<PodIdentity, string>;

function podsOf(world: World, callers: readonly Questioner[]): Pods {
  const own = world.snapshot.localPods.map((pod) => ({ caller: { pod }, described: false }));
  const pods = new Map<PodIdentity, string>();
  const names = new Set<string>();
  for (const { caller, described } of [
    ...own,
    ...callers.map((each) => ({ caller: each, described: true })),
  ]) {
    const identity = identityOf(world, caller);
    if (identity.kind !== "pod") continue;
    const name = `pod ${nameKey(identity.pod)}${described ? marksOf(identity.pod) : ""}`;
    if (!names.has(name)) pods.set(identity.pod, name);
    names.add(name);
  }
  return pods;
}

function marksOf({ annotations, labels, serviceAccount, addresses }: PodIdentity): string {
  const entries = [...annotations, ...(labels === UNKNOWN ? [] : labels)].map(
    ([key, value]) => `${key}=${value}`,
  );
  const account = serviceAccount === "default" ? [] : [`as ${serviceAccount}`];
  // Addresses that nobody wrote say nothing.
  const written = addresses.filter((address) => !/^198\.1[89]\./.test(address));
  const marks = [...written, ...account, ...entries].join(", ");
  return marks === "" ? "" : ` (${marks.length <= MOST ? marks : `${marks.slice(0, MOST - 1)}…`})`;
}

function guardedNames(world: World, { destinations, nodePorts }: Guard): readonly string[] {
  const doors = destinations.flatMap(({ address, port }) => doorsAt(world, address, port));
  return [...doors.map(({ key }) => key), ...nodePorts.map((port) => `node port ${port}`)];
}

function guardText(world: World, guard: Guard, pods: Pods): string {
  const { routes } = world.guardSet;
  const verdictOf = (identity: Identity) => decide(guard, identity, routes);
  const made = subjects(scopeOf(guard, routes), [...pods.keys()]).map((subject): [string, Verdict] => [
    subject.kind === "namespace" ? `namespace ${subject.namespace}` : (pods.get(subject.identity) ?? ""),
    verdictOf({ kind: "pod", pod: subject.identity }),
  ]);
  const rows = [
    ...made.sort(([a], [b]) => (a < b ? -1 : 1)),
    ["unresolved", verdictOf(identityOf(world, { pod: undefined }))] as [string, Verdict],
  ];
  const width = Math.max(...rows.map(([who]) => who.length));
  const heads = guard.policies.map((policy) => {
    const where = placementOf(policy.object, routes)?.where ?? "no rules that can be run";
    return `  ${nameKeyOf(policy.object)} (${policy.audit ? "audit, " : ""}${where})`;
  });
  const lines = rows.map(([who, verdict]) => `  ${who.padEnd(width)}  ${verdictText(verdict)}`);
  return [...heads, ...lines].map((line) => `${line}\n`).join("");
}

function nameKeyOf(object: { kind: string; namespace: string; name: string }): string {
  return `${object.kind} ${nameKey(object)}`;
}

function verdictText(verdict: Verdict): string {
  const { audited } = verdict;
  return decisionText(verdict) + (audited === undefined ? "" : `, audited: ${decisionText(audited)}`);
}

function decisionText({ action, reason, policy, rule, forward }: Decision): string {
  const by = rule === undefined || policy === undefined ? "" : `rule ${rule} of ${nameKeyOf(policy)}`;
  const to = forward === undefined ? "" : `to ${forward.service}:${forward.port}`;
  const why = reason === "rule" ? `by ${by}` : by === "" ? reason : `${reason} in ${by}`;
  return [action.padEnd(5), to, why].filter(Boolean).join(" ");
}
