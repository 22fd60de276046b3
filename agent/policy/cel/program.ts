/** An expression as steps that compute its value. The meaning of CEL's operators is here and in the files beside it. */
import { UnsignedInt } from "@marcbachmann/cel-js/evaluator";
import { adopt } from "./adopt.ts";
import { calculate, negate } from "./arithmetic.ts";
import type { ASTNode } from "./ast.ts";
import { callMatches, callStep } from "./call.ts";
import { equal } from "./compare.ts";
import { comprehensionStep } from "./comprehension.ts";
import { has, index, isIn, listStep, mapStep, select } from "./container.ts";
import { type Step, whenValue } from "./frame.ts";
import { functionsNamed, methodsNamed } from "./functions/library.ts";
import { both, conditional, constant, logical, ordered } from "./operator.ts";
import type { Pattern } from "./regex.ts";
import { noOverload } from "./type-of.ts";
import { Failure, MIN_INT, TypeValue, Uint, type Value } from "./value.ts";
import { isSmallestInteger, type Meaning } from "./vocabulary.ts";

/** What earlier passes found out. */
export interface Plan {
  readonly meanings: ReadonlyMap<ASTNode, Meaning>;
  /** Patterns that are literals, by the node of their call. */
  readonly patterns: ReadonlyMap<ASTNode, Pattern>;
}

export function lower(node: ASTNode, plan: Plan): Step {
  const meaning = plan.meanings.get(node);
  if (meaning !== undefined && meaning.kind !== "function" && meaning.kind !== "loop")
    return lowerName(meaning);
  switch (node.op) {
    case "value":
      return constant(node.args instanceof UnsignedInt ? new Uint(node.args.value) : (node.args as Value));
    case "call":
      return lowerCall(node, plan, undefined);
    case "rcall":
      return meaning?.kind === "loop"
        ? comprehensionStep(node, meaning.depth, (part) => lower(part, plan))
        : lowerCall(node, plan, meaning?.name);
    case "list":
      return listStep(node.args.map((element) => lower(element, plan)));
    case "map":
      return mapStep(node.args.map(([key, value]) => [lower(key, plan), lower(value, plan)]));
    case ".": {
      const [operand, field] = [lower(node.args[0], plan), node.args[1]];
      return (frame) => whenValue(operand(frame), (value) => select(value, field));
    }
    case "[]":
      return both(lower(node.args[0], plan), lower(node.args[1], plan), index);
    case "?:":
      return conditional(node.args.map((part) => lower(part, plan)) as [Step, Step, Step]);
    case "&&":
      return logical(lower(node.args[0], plan), lower(node.args[1], plan), false);
    case "||":
      return logical(lower(node.args[0], plan), lower(node.args[1], plan), true);
    case "!_": {
      const operand = lower(node.args, plan);
      return (frame) =>
        whenValue(operand(frame), (value) => (typeof value === "boolean" ? !value : noOverload("!", value)));
    }
    case "-_": {
      if (isSmallestInteger(node)) return constant(MIN_INT);
      const operand = lower(node.args, plan);
      return (frame) => whenValue(operand(frame), negate);
    }
    default:
      return lowerBinary(node, plan);
  }
}

function lowerName(meaning: Exclude<Meaning, { kind: "function" | "loop" }>): Step {
  switch (meaning.kind) {
    case "literal":
      return constant(meaning.value);
    case "type":
      return constant(new TypeValue(meaning.name));
    case "group":
      return constant(true);
    case "element":
      return (frame) => frame.elements[meaning.depth] as Value;
    case "variable": {
      const words = meaning.path.split(".");
      return (frame) => {
        const value = readVariable(frame.values, words);
        if (value === NOT_KNOWN) return NOT_KNOWN;
        return value === undefined
          ? new Failure(`there is no value for ${meaning.path}`)
          : adopt(value, meaning.type);
      };
    }
  }
}

const NOT_KNOWN = new Failure("its value is not known");

/** Undefined: it is not there; a value that is not known is there, as undefined. */
function readVariable(values: object, words: readonly string[]): unknown {
  let at: unknown = values;
  for (const word of words) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, word)) return undefined;
    at = (at as Readonly<Record<string, unknown>>)[word];
    if (at === undefined) return NOT_KNOWN;
  }
  return at;
}

function lowerCall(
  node: ASTNode & { op: "call" | "rcall" },
  plan: Plan,
  qualified: string | undefined,
): Step {
  const [name] = node.args;
  if (node.op === "call" && name === "has") return lowerHas(node.args[1][0], plan);
  const args = (node.op === "call" ? node.args[1] : node.args[2]).map((arg) => lower(arg, plan));
  const isMethod = node.op === "rcall" && qualified === undefined;
  const operands = isMethod ? [lower(node.args[1], plan), ...args] : args;
  const pattern = plan.patterns.get(node);
  const [text] = operands;
  if (pattern !== undefined && text !== undefined) return callMatches(text, pattern);
  return callStep(
    qualified ?? name,
    isMethod ? methodsNamed(name) : functionsNamed(qualified ?? name),
    operands,
  );
}

function lowerHas(field: ASTNode | undefined, plan: Plan): Step {
  const meaning = field && plan.meanings.get(field);
  // A variable is there when it has a value. One whose value is not known may turn out to be there or not.
  if (field !== undefined && meaning !== undefined) {
    const step = lower(field, plan);
    return (frame) => {
      const value = step(frame);
      return value === NOT_KNOWN ? value : !(value instanceof Failure);
    };
  }
  if (field?.op === ".") {
    const [operand, key] = [lower(field.args[0], plan), field.args[1]];
    return (frame) => whenValue(operand(frame), (value) => has(value, key));
  }
  if (field?.op === "[]") return both(lower(field.args[0], plan), lower(field.args[1], plan), has);
  return constant(new Failure("has() needs a field or a key"));
}

function lowerBinary(node: ASTNode, plan: Plan): Step {
  const [left, right] = (node.args as readonly ASTNode[]).map((operand) => lower(operand, plan)) as [
    Step,
    Step,
  ];
  switch (node.op) {
    case "==":
      return both(left, right, equal);
    case "!=":
      return both(left, right, (a, b) => !equal(a, b));
    case "in":
      return both(left, right, isIn);
    case "<":
      return ordered(left, right, (order) => order < 0);
    case "<=":
      return ordered(left, right, (order) => order <= 0);
    case ">":
      return ordered(left, right, (order) => order > 0);
    case ">=":
      return ordered(left, right, (order) => order >= 0);
    case "+":
    case "-":
    case "*":
    case "/":
    case "%": {
      const { op } = node;
      return both(left, right, (a, b) => calculate(op, a, b));
    }
    default:
      return constant(new Failure(`there is no operator ${node.op}`));
  }
}
