/** How operators treat their operands: in which order, and what a failure among them means. */
import { compare } from "./compare.ts";
import { EXHAUSTED, type Step } from "./frame.ts";
import { noOverload } from "./type-of.ts";
import { Failure, sizeOf, type Value } from "./value.ts";

/** Characters or elements: more than one value of a policy usually has. */
const SMALL = 2_048;

export function constant(value: Value | Failure): Step {
  return () => value;
}

/** The left operand's failure goes before the right one's. Up to `SMALL` an operation is as good as free. */
export function both(left: Step, right: Step, use: (left: Value, right: Value) => Value | Failure): Step {
  return (frame) => {
    const a = left(frame);
    if (a instanceof Failure) return a;
    const b = right(frame);
    if (b instanceof Failure) return b;
    const size = sizeOf(a) + sizeOf(b);
    return size <= SMALL || frame.spend(size / 8) ? use(a, b) : EXHAUSTED;
  };
}

export function ordered(left: Step, right: Step, decide: (order: number) => boolean): Step {
  return both(left, right, (a, b) => {
    const order = compare(a, b);
    return order instanceof Failure ? order : decide(order);
  });
}

export function conditional([condition, yes, no]: readonly [Step, Step, Step]): Step {
  return (frame) => {
    const decided = condition(frame);
    if (decided === true) return yes(frame);
    if (decided === false) return no(frame);
    return decided instanceof Failure ? decided : noOverload("?:", decided);
  };
}

/** `absorbing` decides alone: false for `&&`, true for `||`, whatever is on the other side, be it a failure. */
export function logical(left: Step, right: Step, absorbing: boolean): Step {
  const operator = absorbing ? "||" : "&&";
  return (frame) => {
    const a = left(frame);
    if (a === absorbing) return absorbing;
    const b = right(frame);
    if (b === absorbing) return absorbing;
    if (a === !absorbing && b === !absorbing) return !absorbing;
    if (a instanceof Failure) return a;
    if (b instanceof Failure) return b;
    return noOverload(operator, a, b);
  };
}
