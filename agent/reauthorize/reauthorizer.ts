/**
 * Ends open connections that would be denied now. The kernel has the list of them, so those from before the agent are
 * on it too. Connections are ended one by one, by the cookie of their socket: never another that has their ports by now.
 */
import { addToSieve } from "../dataplane/sieve.ts";
import { Turns } from "../dataplane/turns.ts";
import type { OpenConnection } from "../guard/revocation.ts";
import type { RegisteredPod } from "../identity/local-pods.ts";
import type { IdentityReader } from "../identity/pod-identity.ts";
import type { Reconciled } from "../reconcile.ts";
import { hangsOnTime, mayRevoke } from "./change.ts";
import { Judge } from "./judge.ts";
import { Patience } from "./patience.ts";
import { type Failure, Rounds, type Steps } from "./side-by-side.ts";
import { type Current, type Forwarded, Tables, type TablesOptions } from "./tables.ts";

/** A connection that goes through the proxy. */
export interface ProxiedConnection extends OpenConnection {
  readonly podUid: string;
  /** Resets both sides. False: it had ended. */
  end(): boolean;
}

export interface ReauthorizerOptions extends TablesOptions {
  readonly identityOf: IdentityReader;
  /** Open sockets that a policy forwarded, by their cookie. */
  readonly forwarded: () => ReadonlyMap<bigint, Forwarded>;
  readonly proxied: () => Iterable<ProxiedConnection>;
}

/** A second look finds who was between the hook and the kernel's table at the first. */
const LOOKS = 2;
const BETWEEN_LOOKS_MS = 500;
/** Where a policy reads the time. */
const BY_TIME_MS = 2000;
/** A namespace that cannot be read may be on its way out. */
const RETRY_MS = 200;
/** In the name of asking all once more with more patience, so that the first time of a later look does not wait for that. */
const LATER = " later";

export class Reauthorizer {
  readonly #options: ReauthorizerOptions;
  readonly #turns: Turns;
  readonly #tables: Tables;
  /** By themselves, since no broker is needed to end what is proxied, and it may hang. */
  readonly #direct: Rounds;
  readonly #proxied: Rounds;
  #latest: Reconciled | undefined;
  #judge: Judge | undefined;
  #current: Current | undefined;
  #byTime = false;
  #looks = 0;

  constructor(options: ReauthorizerOptions) {
    this.#options = options;
    this.#turns = new Turns(options.clock);
    this.#tables = new Tables(options, this.#turns);
    this.#direct = new Rounds(this.#turns);
    this.#proxied = new Rounds(this.#turns);
  }

  /** True: there is something to look at. */
  learn(latest: Reconciled): boolean {
    const before = this.#latest;
    this.#latest = latest;
    this.#judge = undefined;
    this.#byTime = hangsOnTime(latest);
    if (mayRevoke(before, latest, this.#options.identityOf)) this.#looks = LOOKS;
    return this.#looks > 0;
  }

  /**
   * One look at all connections, if one is due; where nothing but time has passed, at those of pods that have verdicts
   * which the kernel cannot hold. Pods that take long go on by themselves. Returns in how many ms the next is due, or
   * undefined. @throws Error when namespaces cannot be read for the second time.
   */
  async look(): Promise<number | undefined> {
    const latest = this.#latest;
    // Also for a pod that took long and failed when no look waited for it any more.
    if (this.#failures.length > 0) this.#looks = Math.max(this.#looks, 1);
    const hasChanged = this.#looks > 0;
    if (latest === undefined || !(hasChanged || this.#byTime || this.#isBusy)) return undefined;
    if (hasChanged) this.#looks--;
    const { registered } = latest.registration;
    if (hasChanged || this.#byTime)
      await this.#lookAt(hasChanged ? registered : registered.filter(isUndecided(latest)), latest);
    return this.#next(new Set(registered.map(({ pod }) => pod.uid)));
  }

  async #lookAt(pods: readonly RegisteredPod[], latest: Reconciled): Promise<void> {
    const judge = this.#judge ?? new Judge(latest, this.#options.identityOf);
    this.#judge = judge;
    const forwarded = this.#options.forwarded();
    const remote = Uint8Array.from(await judge.sieve(this.#turns));
    for (const { target } of forwarded.values()) addToSieve(remote, target);
    const current = { judge, forwarded, remote };
    this.#current = current;
    // What takes long goes on with what a later look brings.
    const newest = () => this.#current ?? current;
    const proxied = Map.groupBy(this.#options.proxied(), ({ podUid }) => podUid);
    // What failed there is asked about again.
    for (const rounds of [this.#direct, this.#proxied]) rounds.forget((name) => name.endsWith(LATER));
    await Promise.all([
      ...pods.map((pod) => this.#direct.run(pod.pod.uid, () => this.#lookAtDirect(pod, newest))),
      ...[...proxied].map(([uid, some]) =>
        this.#proxied.run(uid, () => this.#lookAtProxied(uid, some, newest)),
      ),
    ]);
  }

  /** In how many ms the next look is due. `pods`: the UIDs of those that there are. */
  #next(pods: ReadonlySet<string>): number | undefined {
    for (const rounds of [this.#direct, this.#proxied])
      rounds.forget((name) => !pods.has(name.replace(LATER, "")));
    const failures = this.#failures;
    const again = failures.filter(({ times }) => times > 1);
    const [why] = again;
    if (why !== undefined) {
      throw new Error(`re-authorize open connections of ${again.length} pods: ${why.error.message}`, {
        cause: why.error,
      });
    }
    if (failures.length > 0) return RETRY_MS;
    if (this.#looks > 0) return BETWEEN_LOOKS_MS;
    if (this.#byTime) return BY_TIME_MS;
    return this.#isBusy ? BETWEEN_LOOKS_MS : undefined;
  }

  get #isBusy(): boolean {
    return this.#direct.isBusy || this.#proxied.isBusy;
  }

  get #failures(): readonly Failure[] {
    return [...this.#direct.failures.values(), ...this.#proxied.failures.values()];
  }

  async *#lookAtDirect(pod: RegisteredPod, newest: () => Current, patience = this.#patience()): Steps {
    yield* this.#tables.look(pod, newest, patience);
    const again = () => this.#lookAtDirect(pod, newest, patience.more());
    if (patience.wasShort) void this.#direct.run(pod.pod.uid + LATER, again);
  }

  async *#lookAtProxied(
    podUid: string,
    connections: readonly ProxiedConnection[],
    newest: () => Current,
    patience = this.#patience(),
  ): Steps {
    const { clock, proxied, onRevoked } = this.#options;
    for (const connection of connections) {
      if (this.#turns.isOver()) yield "pause";
      const { judge } = newest();
      const time = clock.now();
      const found = patience.ask(judge.ownerOf(connection), () => judge.revocation(podUid, connection, time));
      if (found !== undefined && found !== "later" && connection.end())
        onRevoked({ ...found, time, layer: "proxy", connection });
    }
    const left = () => [...proxied()].filter((each) => each.podUid === podUid);
    const again = () => this.#lookAtProxied(podUid, left(), newest, patience.more());
    if (patience.wasShort) void this.#proxied.run(podUid + LATER, again);
  }

  #patience(): Patience {
    return new Patience(() => this.#options.clock.now());
  }
}

function isUndecided({ undecided: { pods, namespaces } }: Reconciled): (pod: RegisteredPod) => boolean {
  // On the node's network what is undecided is refused, at any time.
  return ({ pod }) => !pod.hostNetwork && (pods.has(pod.uid) || namespaces.has(pod.namespace));
}
