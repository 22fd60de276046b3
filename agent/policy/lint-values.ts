/** Comparisons that are never true, or never false. */
import type { Diagnostic } from "../model/diagnostic.ts";
import { type ASTNode, operands } from "./cel/ast.ts";
import type { Subject } from "./lint.ts";
import {
  ANNOTATIONS,
  type Comparison,
  ERROR_CODE,
  type ExpressionFacts,
  METADATA,
  NAMESPACE,
  operandName,
  type Range,
  rangeOf,
  textOf,
} from "./lint-facts.ts";

const NAMESPACE_NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const POD_NAME = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const ERROR_CODES: ReadonlySet<string> = new Set(["ERR_NGROK_28000", "ERR_NGROK_28001"]);

/** Why no caller's `variable` is ever `text`; undefined if one can be. "" is what an unknown caller has. */
function whyNever({ variable, text }: Comparison): string | undefined {
  if (text === "") return undefined;
  if (variable === NAMESPACE && !NAMESPACE_NAME.test(text)) {
    return "it is no name that a namespace can have: write lower-case letters, digits and `-`";
  }
  if (variable === `${METADATA}.name` && !POD_NAME.test(text)) {
    return "it is no name that a pod can have: write lower-case letters, digits, `-` and `.`";
  }
  if (variable === ERROR_CODE && !ERROR_CODES.has(text)) {
    return 'error_code is never that: compare it with "", "ERR_NGROK_28000" or "ERR_NGROK_28001"';
  }
  return undefined;
}

export function impossibleValues({ facts, context, warnExpression }: Subject): readonly Diagnostic[] {
  return facts.flatMap((each) => {
    const found: Diagnostic[] = [];
    for (const comparison of each.comparisons) {
      const why = whyNever(comparison);
      if (why !== undefined)
        found.push(warnExpression("PODGATE_IMPOSSIBLE_VALUE", each, why, comparison.range));
    }
    for (const { map, key, range } of each.entries) {
      if (map !== ANNOTATIONS || context.annotationPrefixes.some((prefix) => key.startsWith(prefix)))
        continue;
      const why =
        `policies never see annotation \`${key}\`: give it the prefix ${context.annotationPrefixes[0]}, ` +
        "in the pod and here";
      found.push(warnExpression("PODGATE_IMPOSSIBLE_VALUE", each, why, range));
    }
    return found;
  });
}

export function unknownNamespaces({ facts, context, warnExpression }: Subject): readonly Diagnostic[] {
  const { namespaces } = context;
  if (namespaces === undefined) return [];
  return facts.flatMap((each) =>
    each.comparisons
      .filter(({ variable, text }) => variable === NAMESPACE && text !== "" && !namespaces.has(text))
      .filter((comparison) => whyNever(comparison) === undefined)
      .map(({ text, range }) =>
        warnExpression(
          "PODGATE_UNKNOWN_NAMESPACE",
          each,
          `there is no namespace \`${text}\`: create it or correct the name`,
          range,
        ),
      ),
  );
}

/** Accepted because ngrok has them; a connection inside a cluster has no place on a map. */
export function emptyVariables({ facts, warnExpression }: Subject): readonly Diagnostic[] {
  return facts.flatMap((each) =>
    each.reads
      .filter(({ variable }) => variable.startsWith("conn.geo."))
      .map(({ variable, range }) =>
        warnExpression(
          "PODGATE_EMPTY_VARIABLE",
          each,
          `\`${variable}\` is always "" for a connection inside the cluster: remove the test`,
          range,
        ),
      ),
  );
}

/** `a != "x" || a != "y"` is always true and `a == "x" && a == "y"` never, in one expression or several. */
export function constantRules({ policy, facts, warnExpression }: Subject): readonly Diagnostic[] {
  const byRule = Map.groupBy(facts, ({ rule }) => rule);
  return policy.rules.flatMap(({ index }) => {
    const expressions = byRule.get(index) ?? [];
    const always = expressions.flatMap((each) =>
      each.root === undefined
        ? []
        : rivals(each.root, "||", "!=").map((range) => {
            const message =
              "this is true of every caller, because nothing equals both: join them with &&, or write !(... in [...])";
            return warnExpression("PODGATE_CONSTANT", each, message, range);
          }),
    );
    return [...always, ...neverTrue(expressions, warnExpression)];
  });
}

function neverTrue(
  expressions: readonly ExpressionFacts[],
  warnExpression: Subject["warnExpression"],
): readonly Diagnostic[] {
  const seen = new Map<string, string>();
  for (const each of expressions) {
    for (const { name, text, node } of each.root ? equalities(each.root, "&&", "==") : []) {
      const other = seen.get(name);
      seen.set(name, text);
      if (other === undefined || other === text) continue;
      const message =
        "the rule matches nobody, because nothing equals both: join them with ||, or write ... in [...]";
      return [warnExpression("PODGATE_CONSTANT", each, message, rangeOf(node))];
    }
  }
  return [];
}

/** Where, among what `join` joins at the top of any branch, one operand is compared with two texts. */
function rivals(node: ASTNode, join: "||", operator: "!="): readonly Range[] {
  if (node.op !== join) return operands(node).flatMap((operand) => rivals(operand, join, operator));
  const seen = new Map<string, string>();
  for (const { name, text } of equalities(node, join, operator)) {
    const other = seen.get(name);
    if (other !== undefined && other !== text) return [rangeOf(node)];
    seen.set(name, text);
  }
  return [];
}

interface Equality {
  readonly name: string;
  readonly text: string;
  readonly node: ASTNode;
}

function equalities(node: ASTNode, join: "||" | "&&", operator: "==" | "!="): readonly Equality[] {
  if (node.op === join) return operands(node).flatMap((operand) => equalities(operand, join, operator));
  if (node.op !== operator) return [];
  const [left, right] = operands(node);
  if (left === undefined || right === undefined) return [];
  const [name, text] = [operandName(left) ?? operandName(right), textOf(right) ?? textOf(left)];
  return name === undefined || text === undefined ? [] : [{ name, text, node }];
}
