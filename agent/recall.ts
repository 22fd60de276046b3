/** Decides again what the kernel decided, for what its numbers cannot hold: what `log` actions recorded, and errors in words. */
import { decide } from "./guard/decide.ts";
import { type GuardAt, guardPlaces } from "./guard/places.ts";
import { type IpAddress, isIpv4 } from "./model/address.ts";
import type { Identity } from "./model/identity.ts";
import { refKey } from "./model/objects.ts";
import type { Decision, LogMetadata, Reason, Verdict } from "./model/verdict.ts";
import type { Reconciled } from "./reconcile.ts";

/** As often as the kernel follows forwards. */
const MOST_HOPS = 4;

/** Why the kernel settled, one way or the other, what it should have left to the proxy. */
const WITHOUT_PROXY: ReadonlySet<Reason> = new Set(["pending", "agent-down", "over-limit"]);

type Place = { readonly address: IpAddress; readonly port: number };

export class Recall {
  readonly #latest: Reconciled;
  readonly #guardAt: GuardAt;

  constructor(latest: Reconciled) {
    this.#latest = latest;
    this.#guardAt = guardPlaces(latest.guardSet.guards, latest.nodeAddresses);
  }

  /** The verdicts that a connection meets on its way from what was dialled. */
  travel(identity: Identity, { address, port }: Place): readonly Verdict[] {
    const { routes } = this.#latest.guardSet;
    const verdicts: Verdict[] = [];
    let at: Place | undefined = { address, port };
    for (let hop = 0; at !== undefined && hop <= MOST_HOPS; hop++) {
      const guard = this.#guardAt(at.address, at.port);
      if (guard === undefined) break;
      const verdict = decide(guard, identity, routes);
      verdicts.push(verdict);
      const { forward } = verdict;
      const next: IpAddress | undefined = isIpv4(address) ? forward?.ipv4 : forward?.ipv6;
      at = next === undefined || forward === undefined ? undefined : { address: next, port: forward.port };
    }
    return verdicts;
  }
}

/** Whether `decision` is the one that was made; `made` has no words, and a policy may have changed since. */
export function isSame(
  decision: Decision,
  made: Pick<Decision, "action" | "reason" | "policy" | "rule">,
): boolean {
  const by = (policy: Decision["policy"]) => (policy === undefined ? "" : refKey(policy));
  const unasked = decision.action === "proxy" && WITHOUT_PROXY.has(made.reason);
  return (
    (unasked || (decision.action === made.action && decision.reason === made.reason)) &&
    decision.rule === made.rule &&
    by(decision.policy) === by(made.policy)
  );
}

export function logOf(verdicts: readonly Verdict[]): readonly LogMetadata[] {
  return verdicts.flatMap(({ log }) => log ?? []);
}
