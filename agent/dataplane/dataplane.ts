/**
 * Makes the kernel's maps hold what is wanted. `apply` knows what is in the kernel, writes the difference in an
 * order in which every moment in between is safe, and may be run again.
 */
import type { Clock } from "../model/clock.ts";
import { type Identity, unresolved } from "../model/identity.ts";
import type { Verdict } from "../model/verdict.ts";
import { subjects } from "../policy/materialize.ts";
import type { SubjectScope } from "../policy/policy.ts";
import { NO_RULE, SUBJECT_NAMESPACE, SUBJECT_POD, SUBJECT_UNRESOLVED } from "./abi.ts";
import { AddressTables } from "./address-tables.ts";
import { admit, OVER_LIMIT_KEY } from "./admission.ts";
import type { Pressure } from "./capacity.ts";
import { ForwardTable } from "./forward-table.ts";
import { PolicyNumbers, Registry } from "./numbers.ts";
import { PodTable } from "./pod-table.ts";
import { Retirement } from "./retirement.ts";
import type { KernelMap } from "./table.ts";
import { Turns } from "./turns.ts";
import { type SubjectCode, type VerdictBody, VerdictTable, verdictBody } from "./verdict-table.ts";
import type { Want, WantGuard, WantPod } from "./want.ts";

/** The maps by their name in bpf/maps.h. */
export const mapNames = [
  "destinations",
  "node_addresses",
  "node_ports",
  "guards",
  "verdicts",
  "pods",
  "pods_by_cgroup",
  "pods_by_netns",
  "forwards",
] as const;

export type Maps = Readonly<Record<(typeof mapNames)[number], KernelMap>>;

export interface Applied {
  /** Keys of guards refused for want of room: their addresses refuse every pod, reason over-limit. */
  readonly refused: readonly string[];
  /** Addresses of refused guards for which even that found no room: they are open. */
  readonly unguarded: number;
  readonly pressure: readonly Pressure[];
  /** Map entries that this call changed, and guards whose verdicts it changed. */
  readonly changes: number;
}

/** A subject whose verdict a guard holds, and the identity that stands for it. */
interface Subject {
  readonly code: SubjectCode;
  readonly identity: Identity;
}

export class Dataplane {
  readonly policies = new PolicyNumbers();
  readonly #maps: Maps;
  readonly #clock: Clock;
  readonly #addresses: AddressTables;
  readonly #verdicts: VerdictTable;
  readonly #pods: PodTable;
  readonly #forwards: ForwardTable;
  readonly #guardNumbers = new Registry((number) => this.#verdicts.isFree(number));
  readonly #retirement: Retirement;
  #wanted: readonly WantPod[] = [];
  #retiring = 0; // verdicts out of use and still in the kernel
  #known = false;

  constructor(maps: Maps, clock: Clock, graceMs = 2000) {
    this.#maps = maps;
    this.#clock = clock;
    this.#retirement = new Retirement(clock, graceMs);
    this.#addresses = new AddressTables(maps.destinations, maps.node_addresses, maps.node_ports);
    this.#pods = new PodTable(maps.pods, maps.pods_by_cgroup, maps.pods_by_netns);
    this.#forwards = new ForwardTable(maps.forwards);
    this.#verdicts = new VerdictTable(maps.guards, maps.verdicts, (keys) => this.#retireVerdicts(keys));
  }

  /** UID of the pod that a number stands for or lately stood for. */
  podUid(number: number): string | undefined {
    return this.#pods.uid(number);
  }

  /** Deletes what has been out of use for the grace period. Returns ms until more is due, or undefined. */
  sweep(): number | undefined {
    return this.#retirement.sweep();
  }

  /** @throws Error when a map is full or the kernel refuses; the next call then starts from the kernel's own state. */
  async apply(want: Want): Promise<Applied> {
    if (!this.#known) this.#load();
    this.sweep();
    this.#known = false;
    const applied = await this.#write(want);
    this.#known = true;
    return applied;
  }

  #load(): void {
    this.#retirement.clear();
    this.#retiring = 0;
    this.#pods.load();
    this.#forwards.load();
    this.#verdicts.load((subject, forward) => {
      if (subject >= SUBJECT_POD) this.#pods.seen(subject - SUBJECT_POD, 0);
      else if (subject >= SUBJECT_NAMESPACE) this.#pods.seen(0, subject - SUBJECT_NAMESPACE);
      this.#forwards.seen(forward);
    });
    for (const number of this.#verdicts.numbers()) this.#guardNumbers.seen(number);
    this.#addresses.load((guard) => this.#guardNumbers.seen(guard));
  }

  async #write(want: Want): Promise<Applied> {
    // Pods first get numbers and addresses; nobody finds them before `publish`.
    let changes = this.#pods.prepare(want.pods);
    this.#wanted = want.pods;
    const subjectsOf = {
      pod: this.#subjects("pod", want.pods),
      namespace: this.#subjects("namespace", want.pods),
    };
    this.#claimNumbers(want.guards);
    const { admitted, refused, unguarded, pressure } = admit(want.guards, {
      capacity: {
        destinations: this.#maps.destinations.maxEntries,
        node_ports: this.#maps.node_ports.maxEntries,
        guards: this.#maps.guards.maxEntries,
        verdicts: this.#maps.verdicts.maxEntries,
      },
      // What is about to go still takes room until its grace period is over.
      used: {
        ...this.#addresses.sizes(),
        guards: this.#verdicts.guardCount(),
        verdicts: this.#verdicts.size() + this.#retiring,
      },
      exists: ({ key }) => this.#guardNumbers.get(key) !== undefined,
      has: (place) => this.#addresses.has(place),
      subjects: (scope) => subjectsOf[scope].length,
    });

    // Verdicts before the addresses that lead to them and before the pods they are about.
    const turns = new Turns(this.#clock);
    for (const guard of admitted) {
      const bodies = await this.#decide(guard, subjectsOf[guard.scope], turns);
      if (this.#verdicts.set(this.#guardNumbers.take(guard.key), guard.scope === "pod", bodies)) changes += 1;
    }
    changes += this.#pods.publish(want.pods);
    changes += this.#addresses.set(
      admitted,
      (guard) => this.#guardNumbers.take(guard.key),
      want.nodeAddresses,
    );
    this.#retireUnused(admitted);
    return { refused, unguarded, pressure, changes };
  }

  /**
   * A guard keeps its number when the set of policies behind its addresses changes: the new one takes over the
   * number that most of its addresses have, so that they still switch together. Not where another guard takes some of
   * the number's addresses: they would have the new verdicts of one that is not theirs, until they are pointed at theirs.
   */
  #claimNumbers(guards: readonly WantGuard[]): void {
    const wanted = new Set([OVER_LIMIT_KEY, ...guards.map(({ key }) => key)]);
    const held = new Set<number>();
    for (const key of [...this.#guardNumbers.names()]) {
      if (!wanted.has(key)) this.#guardNumbers.release(key);
      else held.add(this.#guardNumbers.get(key) ?? 0);
    }
    const nameless = guards.filter(({ key }) => this.#guardNumbers.get(key) === undefined);
    if (nameless.length === 0) return;
    const divided = this.#addresses.divided(guards);
    const free = (number: number) => !held.has(number) && !divided.has(number) && this.#verdicts.has(number);
    for (const guard of nameless) {
      const number = this.#addresses.incumbent(guard, free);
      if (number === undefined) continue;
      held.add(number);
      this.#guardNumbers.adopt(guard.key, number);
    }
  }

  #subjects(scope: SubjectScope, pods: readonly WantPod[]): readonly Subject[] {
    const nobody = {
      code: SUBJECT_UNRESOLVED,
      identity: unresolved("the caller is no pod that this node's agent knows"),
    };
    const identities = pods.map(({ identity }) => identity);
    return [
      nobody,
      ...subjects(scope, identities).map((subject): Subject => {
        const code =
          subject.kind === "pod"
            ? SUBJECT_POD + this.#pods.podNumber(subject.identity.id)
            : SUBJECT_NAMESPACE + this.#pods.namespaceNumber(subject.namespace);
        return { code, identity: { kind: "pod", pod: subject.identity } };
      }),
    ];
  }

  /** One decision may take milliseconds, and a tenant may have thousands of them to make. */
  async #decide(
    guard: WantGuard,
    subjects: readonly Subject[],
    turns: Turns,
  ): Promise<Map<SubjectCode, VerdictBody>> {
    const bodies = new Map<SubjectCode, VerdictBody>();
    for (const { code, identity } of subjects) {
      if (turns.isOver()) await turns.pause();
      bodies.set(code, this.#encode(guard.decide(identity)));
    }
    return bodies;
  }

  #encode(verdict: Verdict): VerdictBody {
    const { audited } = verdict;
    return verdictBody({
      action: verdict.action,
      reason: verdict.reason,
      policy: verdict.policy === undefined ? 0 : this.policies.take(verdict.policy),
      rule: verdict.rule ?? NO_RULE,
      forward: verdict.forward === undefined ? 0 : this.#forwards.take(verdict.forward),
      onAgentDown: verdict.onAgentDown,
      auditedAction: audited?.action,
      auditedReason: audited?.reason,
      auditedPolicy: audited?.policy === undefined ? 0 : this.policies.take(audited.policy),
      auditedRule: audited?.rule ?? NO_RULE,
    });
  }

  #retireVerdicts(keys: readonly Buffer[]): void {
    if (keys.length === 0) return;
    this.#retiring += keys.length;
    this.#retirement.add(() => {
      this.#retiring -= keys.length;
      const unused = keys.filter((key) => !this.#verdicts.inUse(key));
      if (unused.length > 0) this.#maps.verdicts.deleteBatch(Buffer.concat(unused));
    });
  }

  /** What nothing points to any more goes after the grace period, if it is still unused then. */
  #retireUnused(admitted: readonly WantGuard[]): void {
    const used = new Set(admitted.map((guard) => this.#guardNumbers.take(guard.key)));
    const unused = [...this.#verdicts.numbers()].filter((number) => !used.has(number));
    this.#retirement.add(() => {
      const held = new Set([...this.#guardNumbers.names()].map((key) => this.#guardNumbers.get(key)));
      for (const number of unused) if (!held.has(number)) this.#verdicts.remove(number);
      this.#pods.forget(this.#wanted);
      this.#forwards.forget(this.#verdicts.forwards());
    });
  }
}
