/**
 * How full the maps may get. At 80 % there is an alarm; past 90 % no new guard is taken, so that those that exist
 * always have room for their next version and for new pods.
 */
export const ALARM = 0.8;
export const REFUSE = 0.9;

export interface Pressure {
  readonly map: string;
  readonly used: number;
  readonly capacity: number;
}

/** What a guard would take of the maps that grow with guards. */
export interface Demand {
  readonly destinations: number;
  readonly node_ports: number;
  readonly guards: number;
  readonly verdicts: number;
}

export type BoundedMap = keyof Demand;

/** Counts what is taken and says who still fits. */
export class Budget {
  readonly #capacity: Readonly<Record<BoundedMap, number>>;
  readonly #used: Record<BoundedMap, number> = { destinations: 0, node_ports: 0, guards: 0, verdicts: 0 };

  constructor(capacity: Readonly<Record<BoundedMap, number>>) {
    this.#capacity = capacity;
  }

  take(demand: Demand): void {
    for (const map of Object.keys(this.#used) as BoundedMap[]) this.#used[map] += demand[map];
  }

  /** Takes the demand if every map stays within 90 %, else takes nothing and says no. */
  admit(demand: Demand): boolean {
    for (const map of Object.keys(this.#used) as BoundedMap[]) {
      if (demand[map] > 0 && this.#used[map] + demand[map] > REFUSE * this.#capacity[map]) return false;
    }
    this.take(demand);
    return true;
  }

  /** Maps at 80 % or more. */
  pressure(): Pressure[] {
    return (Object.keys(this.#used) as BoundedMap[])
      .map((map) => ({ map, used: this.#used[map], capacity: this.#capacity[map] }))
      .filter(({ used, capacity }) => used >= ALARM * capacity);
  }
}
