/** Calling functions: the overload is chosen by what the operands are when it comes to it. */
import { MAX_SIZE, TOO_LARGE } from "./arithmetic.ts";
import { EXHAUSTED, type Frame, type Step } from "./frame.ts";
import { accepts, type Overload } from "./functions/overload.ts";
import type { Pattern } from "./regex.ts";
import { anything } from "./shape.ts";
import { noOverload } from "./type-of.ts";
import { Failure, sizeOf, type Value } from "./value.ts";

export function callStep(name: string, overloads: readonly Overload[], steps: readonly Step[]): Step {
  return (frame) => {
    const operands: Value[] = [];
    let size = 0;
    for (const step of steps) {
      const value = step(frame);
      if (value instanceof Failure) return value;
      operands.push(value);
      size += sizeOf(value);
    }
    const overload = overloads.find(({ parameters }) => accepts(parameters, operands));
    if (overload === undefined) return noOverload(`${name}()`, ...operands);
    if (!frame.spend(workOf(overload, operands, size))) return EXHAUSTED;
    const result = overload.call(operands, frame);
    return sizeOf(result) > MAX_SIZE ? TOO_LARGE : result;
  };
}

export function callMatches(text: Step, pattern: Pattern): Step {
  return (frame: Frame) => {
    const value = text(frame);
    if (value instanceof Failure) return value;
    if (typeof value !== "string") return noOverload("matches()", value);
    return frame.spend(1 + value.length * pattern.size) ? pattern.test(value) : EXHAUSTED;
  };
}

/** No more than what was estimated when the expression was read, unless a value is larger than its bound said. */
function workOf(overload: Overload, operands: readonly Value[], size: number): number {
  if (overload.isSimple) return 1 + size / 32;
  return 1 + overload.estimate(operands.map((operand) => anything(sizeOf(operand)))).work;
}
