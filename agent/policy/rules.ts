/** Reads the rules of `on_tcp_connect`: names, expressions, actions, and what all of them together may cost. */
import { parseActions, reportUnreachable, terminates } from "./actions.ts";
import { compilePredicate } from "./expression.ts";
import { childPath } from "./json-path.ts";
import type { Expression, Rule } from "./policy.ts";
import { Reading } from "./reading.ts";
import { kindOf, type Report } from "./report.ts";
import { quotingAdvice } from "./yaml-trap.ts";

const SCHEMA = "ERR_NGROK_2236";
const INVALID_EXPRESSION = "ERR_NGROK_2200";
const TOO_MANY_RULES = "ERR_NGROK_2264";

const MAX_RULES = 1_000;
export interface Rules {
  readonly rules: readonly Rule[];
  /** Everything that expressions and actions read. */
  readonly reads: ReadonlySet<string>;
  /** The most that asking all of them can cost, in units of cel/cost.ts. */
  readonly cost: number;
}

/** The rules as far as they could be read. Everything wrong is in `report`. */
export function parseRules(value: unknown, path: string, report: Report): Rules {
  const items = report.list(SCHEMA, path, value, "a list of rules, or leave it out") ?? [];
  if (items.length > MAX_RULES) {
    report.error(TOO_MANY_RULES, path, `it has ${items.length} rules: write at most ${MAX_RULES}`);
    return { rules: [], reads: new Set(), cost: 0 };
  }
  const reading = new Reading(path, report);
  const rules: Rule[] = [];
  let ended = false;
  for (const [index, item] of items.entries()) {
    const rulePath = childPath(path, index);
    const rule = parseRule(item, index, rulePath, reading);
    if (rule === undefined) continue;
    rules.push(rule);
    const actions = (item as { actions?: unknown }).actions;
    if (!Array.isArray(actions)) continue;
    if (ended && actions.length > 0) {
      reportUnreachable(actions[0], childPath(childPath(rulePath, "actions"), 0), report);
    }
    ended ||= isUnconditional(item) && actions.some(terminates);
  }
  return { rules, reads: reading.reads, cost: reading.budget.cost };
}

function isUnconditional(item: unknown): boolean {
  const { expressions } = item as { expressions?: unknown };
  return expressions === undefined || (Array.isArray(expressions) && expressions.length === 0);
}

function parseRule(item: unknown, index: number, path: string, reading: Reading): Rule | undefined {
  const { report } = reading;
  const fields = report.object(SCHEMA, path, item, "a rule with `actions`");
  if (fields === undefined) return undefined;
  report.unknownKeys(SCHEMA, path, fields, ["name", "expressions", "actions"]);
  const name = fields.name ?? "";
  if (typeof name === "object") {
    report.error(SCHEMA, childPath(path, "name"), `it is ${kindOf(name)}: write a word`);
  }
  return {
    index,
    name: typeof name === "object" ? "" : String(name),
    expressions: parseExpressions(fields.expressions, childPath(path, "expressions"), reading),
    actions: parseActions(fields.actions, childPath(path, "actions"), reading),
  };
}

function parseExpressions(value: unknown, path: string, reading: Reading): readonly Expression[] {
  if (value === undefined) return [];
  const { report } = reading;
  const items = report.list(SCHEMA, path, value, "a list of expressions, or leave it out") ?? [];
  if (Array.isArray(value) && items.length === 0) {
    report.warn(
      "PODGATE_EMPTY_EXPRESSIONS",
      path,
      "an empty list matches every connection: leave it out or add one",
    );
  }
  return items.flatMap((item, index) => {
    const expression = parseExpression(item, childPath(path, index), reading);
    return expression === undefined ? [] : [expression];
  });
}

function parseExpression(item: unknown, path: string, reading: Reading): Expression | undefined {
  const { report, budget } = reading;
  if (typeof item !== "string") {
    const advice = item === null ? quotingAdvice("") : 'quote the expression (- "...")';
    report.error(INVALID_EXPRESSION, path, `it is ${kindOf(item)}, not an expression: ${advice}`);
    return undefined;
  }
  if (!budget.admits(item)) return undefined;
  const compiled = compilePredicate(item, reading.surroundings.environment);
  if (compiled instanceof Error) {
    report.error(INVALID_EXPRESSION, path, quotingAdvice(item) ?? compiled.message, compiled.range);
    return undefined;
  }
  reading.spend(compiled.cost, compiled.reads);
  return compiled;
}
