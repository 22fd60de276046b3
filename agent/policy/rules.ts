/** Reads the rules of `on_tcp_connect`: names, expressions, actions, and what all of them together may cost. */
import { parseActions, reportUnreachable, terminates } from "./actions.ts";
import { compileExpression } from "./cel/compile.ts";
import { childPath } from "./json-path.ts";
import type { Expression, Rule } from "./policy.ts";
import { kindOf, type Report } from "./report.ts";
import { quotingAdvice } from "./yaml-trap.ts";

const SCHEMA = "ERR_NGROK_2236";
const INVALID_EXPRESSION = "ERR_NGROK_2200";
const TOO_MANY_RULES = "ERR_NGROK_2264";
const OVER_LIMIT = "PODGATE_OVER_LIMIT";

const MAX_RULES = 1_000;
/** UTF-16 units of all expressions of a policy: bounds how long reading it takes. */
const MAX_EXPRESSION_TEXT = 65_536;
/** Bound of one evaluation of all expressions, in units of cel/cost.ts: about 10 ms. */
const MAX_COST = 100_000;

export interface Rules {
  readonly rules: readonly Rule[];
  /** Variables that any expression reads. */
  readonly reads: ReadonlySet<string>;
}

/** The rules as far as they could be read. Everything wrong is in `report`. */
export function parseRules(value: unknown, path: string, report: Report): Rules {
  const items = report.list(SCHEMA, path, value, "a list of rules, or leave it out") ?? [];
  if (items.length > MAX_RULES) {
    report.error(TOO_MANY_RULES, path, `it has ${items.length} rules: write at most ${MAX_RULES}`);
    return { rules: [], reads: new Set() };
  }
  const budget = new Budget(path, report);
  const rules: Rule[] = [];
  let ended = false;
  for (const [index, item] of items.entries()) {
    const rulePath = childPath(path, index);
    const rule = parseRule(item, index, rulePath, budget, report);
    if (rule === undefined) continue;
    rules.push(rule);
    const actions = (item as { actions?: unknown }).actions;
    if (!Array.isArray(actions)) continue;
    if (ended && actions.length > 0) {
      reportUnreachable(actions[0], childPath(childPath(rulePath, "actions"), 0), report);
    }
    ended ||= isUnconditional(item) && actions.some(terminates);
  }
  return { rules, reads: budget.reads };
}

function isUnconditional(item: unknown): boolean {
  const { expressions } = item as { expressions?: unknown };
  return expressions === undefined || (Array.isArray(expressions) && expressions.length === 0);
}

function parseRule(
  item: unknown,
  index: number,
  path: string,
  budget: Budget,
  report: Report,
): Rule | undefined {
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
    expressions: parseExpressions(fields.expressions, childPath(path, "expressions"), budget, report),
    actions: parseActions(fields.actions, childPath(path, "actions"), report),
  };
}

function parseExpressions(
  value: unknown,
  path: string,
  budget: Budget,
  report: Report,
): readonly Expression[] {
  if (value === undefined) return [];
  const items = report.list(SCHEMA, path, value, "a list of expressions, or leave it out") ?? [];
  if (Array.isArray(value) && items.length === 0) {
    report.warn(
      "PODGATE_EMPTY_EXPRESSIONS",
      path,
      "an empty list matches every connection: leave it out or add one",
    );
  }
  return items.flatMap((item, index) => {
    const expression = parseExpression(item, childPath(path, index), budget, report);
    return expression === undefined ? [] : [expression];
  });
}

function parseExpression(
  item: unknown,
  path: string,
  budget: Budget,
  report: Report,
): Expression | undefined {
  if (typeof item !== "string") {
    const advice = item === null ? quotingAdvice("") : 'quote the expression (- "...")';
    report.error(INVALID_EXPRESSION, path, `it is ${kindOf(item)}, not an expression: ${advice}`);
    return undefined;
  }
  if (!budget.admits(item)) return undefined;
  const compiled = compileExpression(item);
  if (compiled instanceof Error) {
    report.error(INVALID_EXPRESSION, path, quotingAdvice(item) ?? compiled.message, compiled.range);
    return undefined;
  }
  budget.spend(compiled.cost, compiled.reads);
  return compiled;
}

/** What the expressions of one policy add up to. Says once that it is too much. */
class Budget {
  readonly reads = new Set<string>();
  readonly #path: string;
  readonly #report: Report;
  #text = 0;
  #cost = 0;

  constructor(path: string, report: Report) {
    this.#path = path;
    this.#report = report;
  }

  /** Whether another expression may be compiled. */
  admits(text: string): boolean {
    const before = this.#text;
    this.#text += text.length;
    if (this.#text <= MAX_EXPRESSION_TEXT) return true;
    if (before <= MAX_EXPRESSION_TEXT) {
      const message = `its expressions are over ${MAX_EXPRESSION_TEXT} characters together: shorten them`;
      this.#report.error(OVER_LIMIT, this.#path, message);
    }
    return false;
  }

  spend(cost: number, reads: ReadonlySet<string>): void {
    for (const variable of reads) this.reads.add(variable);
    const before = this.#cost;
    this.#cost += cost;
    if (before <= MAX_COST && this.#cost > MAX_COST) {
      this.#report.error(
        OVER_LIMIT,
        this.#path,
        "its expressions together could take too long: make them simpler",
      );
    }
  }
}
