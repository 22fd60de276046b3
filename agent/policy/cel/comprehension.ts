/** The macros over lists and the keys of maps. */
import type { ASTNode } from "./ast.ts";
import { EXHAUSTED, type Step } from "./frame.ts";
import { noOverload } from "./type-of.ts";
import { Failure, isDictionary, isList, keysOf, type List, type Value } from "./value.ts";

/** A body of the macro, for one element. */
type Body = (element: Value) => Value | Failure;
type Loop = (elements: List, first: Body, second: Body) => Value | Failure;

const LOOPS: Readonly<Record<string, Loop>> = {
  all: (elements, predicate) => quantify("all", elements, predicate, false),
  exists: (elements, predicate) => quantify("exists", elements, predicate, true),
  exists_one: existsOne,
  filter: (elements, predicate) => collect("filter", elements, predicate, (element) => element),
  map: (elements, transform) => collect("map", elements, () => true, transform),
  mapSome: (elements, predicate, transform) => collect("map", elements, predicate, transform),
};

/** `depth` is where the frame keeps the element that the bodies see. */
export function comprehensionStep(
  node: ASTNode & { op: "rcall" },
  depth: number,
  lower: (part: ASTNode) => Step,
): Step {
  const [macro, receiver, [, ...parts]] = node.args;
  const range = lower(receiver);
  const bodies = parts.map(lower);
  const [first = range, second = first] = bodies;
  const loop = LOOPS[bodies.length > 1 ? "mapSome" : macro];
  return (frame) => {
    const value = range(frame);
    if (value instanceof Failure) return value;
    const elements = isDictionary(value) ? keysOf(value) : value;
    if (!isList(elements) || loop === undefined) return noOverload(macro, elements);
    const see = (body: Step) => (element: Value) => {
      if (!frame.spend(2)) return EXHAUSTED;
      frame.elements[depth] = element;
      return body(frame);
    };
    const result = loop(elements, see(first), see(second));
    // There is no time for the rest, whatever has absorbed the failure.
    return frame.isExhausted ? EXHAUSTED : result;
  };
}

/** The first that is `decisive` decides; without one, a failure on the way is the result. */
function quantify(macro: string, elements: List, predicate: Body, decisive: boolean): boolean | Failure {
  let failure: Failure | undefined;
  for (const element of elements) {
    const result = predicate(element);
    if (result === decisive) return decisive;
    if (result === EXHAUSTED) return EXHAUSTED;
    if (result instanceof Failure) failure ??= result;
    else if (result !== !decisive) failure ??= noOverload(macro, result);
  }
  return failure ?? !decisive;
}

function existsOne(elements: List, predicate: Body): boolean | Failure {
  let count = 0;
  for (const element of elements) {
    const result = predicate(element);
    if (result instanceof Failure) return result;
    if (result !== true && result !== false) return noOverload("exists_one", result);
    if (result) count++;
  }
  return count === 1;
}

function collect(macro: string, elements: List, predicate: Body, transform: Body): List | Failure {
  const collected: Value[] = [];
  for (const element of elements) {
    const wanted = predicate(element);
    if (wanted instanceof Failure) return wanted;
    if (wanted !== true && wanted !== false) return noOverload(macro, wanted);
    if (!wanted) continue;
    const value = transform(element);
    if (value instanceof Failure) return value;
    collected.push(value);
  }
  return collected;
}
