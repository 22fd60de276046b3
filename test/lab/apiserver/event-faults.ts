/** Events that are lost, late or out of order on their way from the history to a watch. */

import type { Change } from "./history.ts";
import type { Fault } from "./request-faults.ts";

/** Which events; what is not said matches all. */
export interface EventMatch {
  readonly resource?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly type?: Change["type"];
}

export interface HeldEvents {
  /** How many are kept back now. */
  readonly count: number;
  /** Sends them, and holds no more. */
  release(order?: "in order" | "reversed"): void;
}

interface Drop {
  readonly match: EventMatch;
  left: number;
  hits: number;
}

interface Hold {
  readonly match: EventMatch;
  readonly held: (() => void)[];
}

export class EventFaults {
  readonly #drops = new Set<Drop>();
  readonly #holds = new Set<Hold>();

  /** Calls `send` now, later or never. */
  pass(change: Change, send: () => void): void {
    for (const drop of this.#drops) {
      if (!matches(drop.match, change)) continue;
      drop.hits++;
      drop.left--;
      if (drop.left <= 0) this.#drops.delete(drop);
      return;
    }
    const hold = [...this.#holds].find(({ match }) => matches(match, change));
    if (hold === undefined) send();
    else hold.held.push(send);
  }

  drop(match: EventMatch, times: number): Fault {
    const drop: Drop = { match, left: times, hits: 0 };
    this.#drops.add(drop);
    return {
      get hits() {
        return drop.hits;
      },
      remove: () => void this.#drops.delete(drop),
    };
  }

  hold(match: EventMatch): HeldEvents {
    const hold: Hold = { match, held: [] };
    this.#holds.add(hold);
    return {
      get count() {
        return hold.held.length;
      },
      release: (order = "in order") => {
        this.#holds.delete(hold);
        const events = hold.held.splice(0);
        for (const send of order === "reversed" ? events.reverse() : events) send();
      },
    };
  }

  clear(): void {
    this.#drops.clear();
    this.#holds.clear();
  }
}

function matches(match: EventMatch, { resource, object: { metadata }, type }: Change): boolean {
  return (
    (match.resource ?? resource) === resource &&
    (match.namespace ?? metadata.namespace) === metadata.namespace &&
    (match.name ?? metadata.name) === metadata.name &&
    (match.type ?? type) === type
  );
}
