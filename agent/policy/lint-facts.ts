/** What an expression says, for lint: which variables it reads and what it compares them with, each with its place. */
import { Environment } from "@marcbachmann/cel-js";
import { type ASTNode, operands, selectChain } from "./cel/ast.ts";
import type { Policy } from "./policy.ts";

export const POD = "conn.k8s.pod";
export const METADATA = `${POD}.metadata`;
export const ANNOTATIONS = `${METADATA}.annotations`;
export const NAMESPACE = `${METADATA}.namespace`;
export const ERROR_CODE = `${METADATA}.error_code`;
export const LABELS = `${POD}.labels`;
export const NAMESPACE_LABELS = "conn.k8s.namespace.labels";
/** Maps of which a caller has some keys and others not. */
const MAPS = [ANNOTATIONS, LABELS, NAMESPACE_LABELS];

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

/** An annotation or label taken by a written key; `asked`: only whether it is there. */
export interface EntryRead {
  readonly map: string;
  readonly key: string;
  readonly asked: boolean;
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
  readonly entries: readonly EntryRead[];
  readonly root: ASTNode | undefined;
}

/** Parses and nothing more: the expressions were checked by whoever made the policy. */
const engine = new Environment({ unlistedVariablesAreDyn: true });

export function factsOf(policy: Policy): readonly ExpressionFacts[] {
  return policy.rules.flatMap((rule) =>
    rule.expressions.map(({ text }, expression) => {
      const found: Found = { reads: [], comparisons: [], entries: [] };
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
  readonly entries: EntryRead[];
}

function collect(node: ASTNode, found: Found, asked: boolean): void {
  collectEntry(node, found, asked);
  const variable = variableOf(node);
  if (variable !== undefined) found.reads.push({ variable, range: rangeOf(node) });
  collectComparisons(node, found);
  const isHas = node.op === "call" && node.args[0] === "has";
  if (variable === undefined) for (const operand of operands(node)) collect(operand, found, isHas);
}

function collectEntry(node: ASTNode, found: Found, asked: boolean): void {
  if (node.op === "in") {
    const [left, container] = node.args;
    const key = textOf(left);
    const map = mapOf(container);
    if (key !== undefined && map !== undefined)
      found.entries.push({ map, key, asked: true, range: rangeOf(left) });
    return;
  }
  const entry = entryOf(node);
  if (entry !== undefined) found.entries.push({ ...entry, asked, range: rangeOf(node) });
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

/** `conn.k8s.pod.metadata.name`, or an entry as `entryName` has it. */
export function operandName(node: ASTNode): string | undefined {
  const entry = entryOf(node);
  return entry === undefined ? variableOf(node) : entryName(entry.map, entry.key);
}

/** The same for every way to write it: `conn...annotations["key"]`. */
export function entryName(map: string, key: string): string {
  return `${map}[${JSON.stringify(key)}]`;
}

function entryOf(node: ASTNode): { readonly map: string; readonly key: string } | undefined {
  if (node.op === "[]") {
    const [map, key] = [mapOf(node.args[0]), textOf(node.args[1])];
    return map === undefined || key === undefined ? undefined : { map, key };
  }
  const name = variableOf(node);
  const map = MAPS.find((candidate) => name?.startsWith(`${candidate}.`));
  return map === undefined || name === undefined ? undefined : { map, key: name.slice(map.length + 1) };
}

function mapOf(node: ASTNode): string | undefined {
  const name = variableOf(node);
  return name !== undefined && MAPS.includes(name) ? name : undefined;
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
