/**
 * `guards` and `verdicts` together: every guard has a current version, and every verdict belongs to one.
 *
 * A change of policy writes all verdicts of a new version and then stores the version once: every address of the
 * guard switches in that moment, and no connect sees half of it. What the old version held is deleted after a
 * grace period, because a program that read the old version may not have looked up its verdict yet (deleted at
 * once: 1 false deny in 16.8 million connects). A single subject's change (one pod's annotations) is one entry,
 * and replacing one entry is atomic by itself.
 */
import { encodeU32, encodeVerdict, forwardNumber, GUARD_PER_POD, layouts, type VerdictEntry } from "./abi.ts";
import { Counter } from "./numbers.ts";
import { type KernelMap, readEntries } from "./table.ts";

/** Whom a verdict is about, as the kernel has it: a kind (SUBJECT_POD, ...) plus a number. */
export type SubjectCode = number;

/** A verdict's bytes after those that say whose it is, as latin1 text: equal verdicts are equal strings. */
export type VerdictBody = string;

const BODY_AT = layouts.verdict.policy;

interface GuardState {
  version: number;
  perPod: boolean;
  readonly bodies: Map<SubjectCode, VerdictBody>;
}

export class VerdictTable {
  readonly #guards: KernelMap;
  readonly #slots = new Set<number>(); // of `guards`, in use
  readonly #verdicts: KernelMap;
  readonly #states = new Map<number, GuardState>();
  readonly #current = new Map<number, GuardState>(); // by version
  readonly #versions = new Counter();
  readonly #retire: (keys: Buffer[]) => void;

  /** `retire` is given keys of `verdicts` to delete after the grace period. */
  constructor(guards: KernelMap, verdicts: KernelMap, retire: (keys: Buffer[]) => void) {
    this.#guards = guards;
    this.#verdicts = verdicts;
    this.#retire = retire;
  }

  numbers(): IterableIterator<number> {
    return this.#states.keys();
  }

  has(guard: number): boolean {
    return this.#states.has(guard);
  }

  /** Whether a new guard may have this number: two of one slot of `guards` exclude each other. */
  isFree(number: number): boolean {
    return !this.#slots.has(this.#slotOf(number));
  }

  guardCount(): number {
    return this.#states.size;
  }

  /** How many verdicts the guards hold. */
  size(): number {
    return this.#states.values().reduce((sum, { bodies }) => sum + bodies.size, 0);
  }

  /** Numbers of `forwards` that some current verdict names. */
  forwards(): Set<number> {
    const used = new Set<number>();
    for (const { bodies } of this.#states.values()) {
      for (const body of new Set(bodies.values())) {
        used.add(forwardNumber(Buffer.from(body, "latin1"), BODY_AT));
      }
    }
    return used;
  }

  /** Reads the kernel's state. Verdicts of no current version are retired. Calls `seen` with every number found. */
  load(seen: (subject: SubjectCode, forward: number) => void): void {
    this.#states.clear();
    this.#current.clear();
    this.#slots.clear();
    const at = layouts.guard;
    for (const { value } of readEntries(this.#guards)) {
      const number = value.readUInt32LE(at.number);
      if (number === 0) continue;
      const version = value.readUInt32LE(at.version);
      const state = {
        version,
        perPod: (value.readUInt32LE(at.flags) & GUARD_PER_POD) !== 0,
        bodies: new Map(),
      };
      this.#versions.seen(version);
      this.#states.set(number, state);
      this.#slots.add(this.#slotOf(number));
      this.#current.set(version, state);
    }
    const orphans: Buffer[] = [];
    for (const { key, value } of readEntries(this.#verdicts)) {
      const version = key.readUInt32LE(layouts.verdict_key.version);
      const subject = key.readUInt32LE(layouts.verdict_key.subject);
      this.#versions.seen(version);
      seen(subject, forwardNumber(value));
      const state = this.#current.get(version);
      if (state === undefined) orphans.push(key);
      else state.bodies.set(subject, value.toString("latin1", BODY_AT));
    }
    this.#retire(orphans);
  }

  /** Makes the guard hold exactly `want`. Returns whether anything was written. */
  set(guard: number, perPod: boolean, want: ReadonlyMap<SubjectCode, VerdictBody>): boolean {
    const state = this.#states.get(guard);
    if (state === undefined || state.perPod !== perPod || changedSubjects(state.bodies, want) > 1) {
      this.#switch(guard, perPod, want, state);
      return true;
    }
    return this.#amend(guard, state, want);
  }

  /** Removes a guard that no address points to any more. Call it after the grace period. */
  remove(guard: number): void {
    const state = this.#states.get(guard);
    if (state === undefined) return;
    this.#guards.put(encodeU32(this.#slotOf(guard)), Buffer.alloc(layouts.guard.size));
    this.#slots.delete(this.#slotOf(guard));
    this.#states.delete(guard);
    this.#current.delete(state.version);
    this.#verdicts.deleteBatch(Buffer.concat(subjectKeys(state.version, state.bodies.keys())));
  }

  #switch(
    guard: number,
    perPod: boolean,
    want: ReadonlyMap<SubjectCode, VerdictBody>,
    old: GuardState | undefined,
  ): void {
    const version = this.#versions.next();
    this.#write(guard, version, want);
    const slot = this.#slotOf(guard);
    this.#guards.put(encodeU32(slot), encodeU32(guard, version, perPod ? GUARD_PER_POD : 0));
    this.#slots.add(slot);
    const state = { version, perPod, bodies: new Map(want) };
    this.#states.set(guard, state);
    this.#current.set(version, state);
    if (old === undefined) return;
    this.#current.delete(old.version);
    this.#retire(subjectKeys(old.version, old.bodies.keys()));
  }

  /** New subjects, subjects gone, and at most one that changed: no new version is needed. */
  #amend(guard: number, state: GuardState, want: ReadonlyMap<SubjectCode, VerdictBody>): boolean {
    const write = new Map([...want].filter(([code, body]) => state.bodies.get(code) !== body));
    const gone = [...state.bodies.keys()].filter((code) => !want.has(code));
    this.#write(guard, state.version, write);
    for (const [code, body] of write) state.bodies.set(code, body);
    for (const code of gone) state.bodies.delete(code);
    this.#retire(subjectKeys(state.version, gone));
    return write.size + gone.length > 0;
  }

  #slotOf(guard: number): number {
    return guard % this.#guards.maxEntries;
  }

  #write(guard: number, version: number, bodies: ReadonlyMap<SubjectCode, VerdictBody>): void {
    if (bodies.size === 0) return;
    const values = Buffer.alloc(bodies.size * layouts.verdict.size);
    let at = 0;
    for (const [code, body] of bodies) {
      values.writeUInt32LE(guard, at + layouts.verdict.guard);
      values.writeUInt32LE(version, at + layouts.verdict.version);
      values.writeUInt32LE(code, at + layouts.verdict.subject);
      values.write(body, at + BODY_AT, "latin1");
      at += layouts.verdict.size;
    }
    this.#verdicts.putBatch(Buffer.concat(subjectKeys(version, bodies.keys())), values);
  }

  /** Whether a retired key has come into use again (a pod number in the same version). */
  inUse(key: Buffer): boolean {
    const at = layouts.verdict_key;
    const state = this.#current.get(key.readUInt32LE(at.version));
    return state?.bodies.has(key.readUInt32LE(at.subject)) ?? false;
  }
}

/** How many subjects that both have differ. */
function changedSubjects(
  have: ReadonlyMap<SubjectCode, VerdictBody>,
  want: ReadonlyMap<SubjectCode, VerdictBody>,
): number {
  let changed = 0;
  for (const [code, body] of have) {
    const wanted = want.get(code);
    if (wanted !== undefined && wanted !== body) changed += 1;
  }
  return changed;
}

function subjectKeys(version: number, codes: Iterable<SubjectCode>): Buffer[] {
  return Array.from(codes, (code) => encodeU32(version, code));
}

export function verdictBody(verdict: VerdictEntry): VerdictBody {
  return encodeVerdict(verdict).toString("latin1", BODY_AT);
}
