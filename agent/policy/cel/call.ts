/** Calling functions: the overload is chosen by what the operands are when it comes to it. */
import { MAX_SIZE, TOO_LARGE } from "./arithmetic.ts";
import { EXHAUSTED, type Frame, type Step } from "./frame.ts";
import { accepts, type Overload } from "./functions/overload.ts";
import type { Pattern } from "./regex.ts";
import { anything } from "./shape.ts";
import { noOverload } from "./type-of.ts";
import { Failure, sizeOf, type Value } from "./value.ts";

/** Operands up to this size were foreseen when the expression was read. */
const USUAL_SIZE = 1_024;

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
    const work = value.length > USUAL_SIZE ? value.length * pattern.size : 1;
    return frame.spend(work) ? pattern.test(value) : EXHAUSTED;
  };
}

function workOf(overload: Overload, operands: readonly Value[], size: number): number {
  if (size <= USUAL_SIZE) return overload.base + size / 32;
  return overload.estimate(operands.map((operand) => anything(sizeOf(operand)))).work;
}
