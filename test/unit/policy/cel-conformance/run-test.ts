/** One test of the specification's suite, run on our layer. */
import type { SimpleTest } from "@bufbuild/cel-spec/cel/expr/conformance/test/simple_pb.js";
import { compileExpression } from "../../../../agent/policy/cel/compile.ts";
import type { Environment, VariableGroup, VariableType } from "../../../../agent/policy/cel/environment.ts";
import type { Value } from "../../../../agent/policy/cel/value.ts";
import { asText, celValue, typeName } from "./canonical.ts";

export type Outcome =
  | { readonly kind: "value"; readonly text: string; readonly type: string }
  | { readonly kind: "error" | "refused"; readonly why: string };

export interface Expected {
  readonly error: boolean;
  readonly text: string | undefined;
  readonly type: string | undefined;
}

/** What the test wants; undefined where it is made of what our layer does not have. */
function expectedOf(test: SimpleTest): Expected | undefined {
  const { case: kind, value } = test.resultMatcher;
  if (kind === "evalError" || kind === "anyEvalErrors")
    return { error: true, text: undefined, type: undefined };
  if (kind === "unknown" || kind === "anyUnknowns") return undefined;
  // Without a matcher the result is true.
  const wanted = kind === "value" ? celValue(value) : kind === "typedResult" ? celValue(value.result) : true;
  const type = kind === "typedResult" ? typeName(value.deducedType) : undefined;
  if (wanted === undefined && !(test.checkOnly && type !== undefined)) return undefined;
  return { error: false, text: wanted === undefined ? undefined : asText(wanted), type };
}

function outcomeOf(test: SimpleTest): Outcome {
  const variables = new Map<string, VariableType>();
  const values = new Map<string, Value>();
  for (const { name, declKind } of test.typeEnv) {
    const type = declKind.case === "ident" ? typeName(declKind.value.type) : undefined;
    if (type === undefined)
      return { kind: "refused", why: `${name} is of a type that our layer does not have` };
    variables.set(name, type as VariableType);
  }
  for (const [name, binding] of Object.entries(test.bindings)) {
    const value = binding.kind.case === "value" ? celValue(binding.kind.value) : undefined;
    if (value === undefined)
      return { kind: "refused", why: `${name} is a value that our layer does not have` };
    if (!variables.has(name)) variables.set(name, "dyn");
    values.set(name, value);
  }
  const environment: Environment = {
    variables: tree(variables) as VariableGroup,
    refused: new Map(),
    meant: new Map(),
    bounds: new Map(),
  };
  const compiled = compileExpression(test.expr, environment, "any");
  if (compiled instanceof Error) return { kind: "refused", why: compiled.message };
  if (test.checkOnly) return { kind: "value", text: "", type: compiled.type };
  const value = compiled.evaluate(tree(values));
  if (value instanceof Error) return { kind: "error", why: value.message };
  return { kind: "value", text: asText(value), type: compiled.type };
}

/** Undefined where the test passes. An expression that may not exist is refused, which is an error in time. */
export function failureOf(test: SimpleTest): string | undefined {
  const expected = expectedOf(test);
  if (expected === undefined) return "it expects what our layer does not have";
  const outcome = outcomeOf(test);
  if (expected.error) return outcome.kind === "value" ? `silent: ${outcome.text}` : undefined;
  if (outcome.kind !== "value") return `${outcome.kind}: ${outcome.why}`;
  if (!test.checkOnly && outcome.text !== expected.text) return `${outcome.text}, not ${expected.text}`;
  if (expected.type === undefined || outcome.type === expected.type) return undefined;
  return `of type ${outcome.type}, not ${expected.type}`;
}

/** `a.b` as `b` inside `a`. A name that is both a value and a group stays a value. */
function tree(named: ReadonlyMap<string, unknown>): object {
  const root: Record<string, unknown> = {};
  for (const [name, value] of named) {
    const words = name.split(".");
    const last = words.pop() ?? "";
    let at: Record<string, unknown> = root;
    for (const word of words) {
      at[word] ??= {};
      at = at[word] as Record<string, unknown>;
    }
    at[last] = value;
  }
  return root;
}
