/** The way of a connection through guards and their forwards, as the kernel goes it. */
import { type IpAddress, isIpv4 } from "../model/address.ts";
import type { Verdict } from "../model/verdict.ts";
import type { Guard } from "./guard.ts";
import type { GuardAt } from "./places.ts";

/** As often as the kernel follows forwards. */
const MOST_HOPS = 4;

export interface Place {
  readonly address: IpAddress;
  readonly port: number;
}

export interface Travelled {
  /** One for each guard on the way. */
  readonly verdicts: readonly Verdict[];
  /** Where it comes to, whatever is said there; undefined if a forward leads nowhere or there are too many. */
  readonly end: Place | undefined;
  readonly isLoop: boolean;
}

export function travel(
  guardAt: GuardAt,
  from: Place,
  judge: (guard: Guard, at: Place) => Verdict,
): Travelled {
  return follow(from, (at) => {
    const guard = guardAt(at.address, at.port);
    return guard && judge(guard, at);
  });
}

/** `judge`: undefined where nothing is guarded. */
export function follow(from: Place, judge: (at: Place) => Verdict | undefined): Travelled {
  const verdicts: Verdict[] = [];
  let at: Place = { address: from.address, port: from.port };
  for (let hop = 0; ; hop++) {
    const verdict = judge(at);
    if (verdict === undefined) return { verdicts, end: at, isLoop: false };
    verdicts.push(verdict);
    const { forward } = verdict;
    if (forward === undefined) return { verdicts, end: at, isLoop: false };
    if (hop === MOST_HOPS) return { verdicts, end: undefined, isLoop: true };
    const address = isIpv4(from.address) ? forward.ipv4 : forward.ipv6;
    if (address === undefined) return { verdicts, end: undefined, isLoop: false };
    at = { address, port: forward.port };
  }
}
