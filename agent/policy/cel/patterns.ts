/** The patterns of an expression that are literals: compiled with it, and bounded together. */
import { type ASTNode, operands } from "./ast.ts";
import { ExpressionFault } from "./fault.ts";
import { compilePattern, type Pattern } from "./regex.ts";

/** UTF-16 units of all patterns of an expression: bounds how long compiling them takes. */
const MAX_PATTERNS = 512;
/** Of the large classes, such as `\\pL`: each takes up to a tenth of a millisecond to compile. */
const MAX_CLASSES = 24;

/** By the node of the call. Throws an ExpressionFault where one is none. */
export function readPatterns(root: ASTNode): ReadonlyMap<ASTNode, Pattern> {
  const patterns = new Map<ASTNode, Pattern>();
  const compiled = new Map<string, Pattern>();
  const visit = (node: ASTNode): void => {
    const literal = patternOf(node);
    if (literal !== undefined) patterns.set(node, compile(literal, compiled, node));
    for (const operand of operands(node)) visit(operand);
  };
  visit(root);
  return patterns;
}

function patternOf(node: ASTNode): (ASTNode & { op: "value" }) | undefined {
  const last = node.op === "rcall" ? node.args[2][0] : node.op === "call" ? node.args[1][1] : undefined;
  if ((node.op !== "rcall" && node.op !== "call") || node.args[0] !== "matches") return undefined;
  return last?.op === "value" && typeof last.args === "string" ? last : undefined;
}

function compile(literal: ASTNode & { op: "value" }, compiled: Map<string, Pattern>, call: ASTNode): Pattern {
  const source = String(literal.args);
  const known = compiled.get(source);
  if (known !== undefined) return known;
  const together = [...compiled.keys(), source].join("");
  if (together.length > MAX_PATTERNS) {
    throw new ExpressionFault(
      "the patterns together are too long: split them into several expressions",
      call,
    );
  }
  if ((together.match(/\\[pP]/g) ?? []).length > MAX_CLASSES) {
    throw new ExpressionFault("the patterns have too many classes such as \\pL: use fewer, or ranges", call);
  }
  const pattern = compilePattern(source);
  if (pattern instanceof Error) throw new ExpressionFault(pattern.message, literal);
  compiled.set(source, pattern);
  return pattern;
}
