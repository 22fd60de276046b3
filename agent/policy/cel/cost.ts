/**
 * An upper bound of what evaluating an expression can cost, from its text alone. A few hundred characters of nested
 * `map` could hold up the agent, and with it every pod's verdict, for seconds.
 */
import { type ASTNode, COMPREHENSIONS, MATCHES_RE2, operands } from "./ast.ts";
import { ExpressionFault } from "./fault.ts";
import { Pattern } from "./regex.ts";

/** A unit is about 100 ns: the whole stays below 15 ms. */
const MAX_COST = 100_000;
/** Characters or elements of any value on the way. */
const MAX_SIZE = 100_000;
const MAX_NESTING = 2;

/** Bytes of all annotations together, and how many they can be (a key is a prefix and a name). */
const ANNOTATION_BYTES = 1024;
const MAX_ANNOTATIONS = 128;
/** Pod names have 253 characters at most, everything else but annotations is shorter. */
const MAX_NAME = 253;

/** What is known of a value: its characters or elements, and what the elements are. */
interface Shape {
  readonly length: number;
  readonly element?: Shape;
  /** One of the annotations in turn: all of them together have 1024 bytes, so on average few. */
  readonly average?: boolean;
}

interface Estimate {
  readonly cost: number;
  readonly shape: Shape;
}

interface Scope {
  readonly bound: ReadonlyMap<string, Shape>;
  readonly nesting: number;
}

const SCALAR: Shape = { length: 1 };
const AVERAGE: Shape = { length: ANNOTATION_BYTES / MAX_ANNOTATIONS, average: true };
const ANNOTATIONS: Shape = { length: MAX_ANNOTATIONS, element: AVERAGE };

/** The most that evaluating `root` can cost, in units. Throws an ExpressionFault when that is too much. Its names have been checked and its patterns compiled. */
export function boundCost(root: ASTNode): number {
  const { cost } = estimate(root, { bound: new Map(), nesting: 0 });
  if (cost > MAX_COST) throw new ExpressionFault("the expression could take too long: make it simpler", root);
  return cost;
}

function estimate(node: ASTNode, scope: Scope): Estimate {
  const result = estimateNode(node, scope);
  if (size(result.shape) > MAX_SIZE)
    throw new ExpressionFault("its values could grow too large: make it simpler", node);
  return result;
}

function estimateNode(node: ASTNode, scope: Scope): Estimate {
  switch (node.op) {
    case "value":
      return { cost: 1, shape: literalShape(node.args) };
    case "id":
      return { cost: 1, shape: scope.bound.get(node.args) ?? SCALAR };
    case ".":
      return estimateField(node, scope);
    case "[]":
      return estimateIndex(node, scope);
    case "rcall":
      if (COMPREHENSIONS.has(node.args[0])) return estimateComprehension(node, scope);
      break;
    default:
  }
  const parts = operands(node).map((operand) => estimate(operand, scope));
  const cost = 1 + sum(parts.map((part) => part.cost)) + workOf(node, parts);
  return {
    cost,
    shape: resultShape(
      node,
      parts.map((part) => part.shape),
    ),
  };
}

function literalShape(value: unknown): Shape {
  return typeof value === "string" || value instanceof Uint8Array ? { length: value.length } : SCALAR;
}

function estimateField(node: ASTNode & { op: "." }, scope: Scope): Estimate {
  const [receiver, field] = node.args;
  const { cost, shape } = estimate(receiver, scope);
  if (shape === ANNOTATIONS) return { cost: cost + 1, shape: { length: ANNOTATION_BYTES } };
  // A group of variables has no shape of its own; a map literal has its values'.
  return {
    cost: cost + 1,
    shape: field === "annotations" ? ANNOTATIONS : (shape.element ?? { length: MAX_NAME }),
  };
}

function estimateIndex(node: ASTNode & { op: "[]" }, scope: Scope): Estimate {
  const [receiver, index] = node.args.map((operand) => estimate(operand, scope)) as [Estimate, Estimate];
  const cost = 1 + receiver.cost + index.cost;
  if (receiver.shape !== ANNOTATIONS) return { cost, shape: receiver.shape.element ?? SCALAR };
  return { cost, shape: index.shape.average ? AVERAGE : { length: ANNOTATION_BYTES } };
}

function estimateComprehension(node: ASTNode & { op: "rcall" }, scope: Scope): Estimate {
  const [macro, receiver, [variable, ...bodies]] = node.args;
  if (scope.nesting >= MAX_NESTING) {
    throw new ExpressionFault(
      `more than ${MAX_NESTING} comprehensions inside each other: make it simpler`,
      node,
    );
  }
  const range = estimate(receiver, scope);
  const element = range.shape.element ?? SCALAR;
  const name = variable?.op === "id" ? variable.args : "";
  const inside = { bound: new Map([...scope.bound, [name, element]]), nesting: scope.nesting + 1 };
  const steps = bodies.map((body) => estimate(body, inside));
  const cost = 1 + range.cost + range.shape.length * (2 + sum(steps.map((step) => step.cost)));
  const { length } = range.shape;
  if (macro === "map") return { cost, shape: { length, element: steps.at(-1)?.shape ?? SCALAR } };
  return { cost, shape: macro === "filter" ? { length, element } : SCALAR };
}

/** Work beyond visiting the node: comparing, searching, copying, matching. A unit looks at some 32 characters. */
function workOf(node: ASTNode, parts: readonly Estimate[]): number {
  const sizes = parts.map((part) => size(part.shape));
  const [left = 0, right = 0] = sizes;
  if (node.op !== "rcall") return node.op === "list" || node.op === "map" ? 0 : sum(sizes) / 32;
  const [method, , [argument]] = node.args;
  // Measured where the automaton has to be simulated: about a unit per instruction and character.
  if (method === MATCHES_RE2) return left * patternSize(argument);
  return method === "contains" ? (left * (1 + right / 32)) / 32 : sum(sizes) / 32;
}

function patternSize(argument: ASTNode | undefined): number {
  const pattern: unknown = argument?.op === "value" ? argument.args : undefined;
  return pattern instanceof Pattern ? pattern.size : Number.POSITIVE_INFINITY;
}

function resultShape(node: ASTNode, parts: readonly Shape[]): Shape {
  const largest = parts.reduce((a, b) => (size(b) > size(a) ? b : a), SCALAR);
  switch (node.op) {
    case "+":
      return { ...largest, length: sum(parts.map((part) => part.length)), average: false };
    case "?:":
      return largest;
    case "list":
    case "map":
      return { length: parts.length, element: largest };
    default:
      return SCALAR;
  }
}

function size(shape: Shape): number {
  return shape.length * (shape.element === undefined ? 1 : size(shape.element));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
