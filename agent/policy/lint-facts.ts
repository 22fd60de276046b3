/** What an expression says, for lint: which variables it reads and what it compares them with, each with its place. */
import { Environment } from "@marcbachmann/cel-js";
import { type ASTNode, operands, selectChain } from "./cel/ast.ts";
import type { Policy } from "./policy.ts";

export const POD = "conn.k8s.pod";
export const METADATA = `${POD}.metadata`;
export const ANNOTATIONS = `${METADATA}.annotations`;
export const NAMESPACE = `${METADATA}.namespace`;
export const ERROR_CODE = `${METADATA}.error_code`;

/** UTF-16 offsets into the expression. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** A variable beside a text: `a == "x"`, `a != "x"`, `a in ["x"]`. Of an annotation, `annotations["key"]`. */
export interface Comparison {
  readonly variable: string;
  readonly operator: "==" | "!=" | "in";
  readonly text: string;
  readonly range: Range;
}

export interface ExpressionFacts {
  /** Position of the rule and, in it, of the expression. */
  readonly rule: number;
  readonly expression: number;
  readonly text: string;
  /** Longest paths below `conn`, `endpoint` and so on. */
  readonly reads: readonly { readonly variable: string; readonly range: Range }[];
  readonly comparisons: readonly Comparison[];
  /** Annotations taken by a written key; `asked` is only whether they are there. */
  readonly annotations: readonly { readonly key: string; readonly asked: boolean; readonly range: Range }[];
  readonly root: ASTNode | undefined;
}

/** Parses and nothing more: the expressions were checked by whoever made the policy. */
const engine = new Environment({ unlistedVariablesAreDyn: true });

export function factsOf(policy: Policy): readonly ExpressionFacts[] {
  return policy.rules.flatMap((rule) =>
    rule.expressions.map(({ text }, expression) => {
      const found: Found = { reads: [], comparisons: [], annotations: [] };
      const root = rootOf(text);
      if (root !== undefined) collect(root, found, false);
      return { rule: rule.index, expression, text, root, ...found };
    }),
  );
}

function rootOf(text: string): ASTNode | undefined {
  try {
    return engine.parse(text).ast;
  } catch {
    // An extension of the language that this engine does not read: there is nothing to say about it.
    return undefined;
  }
}

interface Found {
  readonly reads: { variable: string; range: Range }[];
  readonly comparisons: Comparison[];
  readonly annotations: { key: string; asked: boolean; range: Range }[];
}

function collect(node: ASTNode, found: Found, asked: boolean): void {
  collectAnnotation(node, found, asked);
  const variable = variableOf(node);
  if (variable !== undefined) found.reads.push({ variable, range: rangeOf(node) });
  collectComparisons(node, found);
  const isHas = node.op === "call" && node.args[0] === "has";
  if (variable === undefined) for (const operand of operands(node)) collect(operand, found, isHas);
}

function collectAnnotation(node: ASTNode, found: Found, asked: boolean): void {
  if (node.op === "in") {
    const [key, container] = node.args;
    const text = textOf(key);
    if (text !== undefined && variableOf(container) === ANNOTATIONS) {
      found.annotations.push({ key: text, asked: true, range: rangeOf(key) });
    }
    return;
  }
  const key = annotationKey(node);
  if (key !== undefined) found.annotations.push({ key, asked, range: rangeOf(node) });
}

function collectComparisons(node: ASTNode, found: Found): void {
  if (node.op === "in") {
    const [left, right] = node.args;
    const variable = operandName(left);
    const items = right.op === "list" ? right.args : [];
    for (const item of items) addComparison(found, variable, "in", item);
  }
  if (node.op !== "==" && node.op !== "!=") return;
  const [left, right] = node.args;
  addComparison(found, operandName(left), node.op, right);
  addComparison(found, operandName(right), node.op, left);
}

function addComparison(
  found: Found,
  variable: string | undefined,
  operator: Comparison["operator"],
  node: ASTNode,
): void {
  const text = textOf(node);
  if (variable !== undefined && text !== undefined) {
    found.comparisons.push({ variable, operator, text, range: rangeOf(node) });
  }
}

/** `conn.k8s.pod.metadata.name`, or an annotation as `conn...annotations["key"]`. */
export function operandName(node: ASTNode): string | undefined {
  const key = annotationKey(node);
  return key === undefined ? variableOf(node) : `${ANNOTATIONS}[${JSON.stringify(key)}]`;
}

function annotationKey(node: ASTNode): string | undefined {
  if (node.op === "[]") return variableOf(node.args[0]) === ANNOTATIONS ? textOf(node.args[1]) : undefined;
  const name = variableOf(node);
  return name?.startsWith(`${ANNOTATIONS}.`) ? name.slice(ANNOTATIONS.length + 1) : undefined;
}

function variableOf(node: ASTNode): string | undefined {
  return selectChain(node)
    ?.map(({ word }) => word)
    .join(".");
}

export function textOf(node: ASTNode): string | undefined {
  return node.op === "value" && typeof node.args === "string" ? node.args : undefined;
}

export function rangeOf(node: ASTNode): Range {
  return { start: node.start, end: node.end };
}
