/** The extended functions on lists. */
import { bounded } from "../arithmetic.ts";
import { compare, equal } from "../compare.ts";
import { type Estimate, reading, SCALAR, type Shape, size } from "../shape.ts";
import { typeOf } from "../type-of.ts";
import { Failure, isList, type List, type Value } from "../value.ts";
import { overload } from "./overload.ts";

const MAX_RANGE = 1_000;

const same = (operands: readonly Shape[]): Estimate => ({
  work: reading(operands) + (operands[0]?.length ?? 0),
  result: operands[0] ?? SCALAR,
});
const joined = ([list = SCALAR, by = { length: 0 }]: readonly Shape[]): Estimate => {
  const length = size(list) + list.length * by.length;
  return { work: list.length + length / 32, result: { length } };
};

export const LISTS = [
  overload("list.join(): string", (list: List) => join(list, ""), joined),
  overload("list.join(string): string", join, joined),
  overload("list<T>.slice(int, int): list<T>", slice, same),
  overload("list.flatten(): list", (list: List) => flatten(list, 1n), flattened),
  overload("list.flatten(int): list", flatten, flattened),
  overload("list<T>.sort(): list<T>", sort, (operands) => ({
    work: sorting(operands[0] ?? SCALAR),
    result: operands[0] ?? SCALAR,
  })),
  overload("list<T>.distinct(): list<T>", distinct, (operands) => ({
    // Every element is compared with every one before it.
    work: (operands[0]?.length ?? 0) * (1 + reading(operands)),
    result: operands[0] ?? SCALAR,
  })),
  overload("lists.range(int): list<int>", range, () => ({
    work: MAX_RANGE / 4,
    result: { length: MAX_RANGE },
  })),
];

function join(list: List, by: string): string | Failure {
  if (!list.every((element) => typeof element === "string"))
    return new Failure("join() needs a list of text");
  const length = list.reduce((sum, text) => sum + text.length, 0) + list.length * by.length;
  return bounded(length) ?? list.join(by);
}

function slice(list: List, start: bigint, end: bigint): List | Failure {
  if (start < 0n || end < start || end > list.length) {
    return new Failure(`slice() of ${start} to ${end} is outside a list of ${list.length}`);
  }
  return list.slice(Number(start), Number(end));
}

function flatten(list: List, depth: bigint): List | Failure {
  if (depth < 0n) return new Failure("flatten() needs a depth that is not negative");
  const result: Value[] = [];
  const visit = (element: Value, left: bigint): void => {
    if (isList(element) && left >= 0n) for (const inner of element) visit(inner, left - 1n);
    else result.push(element);
  };
  visit(list, depth);
  return bounded(result.length) ?? result;
}

function flattened([list = SCALAR]: readonly Shape[]): Estimate {
  const total = size(list);
  return { work: total, result: { length: total, total, any: true } };
}

/** Elements of one type, and of one that has an order. */
function sort(list: List): List | Failure {
  const [first] = list;
  if (first === undefined) return list;
  const wrong = list.find(
    (element) => typeOf(element) !== typeOf(first) || compare(element, element) instanceof Failure,
  );
  if (wrong !== undefined) return new Failure(`sort() needs elements of one type that has an order`);
  return [...list].sort((left, right) => Number(compare(left, right)) || 0);
}

function sorting(list: Shape): number {
  return list.length * Math.log2(list.length + 2) * (1 + size(list) / list.length / 32);
}

function distinct(list: List): List {
  const kept: Value[] = [];
  for (const element of list) if (!kept.some((other) => equal(other, element))) kept.push(element);
  return kept;
}

function range(count: bigint): List | Failure {
  if (count > MAX_RANGE) return new Failure(`lists.range() goes up to ${MAX_RANGE}`);
  return Array.from({ length: Math.max(0, Number(count)) }, (_, index) => BigInt(index));
}
