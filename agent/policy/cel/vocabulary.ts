/**
 * Which names an expression uses, and whether they exist. The engine's own checker lets unknown names pass inside
 * `has()` and offers functions that are not CEL's, or not quite; so what may be called is listed here.
 */
import { type ASTNode, COMPREHENSIONS, operands, selectChain } from "./ast.ts";
import type { Environment, VariableGroup, VariableType } from "./environment.ts";
import { ExpressionFault } from "./fault.ts";
import { missingFunction, missingVariable, refusal } from "./missing-name.ts";

const MAX_DEPTH = 200;
const MAX_INT = 2n ** 63n - 1n;
const METHODS: ReadonlySet<string> = new Set(["startsWith", "endsWith", "contains", "matches", "size"]);
const FUNCTIONS: ReadonlySet<string> = new Set(["size"]);
/** Keys that the engine drops from a map it builds. */
const LOST_KEYS: ReadonlySet<unknown> = new Set(["__proto__", "constructor", "prototype"]);

export interface Names {
  /** Variables, as full paths. */
  readonly reads: ReadonlySet<string>;
  /** Functions and methods, as written. */
  readonly calls: ReadonlySet<string>;
}

/** The names `root` uses. Throws an ExpressionFault at the first that does not exist. */
export function readNames(root: ASTNode, environment: Environment): Names {
  const read = new Set<string>();
  const called = new Set<string>();
  visit(root, { environment, read, called, bound: new Set(), depth: 0 });
  return { reads: read, calls: called };
}

interface Scope {
  readonly environment: Environment;
  readonly called: Set<string>;
  readonly read: Set<string>;
  /** Names that comprehensions around this node bind. */
  readonly bound: ReadonlySet<string>;
  readonly depth: number;
}

function visit(node: ASTNode, outer: Scope): void {
  const scope = { ...outer, depth: outer.depth + 1 };
  if (scope.depth > MAX_DEPTH) {
    throw new ExpressionFault(
      "the expression is nested too deep: split it into several expressions or rules",
    );
  }
  if (node.op === "id" || node.op === ".") visitChain(node, scope, false);
  else if (node.op === "call") visitCall(node, scope);
  else if (node.op === "rcall") visitMethod(node, scope);
  else {
    if (node.op === "map") checkKeys(node);
    if (node.op === "value") checkInteger(node, node.args);
    if (!isSmallestInteger(node)) for (const operand of operands(node)) visit(operand, scope);
  }
}

/** The engine reads integers of any size; CEL's have 64 bits. */
function checkInteger(node: ASTNode, value: unknown): void {
  if (typeof value === "bigint" && value > MAX_INT) {
    throw new ExpressionFault(`${value} is no 64-bit integer: write a smaller number`, node);
  }
}

/** -2^63: the only place for a literal of 2^63. Elsewhere the engine negates without looking for overflow. */
function isSmallestInteger(node: ASTNode): boolean {
  if (node.op !== "-_") return false;
  if (node.args.op !== "value") throw new ExpressionFault("`-` needs a number: write `0 - x`", node);
  return node.args.args === MAX_INT + 1n;
}

function visitChain(node: ASTNode, scope: Scope, insideHas: boolean): void {
  const chain = selectChain(node);
  if (chain === undefined || scope.bound.has(chain[0]?.word ?? "")) {
    for (const operand of operands(node)) visit(operand, scope);
    return;
  }
  const { environment } = scope;
  const words = chain.map(({ word }) => word);
  let type: VariableType | VariableGroup = environment.variables;
  let path = "";
  for (const step of chain) {
    // Below a map every name is a key.
    if (typeof type === "string" && (type === "dyn" || type.startsWith("map<"))) break;
    const parent = path;
    path = parent === "" ? step.word : `${parent}.${step.word}`;
    if (typeof type === "string") {
      const why = refusal(words, environment) ?? `\`${parent}\` is a ${type}: it has no fields`;
      throw new ExpressionFault(why, step.node);
    }
    const field: VariableType | VariableGroup | undefined = Object.hasOwn(type, step.word)
      ? type[step.word]
      : undefined;
    if (field === undefined) throw new ExpressionFault(missingVariable(words, environment), step.node);
    type = field;
  }
  if (typeof type !== "string" && !insideHas) {
    throw new ExpressionFault(`\`${path}\` is a group of variables: name one of ${fields(path, type)}`, node);
  }
  scope.read.add(path);
}

function fields(path: string, group: VariableGroup): string {
  return Object.keys(group)
    .map((field) => `${path}.${field}`)
    .join(", ");
}

function visitCall(node: ASTNode & { op: "call" }, scope: Scope): void {
  const [name, args] = node.args;
  scope.called.add(name);
  if (name === "has") {
    visitHas(node, args, scope);
    return;
  }
  if (!FUNCTIONS.has(name)) throw new ExpressionFault(missingFunction(name), node);
  for (const arg of args) visit(arg, scope);
}

function visitHas(node: ASTNode, args: readonly ASTNode[], scope: Scope): void {
  const [field] = args;
  if (args.length !== 1 || field === undefined || field.op !== ".") {
    throw new ExpressionFault(
      'has() needs a field, such as has(conn.k8s.pod.id): for a map write `"key" in conn.k8s.pod.metadata.annotations`',
      node,
    );
  }
  visitChain(field, scope, true);
}

function visitMethod(node: ASTNode & { op: "rcall" }, scope: Scope): void {
  const [name, receiver, args] = node.args;
  scope.called.add(name);
  const known = METHODS.has(name) || COMPREHENSIONS.has(name);
  // `time.now()` and `rand.int()`: the name before the dot says more than the method's.
  if (known || receiver.op !== "id") visit(receiver, scope);
  else if (!scope.bound.has(receiver.args) && !Object.hasOwn(scope.environment.variables, receiver.args)) {
    throw new ExpressionFault(missingVariable([receiver.args, name], scope.environment), node);
  }
  if (!known) throw new ExpressionFault(missingFunction(name), node);
  if (!COMPREHENSIONS.has(name)) {
    for (const arg of args) visit(arg, scope);
    return;
  }
  const [variable, ...bodies] = args;
  if (variable?.op !== "id" || bodies.length < 1 || bodies.length > (name === "map" ? 2 : 1)) {
    throw new ExpressionFault(`write ${name}(x, ...) with a name and what is to be done with it`, node);
  }
  if (Object.hasOwn(scope.environment.variables, variable.args)) {
    throw new ExpressionFault(`\`${variable.args}\` is a variable already: use another name`, variable);
  }
  const inside = { ...scope, bound: new Set([...scope.bound, variable.args]) };
  for (const body of bodies) visit(body, inside);
}

/** The engine keeps the last of equal keys, turns numbers into text and drops a few names: only plain, distinct text stays. */
function checkKeys(node: ASTNode & { op: "map" }): void {
  const seen = new Set<unknown>();
  for (const [key] of node.args) {
    const text = key.op === "value" && typeof key.args === "string" ? key.args : undefined;
    if (text === undefined || LOST_KEYS.has(text)) {
      throw new ExpressionFault("a map's key is a string literal that is no reserved word: write it so", key);
    }
    if (seen.has(text))
      throw new ExpressionFault(`the map has the key ${JSON.stringify(text)} twice: keep one`, key);
    seen.add(text);
  }
}
