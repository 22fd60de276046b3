/**
 * An upper bound of what evaluating an expression can cost, from its text alone. A few hundred characters of nested
 * `map` could hold up the agent, and with it every pod's verdict, for seconds.
 */

import { MAX_SIZE } from "./arithmetic.ts";
import { type ASTNode, operands } from "./ast.ts";
import { DEFAULT_BOUND, type Environment } from "./environment.ts";
import { ExpressionFault } from "./fault.ts";
import { functionsNamed, methodsNamed } from "./functions/library.ts";
import type { Plan } from "./program.ts";
import {
  anything,
  type Estimate,
  eachOf,
  largest,
  oneOf,
  reading,
  SCALAR,
  type Shape,
  size,
  sum,
  together,
} from "./shape.ts";
import type { Meaning } from "./vocabulary.ts";

/** A unit is about 100 ns: the whole stays below 20 ms. */
const MAX_COST = 150_000;
const MAX_NESTING = 2;

interface Cost {
  readonly cost: number;
  readonly shape: Shape;
}

interface Scope {
  readonly plan: Plan;
  readonly environment: Environment;
  /** What the comprehensions around this node stand at, the outermost first. */
  readonly elements: readonly Shape[];
}

/** The most that evaluating `root` can cost, in units. Throws an ExpressionFault when that is too much. Its names have been checked. */
export function boundCost(root: ASTNode, plan: Plan, environment: Environment): number {
  const { cost } = estimate(root, { plan, environment, elements: [] });
  if (cost > MAX_COST) throw new ExpressionFault("the expression could take too long: make it simpler", root);
  return cost;
}

function estimate(node: ASTNode, scope: Scope): Cost {
  const result = estimateNode(node, scope);
  if (size(result.shape) > MAX_SIZE)
    throw new ExpressionFault("its values could grow too large: make it simpler", node);
  return result;
}

function estimateNode(node: ASTNode, scope: Scope): Cost {
  const meaning = scope.plan.meanings.get(node);
  if (meaning?.kind === "loop" && node.op === "rcall") return estimateLoop(node, scope);
  if (meaning !== undefined && meaning.kind !== "function")
    return { cost: 1, shape: shapeOf(meaning, scope) };
  if (node.op === "value") return { cost: 1, shape: literalShape(node.args) };
  const parts = operands(node).map((operand) => estimate(operand, scope));
  const shapes = parts.map(({ shape }) => shape);
  const { work, result } = estimateOperation(node, shapes, scope.plan);
  return { cost: 1 + sum(parts.map(({ cost }) => cost)) + work, shape: result };
}

function shapeOf(meaning: Meaning, { environment, elements }: Scope): Shape {
  if (meaning.kind === "literal") return literalShape(meaning.value);
  if (meaning.kind === "element") return elements[meaning.depth] ?? SCALAR;
  if (meaning.kind !== "variable") return SCALAR;
  const { entries, characters } = environment.bounds.get(meaning.path) ?? DEFAULT_BOUND;
  if (meaning.type === "string" || meaning.type === "bytes") return { length: characters };
  if (meaning.type === "dyn") return anything(characters);
  return /^(list|map)/.test(meaning.type) ? together(entries, characters) : SCALAR;
}

function literalShape(value: unknown): Shape {
  return typeof value === "string" || value instanceof Uint8Array ? { length: value.length } : SCALAR;
}

function estimateLoop(node: ASTNode & { op: "rcall" }, scope: Scope): Cost {
  const [macro, receiver, [, ...bodies]] = node.args;
  if (scope.elements.length >= MAX_NESTING) {
    throw new ExpressionFault(
      `more than ${MAX_NESTING} comprehensions inside each other: make it simpler`,
      node,
    );
  }
  const range = estimate(receiver, scope);
  const element = eachOf(range.shape);
  const inside = { ...scope, elements: [...scope.elements, element] };
  const steps = bodies.map((body) => estimate(body, inside));
  const { length } = range.shape;
  const cost = 1 + range.cost + length * (2 + sum(steps.map((step) => step.cost)));
  if (macro === "map") return { cost, shape: { length, element: steps.at(-1)?.shape ?? SCALAR } };
  return { cost, shape: macro === "filter" ? range.shape : SCALAR };
}

function estimateOperation(node: ASTNode, shapes: readonly Shape[], plan: Plan): Estimate {
  const [left = SCALAR, right = SCALAR] = shapes;
  switch (node.op) {
    case ".":
      // A key that is written out is not each in turn.
      return { work: 0, result: oneOf(left, SCALAR) };
    case "[]":
      return { work: 0, result: oneOf(left, right) };
    case "list":
    case "map":
      return { work: 0, result: { length: shapes.length, element: largest(shapes) } };
    case "?:":
      return { work: 0, result: largest(shapes.slice(1)) };
    case "+":
      return { work: reading(shapes), result: added(left, right) };
    case "call":
    case "rcall":
      return estimateCall(node, shapes, plan);
    default:
      return { work: reading(shapes), result: SCALAR };
  }
}

function added(left: Shape, right: Shape): Shape {
  const length = left.length + right.length;
  const total = size(left) + size(right);
  if (left.any || right.any || left.element?.element || right.element?.element) return anything(total);
  return left.element || right.element ? together(length, total) : { length };
}

/** The most over the overloads: which of them it will be, nobody knows. */
function estimateCall(
  node: ASTNode & { op: "call" | "rcall" },
  shapes: readonly Shape[],
  plan: Plan,
): Estimate {
  const pattern = plan.patterns.get(node);
  // Measured where the automaton has to be simulated: about a unit per instruction and character.
  if (pattern !== undefined) return { work: size(shapes[0] ?? SCALAR) * pattern.size, result: SCALAR };
  const meaning = plan.meanings.get(node);
  const isMethod = node.op === "rcall" && meaning === undefined;
  const name = meaning?.kind === "function" ? meaning.name : node.args[0];
  // Before the dot of `rand.int(...)` stands no operand.
  const given = node.op === "rcall" && !isMethod ? shapes.slice(1) : shapes;
  const overloads = (isMethod ? methodsNamed(name) : functionsNamed(name)).filter(
    ({ parameters }) => parameters.length === given.length,
  );
  const estimates = overloads.map((overload) => overload.estimate(given));
  return {
    work: Math.max(0, ...estimates.map(({ work }) => work)),
    result: largest(estimates.map(({ result }) => result)),
  };
}
