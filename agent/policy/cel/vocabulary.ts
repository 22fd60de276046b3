/**
 * What the names in an expression mean, and whether they exist. The engine's own checker lets unknown names pass inside
 * `has()` and offers functions that are not CEL's, or not quite; so what may be called is listed here.
 */
import { type ASTNode, COMPREHENSIONS, operands, selectChain } from "./ast.ts";
import type { Environment, VariableGroup, VariableType } from "./environment.ts";
import { ExpressionFault } from "./fault.ts";
import { functionsNamed, methodsNamed, missingFunction, NAMESPACES } from "./functions/library.ts";
import { missingVariable, refusal } from "./missing-name.ts";
import type { Source } from "./source.ts";
import { TYPE_NAMES } from "./type-of.ts";
import { MAX_INT, type Value } from "./value.ts";

const MAX_DEPTH = 200;

/** What a name, a chain of names or a call stands for. Other nodes have no entry. */
export type Meaning =
  | { readonly kind: "variable"; readonly path: string; readonly type: VariableType }
  /** Only inside has(): a group of variables is there, whatever is in it. */
  | { readonly kind: "group" }
  /** What the comprehension at `depth` stands at; 0 is the outermost. */
  | { readonly kind: "element"; readonly depth: number }
  | { readonly kind: "type"; readonly name: string }
  | { readonly kind: "literal"; readonly value: Value }
  /** A comprehension inside `depth` others. */
  | { readonly kind: "loop"; readonly depth: number }
  /** A function with its namespace, such as `rand.int`. */
  | { readonly kind: "function"; readonly name: string };

export interface Names {
  /** Variables, as full paths. */
  readonly reads: ReadonlySet<string>;
  /** Functions, methods and macros, as written, with their namespace: `rand.int`. */
  readonly calls: ReadonlySet<string>;
  readonly meanings: ReadonlyMap<ASTNode, Meaning>;
}

/** The names `root` uses. Throws an ExpressionFault at the first that does not exist. */
export function readNames(root: ASTNode, source: Source, environment: Environment): Names {
  const names = { reads: new Set<string>(), calls: new Set<string>(), meanings: new Map<ASTNode, Meaning>() };
  visit(root, { ...names, source, environment, bound: [], depth: 0 });
  return names;
}

interface Scope {
  readonly reads: Set<string>;
  readonly calls: Set<string>;
  readonly meanings: Map<ASTNode, Meaning>;
  readonly source: Source;
  readonly environment: Environment;
  /** Names that comprehensions around this node bind, the outermost first. */
  readonly bound: readonly string[];
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

/** -2^63: the only place for a literal of 2^63. */
export function isSmallestInteger(node: ASTNode): boolean {
  return node.op === "-_" && node.args.op === "value" && node.args.args === MAX_INT + 1n;
}

function visitChain(node: ASTNode, scope: Scope, insideHas: boolean): void {
  const chain = selectChain(node);
  const [first] = chain ?? [];
  if (chain === undefined || first === undefined || isBound(first, scope) || isLiteral(first.node, scope)) {
    markStart(node, scope);
    return;
  }
  const words = chain.map(({ word }) => word);
  if (TYPE_NAMES.has(words.join(".")) && !Object.hasOwn(scope.environment.variables, first.word)) {
    scope.meanings.set(node, { kind: "type", name: words.join(".") });
    return;
  }
  visitVariable(chain, scope, insideHas);
}

function isBound({ word, node }: { word: string; node: ASTNode }, scope: Scope): boolean {
  return scope.bound.includes(word) && !scope.source.absolute.has(node.start);
}

function isLiteral(node: ASTNode, scope: Scope): boolean {
  return scope.source.literals.has(node.start);
}

/** A chain that starts at no variable: at what a comprehension binds, a literal, or any other operand. */
function markStart(node: ASTNode, scope: Scope): void {
  if (node.op === "id") {
    const value = scope.source.literals.get(node.start);
    scope.meanings.set(
      node,
      value === undefined
        ? { kind: "element", depth: scope.bound.lastIndexOf(node.args) }
        : { kind: "literal", value },
    );
  }
  for (const operand of operands(node)) visit(operand, scope);
}

function visitVariable(
  chain: readonly { word: string; node: ASTNode }[],
  { environment, reads, meanings }: Scope,
  insideHas: boolean,
): void {
  const words = chain.map(({ word }) => word);
  let type: VariableType | VariableGroup = environment.variables;
  let path = "";
  let reached: ASTNode | undefined;
  for (const step of chain) {
    // Below a map every name is a key, and of what is only known later nobody can say.
    if (typeof type === "string" && (type === "dyn" || type.startsWith("map<"))) break;
    if (typeof type === "string") {
      throw new ExpressionFault(
        refusal(words, environment) ?? `\`${path}\` is a ${type}: it has no fields`,
        step.node,
      );
    }
    path = path === "" ? step.word : `${path}.${step.word}`;
    const field: VariableType | VariableGroup | undefined = Object.hasOwn(type, step.word)
      ? type[step.word]
      : undefined;
    if (field === undefined) throw new ExpressionFault(missingVariable(words, environment), step.node);
    type = field;
    reached = step.node;
  }
  if (reached === undefined) return;
  if (typeof type === "string") meanings.set(reached, { kind: "variable", path, type });
  else if (insideHas) meanings.set(reached, { kind: "group" });
  else {
    const fields = Object.keys(type).map((field) => `${path}.${field}`);
    throw new ExpressionFault(
      `\`${path}\` is a group of variables: name one of ${fields.join(", ")}`,
      reached,
    );
  }
  reads.add(path);
}

function visitCall(node: ASTNode & { op: "call" }, scope: Scope): void {
  const [name, args] = node.args;
  scope.calls.add(name);
  if (name === "has") {
    visitHas(node, args, scope);
    return;
  }
  if (functionsNamed(name).length === 0) throw new ExpressionFault(missingFunction(name), node);
  for (const arg of args) visit(arg, scope);
}

/** ngrok's has() takes an index too. */
function visitHas(node: ASTNode, args: readonly ASTNode[], scope: Scope): void {
  const [field] = args;
  if (args.length !== 1 || field === undefined || (field.op !== "." && field.op !== "[]")) {
    throw new ExpressionFault(
      'has() needs a field or a key, such as has(conn.k8s.pod.metadata.annotations["key"])',
      node,
    );
  }
  if (field.op === ".") visitChain(field, scope, true);
  else for (const operand of operands(field)) visit(operand, scope);
}

function visitMethod(node: ASTNode & { op: "rcall" }, scope: Scope): void {
  const [method, receiver, args] = node.args;
  const isFree = receiver.op === "id" && !isBound({ word: receiver.args, node: receiver }, scope);
  if (isFree && !Object.hasOwn(scope.environment.variables, receiver.args) && !isLiteral(receiver, scope)) {
    const name = `${receiver.args}.${method}`;
    scope.calls.add(name);
    if (functionsNamed(name).length === 0) throw new ExpressionFault(unknownIn(name, scope), node);
    scope.meanings.set(node, { kind: "function", name });
    for (const arg of args) visit(arg, scope);
    return;
  }
  scope.calls.add(method);
  if (COMPREHENSIONS.has(method)) {
    visitComprehension(node, scope);
    return;
  }
  if (methodsNamed(method).length === 0) throw new ExpressionFault(missingFunction(method), node);
  visit(receiver, scope);
  for (const arg of args) visit(arg, scope);
}

/** `time.now()`, `rand.float()`: the name before the dot says more than the method's. */
function unknownIn(name: string, { environment }: Scope): string {
  const words = name.split(".");
  const isNamespace = NAMESPACES.has(words[0] ?? "") || missingFunction(name).includes("not available");
  return isNamespace ? missingFunction(name) : missingVariable(words, environment);
}

function visitComprehension(node: ASTNode & { op: "rcall" }, scope: Scope): void {
  const [name, receiver, [variable, ...bodies]] = node.args;
  visit(receiver, scope);
  if (variable?.op !== "id" || bodies.length < 1 || bodies.length > (name === "map" ? 2 : 1)) {
    throw new ExpressionFault(`write ${name}(x, ...) with a name and what is to be done with it`, node);
  }
  const { environment } = scope;
  const taken = Object.hasOwn(environment.variables, variable.args) || NAMESPACES.has(variable.args);
  if (taken || isLiteral(variable, scope)) {
    throw new ExpressionFault(`\`${variable.args}\` is a variable already: use another name`, variable);
  }
  scope.meanings.set(node, { kind: "loop", depth: scope.bound.length });
  const inside = { ...scope, bound: [...scope.bound, variable.args] };
  for (const body of bodies) visit(body, inside);
}
