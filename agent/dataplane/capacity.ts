/**
 * How full the maps may get. At 80 % there is an alarm; past 90 % no new guard is taken, so that those that exist
 * have room for their next version, new pods and new addresses. Addresses of guards that were not taken, which refuse
 * everybody, may fill them to 95 %.
 */
const ALARM = 0.8;
export const REFUSE = 0.9;
export const CLOSE = 0.95;

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

  /** Takes the demand if every map stays within the share of its capacity, else takes nothing and says no. */
  admit(demand: Demand, share: number): boolean {
    for (const map of Object.keys(this.#used) as BoundedMap[]) {
      if (demand[map] > 0 && this.#used[map] + demand[map] > share * this.#capacity[map]) return false;
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
