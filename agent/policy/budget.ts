/** What the expressions of one policy add up to: bounds how long reading it and asking it can take. */
import type { Report } from "./report.ts";

const OVER_LIMIT = "PODGATE_OVER_LIMIT";

/** UTF-16 units of all expressions of a policy, those in `${...}` too: bounds how long reading it takes. */
const MAX_EXPRESSION_TEXT = 65_536;
/** Bound of one evaluation of all expressions, in units of cel/cost.ts: about 50 ms. */
const MAX_COST = 500_000;
/** Of all policies that one decision asks: a guard may have a hundred, and each may forward to dozens. */
export const MAX_DECISION_COST = 4 * MAX_COST;

/** Says once that it is too much. */
export class Budget {
  readonly #path: string;
  readonly #report: Report;
  #text = 0;
  #cost = 0;

  constructor(path: string, report: Report) {
    this.#path = path;
    this.#report = report;
  }

  /** Whether another expression may be compiled. */
  admits(text: string): boolean {
    const before = this.#text;
    this.#text += text.length;
    if (this.#text <= MAX_EXPRESSION_TEXT) return true;
    if (before <= MAX_EXPRESSION_TEXT) {
      const message = `its expressions are over ${MAX_EXPRESSION_TEXT} characters together: shorten them`;
      this.#report.error(OVER_LIMIT, this.#path, message);
    }
    return false;
  }

  /** What the expressions read so far cost together. */
  get cost(): number {
    return this.#cost;
  }

  spend(cost: number): void {
    const before = this.#cost;
    this.#cost += cost;
    if (before <= MAX_COST && this.#cost > MAX_COST) {
      this.#report.error(
        OVER_LIMIT,
        this.#path,
        "its expressions together could take too long: make them simpler",
      );
    }
  }
}
