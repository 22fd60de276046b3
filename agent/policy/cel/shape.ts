/** What can be known of a value's size before it exists: an upper bound. */

export interface Shape {
  /** Characters, bytes or elements. */
  readonly length: number;
  /** Its elements, or a map's values; without one they are single things. */
  readonly element?: Shape;
  /** Characters of everything in it together, where that is less than length times element. */
  readonly total?: number;
  /** One of several that have a `total` together: each in turn is on average this long. */
  readonly average?: boolean;
  /** Its elements are like it, to any depth: nobody knows what it is. */
  readonly any?: boolean;
}

export const SCALAR: Shape = { length: 1 };

/** What a call can cost beyond its operands, and how large its result can be. */
export interface Estimate {
  readonly work: number;
  readonly result: Shape;
}

export type Estimator = (operands: readonly Shape[]) => Estimate;

export function size(shape: Shape): number {
  return shape.total ?? shape.length * (shape.element === undefined ? 1 : size(shape.element));
}

/** Many values that have `total` characters together. */
export function together(entries: number, total: number): Shape {
  return { length: entries, total, element: { length: Math.max(1, total / entries), average: true } };
}

/** Something unknown with `total` characters and elements. */
export function anything(total: number): Shape {
  return { length: total, total, any: true };
}

/** What one turn of a loop over `shape` sees: the sum over all turns is what matters. */
export function eachOf(shape: Shape): Shape {
  if (shape.any) return { ...shape, length: 1, total: 1, average: true };
  return shape.element ?? SCALAR;
}

/** What is found under one index or key: the largest there can be, unless the index is each in turn. */
export function oneOf(shape: Shape, index: Shape): Shape {
  if (shape.any) return shape;
  const { element = SCALAR, total } = shape;
  return total === undefined || (element.average && index.average)
    ? element
    : { ...element, length: total, average: false };
}

export function largest(shapes: readonly Shape[]): Shape {
  return shapes.reduce((a, b) => (size(b) > size(a) ? b : a), SCALAR);
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}

/** Reading everything once: a unit looks at some 32 characters. */
export function reading(operands: readonly Shape[]): number {
  return sum(operands.map(size)) / 32;
}
