/**
 * The types of an expression: the engine's checker, told of our functions and of what each variable is, and set right where
 * it refuses what CEL allows. Nothing is evaluated by the engine.
 */
import { Environment as Engine, type ParseResult } from "@marcbachmann/cel-js";
import { type ASTNode, COMPREHENSIONS, operands } from "./ast.ts";
import type { VariableType } from "./environment.ts";
import { NAMESPACES, OVERLOADS } from "./functions/library.ts";
import type { Overload } from "./functions/overload.ts";
import type { Source } from "./source.ts";
import { DURATION, TIMESTAMP } from "./type-of.ts";
import type { Meaning } from "./vocabulary.ts";

const LIMITS = {
  maxAstNodes: 4_000,
  maxDepth: 100,
  maxListElements: 500,
  maxMapEntries: 200,
  maxCallArguments: 8,
};

/** The engine has an overload for each type in the place of the one for all. */
const ENGINES_OWN: ReadonlySet<string> = new Set(["type", "dyn"]);

/** Knows every function and no variable. */
const LANGUAGE = withFunctions(new Engine({ homogeneousAggregateLiterals: false, limits: LIMITS }));

/** One of the engine's types, as it leaves them on the nodes it has checked. */
type EngineType = object;

const BYTES = typeOfExample('bytes("")');
const DOUBLE = typeOfExample("1.5");
const STRING = typeOfExample('""');
const STRINGS_BY_NAME = typeOfExample('{"": ""}');
const TYPE = typeOfExample("int");
const TIME = typeOfExample("timestamp(0)");
const LENGTH = typeOfExample('duration("0s")');
const BOOL = typeOfExample("true");
const LIST_OF_ANYTHING = typeOfExample("[dyn(1)]");

/** What the engine offers to macros, which its type declarations leave out. */
interface Checkable {
  checkedType?: EngineType;
  readonly meta: { readonly check: (checker: Checker, node: Checkable, context: object) => EngineType };
  setMeta(
    key: "macro",
    macro: { typeCheck(checker: Checker, macro: object, context: object): EngineType },
  ): void;
}
interface Checker {
  check(node: ASTNode, context: object): EngineType;
}

/** Only the syntax: the names are nobody's yet. Throws the engine's error. */
export function parseExpression(text: string): ParseResult {
  return LANGUAGE.parse(text);
}

/** The type of what was parsed, in CEL's words. Throws the engine's error where there is none. */
export function checkTypes(
  parsed: ParseResult,
  source: Source,
  meanings: ReadonlyMap<ASTNode, Meaning>,
): string {
  setRight(parsed.ast, meanings, source);
  const { valid, type, error } = parsed.check();
  if (!valid || type === undefined) throw error;
  return type.replaceAll(TIMESTAMP, "timestamp").replaceAll(DURATION, "duration");
}

/** Types on the nodes that the engine would get wrong: one that has a type is not looked at again. */
function setRight(node: ASTNode, meanings: ReadonlyMap<ASTNode, Meaning>, source: Source): void {
  const checkable = node as unknown as Checkable;
  const meaning = meanings.get(node);
  if (meaning?.kind === "literal") checkable.checkedType = typeof meaning.value === "number" ? DOUBLE : BYTES;
  if (meaning?.kind === "type") checkable.checkedType = TYPE;
  if (meaning?.kind === "variable") checkable.checkedType = typeNamed(meaning.type);
  if (node.op === "call" && node.args[0] === "has") letHasTakeAnything(checkable, node.args[1][0], meanings);
  // The engine knows no type for the elements of `[]`, and so refuses whatever is done with them.
  if (node.op === "rcall" && COMPREHENSIONS.has(node.args[0]) && isEmptyList(node.args[1])) {
    (node.args[1] as unknown as Checkable).checkedType = LIST_OF_ANYTHING;
  }
  if (node.op === "+") letDurationGoFirst(checkable, node);
  for (const operand of operands(node)) setRight(operand, meanings, source);
}

/** `has(m["key"])` and `has({...}.key)`: the engine takes nothing but a chain of names. */
function letHasTakeAnything(
  call: Checkable,
  field: ASTNode | undefined,
  meanings: ReadonlyMap<ASTNode, Meaning>,
): void {
  // A variable, or a group of them, has no operands that the engine knows.
  const checked = field === undefined || meanings.has(field) ? [] : operands(field);
  call.setMeta("macro", {
    typeCheck(checker, _macro, context) {
      for (const operand of checked) checker.check(operand, context);
      return BOOL;
    },
  });
}

/** A duration plus a timestamp is a timestamp: the engine takes the type on the left. */
function letDurationGoFirst(sum: Checkable, { args: [left, right] }: ASTNode & { op: "+" }): void {
  sum.setMeta("macro", {
    typeCheck(checker, _macro, context) {
      const isTime = checker.check(left, context) === LENGTH && checker.check(right, context) === TIME;
      return isTime ? TIME : sum.meta.check(checker, sum, context);
    },
  });
}

function isEmptyList(node: ASTNode): boolean {
  return node.op === "list" && node.args.length === 0;
}

function typeOfExample(text: string, engine = LANGUAGE): EngineType {
  const { ast, check } = engine.parse(text);
  check();
  const { checkedType } = ast as unknown as Checkable;
  if (checkedType === undefined) throw new Error(`the engine has no type for ${text}`);
  return checkedType;
}

function engineType(type: string): string {
  return type.replaceAll("timestamp", TIMESTAMP).replaceAll("duration", DURATION);
}

/** The engine's type of that name, found by declaring something to be of it. */
function typeNamed(type: VariableType): EngineType {
  const known = type === "string" ? STRING : type === "map<string, string>" ? STRINGS_BY_NAME : undefined;
  return known ?? typeOfExample("example", LANGUAGE.clone().registerVariable("example", engineType(type)));
}

/** Ours beside the engine's own; vocabulary.ts decides which can be called. */
function withFunctions(engine: Engine): Engine {
  const known = new Set(engine.getDefinitions().functions.map(({ signature }) => operandsOf(signature)));
  for (const namespace of NAMESPACES) {
    const type = class {};
    engine
      .registerType(typeOfNamespace(namespace), type)
      .registerConstant(namespace, typeOfNamespace(namespace), new type());
  }
  for (const overload of OVERLOADS) {
    const signature = engineSignature(overload);
    if (known.has(operandsOf(signature)) || ENGINES_OWN.has(overload.name)) continue;
    engine.registerFunction(signature, () => null, { async: false });
  }
  return engine
    .registerOperator("bytes < bytes", () => false)
    .registerOperator("bytes <= bytes", () => false)
    .registerOperator("bytes > bytes", () => false)
    .registerOperator("bytes >= bytes", () => false);
}

function engineSignature({ name, isMethod, parameters, returns }: Overload): string {
  const [namespace, word] = name.includes(".") ? name.split(".") : [undefined, name];
  const types = parameters.map(engineType);
  const receiver = isMethod ? types.shift() : namespace && typeOfNamespace(namespace);
  return `${receiver === undefined ? "" : `${receiver}.`}${word}(${types.join(", ")}): ${engineType(returns)}`;
}

function operandsOf(signature: string): string {
  return signature.replace(/:.*$/, "").replaceAll("list<dyn>", "list").replaceAll("map<dyn, dyn>", "map");
}

/** The engine's type names have no underscores. */
function typeOfNamespace(namespace: string): string {
  return `podgate.${namespace.replaceAll("_", "")}`;
}
