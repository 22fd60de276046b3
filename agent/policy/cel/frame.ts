/** One evaluation: the variables' values, the elements that comprehensions stand at, and how much work is left. */
import { Failure, type Value } from "./value.ts";

/** A unit is about 100 ns: the whole stays below 20 ms, even where a value is larger than its bound said. */
const BUDGET = 200_000;

export const EXHAUSTED = new Failure("the expression took too long");

export type Random = () => number;

/** A piece of an expression, ready to be evaluated. */
export type Step = (frame: Frame) => Value | Failure;

export class Frame {
  readonly values: object;
  /** Numbers from 0 up to, not including, 1. */
  readonly random: Random;
  /** By the depth of the comprehension. */
  readonly elements: Value[] = [];
  #left = BUDGET;

  constructor(values: object, random: Random) {
    this.values = values;
    this.random = random;
  }

  /** Takes `units` of work. False when there are none left, and from then on. */
  spend(units: number): boolean {
    this.#left -= units;
    return this.#left >= 0;
  }

  get isExhausted(): boolean {
    return this.#left < 0;
  }
}

/** What `use` makes of the value; a failure goes on as it is. */
export function whenValue(value: Value | Failure, use: (value: Value) => Value | Failure): Value | Failure {
  return value instanceof Failure ? value : use(value);
}
