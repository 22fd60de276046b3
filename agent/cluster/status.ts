/**
 * Writes what the agent makes of policy objects into their status. Every agent of the cluster wants to write the
 * same: each waits a while of its own length first, and looks whether another was faster.
 */
import type { Clock } from "../model/clock.ts";
import { refKey } from "../model/objects.ts";
import type { Api } from "./api.ts";
import { ApiError } from "./api-error.ts";
import { type Condition, isSettled, readConditions, withConditions, writable } from "./conditions.ts";
import { isRecord } from "./fields.ts";
import type { Log } from "./log.ts";
import { readMetadata } from "./metadata.ts";
import { objectPath, type PolicyRef, resourceOf } from "./resources.ts";

export interface StatusWriterOptions {
  readonly api: Api;
  readonly clock: Clock;
  readonly log: Log;
  /** What the object's status says as far as we have heard: an equal one costs no request at all. */
  readonly current: (object: PolicyRef) => readonly Condition[] | undefined;
  /** How many agents there are that want to write the same. */
  readonly agents: () => number;
  readonly random?: () => number;
}

interface Wish {
  readonly object: PolicyRef;
  readonly conditions: readonly Condition[];
  /** When to look, in ms since 1970. */
  readonly due: number;
}

/** Before the first look, at most: long enough that of many agents most find it written, and no time for a few. */
const FIRST_WAIT_MS = 5_000;
const FIRST_WAIT_PER_AGENT_MS = 10;
/** Between two requests. */
const PACE_MS = 200;
/** After a refusal that no repetition will change, and between two writes that somebody else undid. */
const LONG_WAIT_MS = 600_000;
const REWRITE_WAIT_MS = 60_000;
const CONFLICTS = 5;

export class StatusWriter {
  readonly #options: Required<StatusWriterOptions>;
  readonly #wishes = new Map<string, Wish>();
  /** What this agent wrote last about an object, and when. */
  readonly #written = new Map<
    string,
    { readonly uid: string; readonly time: number; readonly conditions: readonly Condition[] }
  >();
  readonly #reported = new Set<string>();
  /** By namespace: when one of its objects had its turn. */
  readonly #served = new Map<string, number>();
  readonly #stop = new AbortController();
  #wake = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: StatusWriterOptions) {
    this.#options = { random: Math.random, ...options };
  }

  /** From now on the object's status should say this. Replaces what was wanted of the object before. */
  want(object: PolicyRef, conditions: readonly Condition[]): void {
    const key = refKey(object);
    const wanted = writable(conditions);
    const have = this.#options.current(object);
    if (have !== undefined && isSettled(have, wanted)) {
      this.#wishes.delete(key);
      return;
    }
    const before = this.#wishes.get(key);
    if (before?.object.uid === object.uid && isSettled(before.conditions, wanted)) return;
    this.#wishes.set(key, { object, conditions: wanted, due: this.#due(key, object, wanted) });
    this.#wake.abort();
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#wake.abort();
    await this.#running;
  }

  #due(key: string, object: PolicyRef, wanted: readonly Condition[]): number {
    const { agents, clock, random } = this.#options;
    const soon = clock.now() + Math.min(FIRST_WAIT_MS, FIRST_WAIT_PER_AGENT_MS * agents()) * random();
    const last = this.#written.get(key);
    if (last === undefined) return soon;
    const quiet = last.time + REWRITE_WAIT_MS;
    // The same again: somebody undid it. Two agents that disagree must not write in turns as fast as they can.
    const same = last.uid === object.uid && isSettled(last.conditions, wanted);
    if (same && quiet > soon) return quiet;
    if (quiet < clock.now()) this.#written.delete(key);
    return soon;
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#stop.signal.aborted) {
      this.#wake = new AbortController();
      const next = this.#earliest();
      const wait = next === undefined ? LONG_WAIT_MS : next.due - clock.now();
      if (wait > 0) {
        await clock.sleep(wait, this.#wake.signal);
        continue;
      }
      if (next !== undefined) await this.#fulfil(next);
      await clock.sleep(PACE_MS, this.#stop.signal);
    }
  }

  /** Of those that are due, one of the namespace that has waited longest: a thousand objects of one delay no other's. */
  #earliest(): Wish | undefined {
    const now = this.#options.clock.now();
    let first: Wish | undefined;
    for (const wish of this.#wishes.values()) {
      if (first === undefined || this.#isBefore(wish, first, now)) first = wish;
    }
    return first;
  }

  #isBefore(a: Wish, b: Wish, now: number): boolean {
    const servedAt = ({ object }: Wish) => this.#served.get(object.namespace) ?? 0;
    const order = a.due <= now && b.due <= now ? servedAt(a) - servedAt(b) : 0;
    return order === 0 ? a.due < b.due : order < 0;
  }

  async #fulfil(wish: Wish): Promise<void> {
    const { clock } = this.#options;
    const key = refKey(wish.object);
    const have = this.#options.current(wish.object);
    this.#served.set(wish.object.namespace, clock.now());
    let later: number | undefined;
    if (have === undefined || !isSettled(have, wish.conditions)) {
      try {
        later = (await this.#write(wish)) ? undefined : REWRITE_WAIT_MS;
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        later = this.#failed(wish, error);
      }
    }
    // A newer wish for the object that came meanwhile stays as it is.
    if (this.#wishes.get(key) !== wish) return;
    if (later === undefined) this.#wishes.delete(key);
    else this.#wishes.set(key, { ...wish, due: clock.now() + later });
  }

  /** False if others changed the object each time we tried. */
  async #write({ object, conditions }: Wish): Promise<boolean> {
    const { api, clock } = this.#options;
    const { name } = resourceOf(object.kind);
    const { signal } = this.#stop;
    const path = objectPath(object);
    for (let attempt = 0; attempt < CONFLICTS; attempt++) {
      const live = await api.json({ action: `get ${name}`, path, signal }).catch(ignoreMissing);
      const metadata = readMetadata(live);
      // Gone, or another object under the name: whoever reads that one writes about it.
      if (!isRecord(live) || metadata?.uid !== object.uid) return true;
      if (isSettled(readConditions(live), conditions)) return true;
      const body = withConditions(live, conditions, clock.now());
      try {
        await api.json({
          action: `update ${name}/status`,
          method: "PUT",
          path: `${path}/status`,
          body,
          signal,
        });
        this.#written.set(refKey(object), { uid: object.uid, time: clock.now(), conditions });
        return true;
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 409) throw error;
        await clock.sleep(PACE_MS * (1 + this.#options.random()), signal);
      }
    }
    return false;
  }

  /** Milliseconds until the next attempt. */
  #failed({ object }: Wish, error: unknown): number {
    const status = error instanceof ApiError ? error.status : undefined;
    const message = error instanceof Error ? error.message : String(error);
    const key = `${object.kind} ${status ?? message}`;
    if (!this.#reported.has(key)) {
      this.#reported.add(key);
      const { kind, namespace, name } = object;
      this.#options.log("warn", "cannot write a status", { kind, namespace, name, error: message });
    }
    const busy = status === undefined || status === 429 || status >= 500;
    if (!busy) return LONG_WAIT_MS;
    return Math.max(REWRITE_WAIT_MS / 2, error instanceof ApiError ? error.retryAfterMs : 0);
  }
}

function ignoreMissing(error: unknown): undefined {
  if (error instanceof ApiError && error.status === 404) return undefined;
  throw error;
}
