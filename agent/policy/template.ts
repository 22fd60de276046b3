/** Values of an action's configuration, with `${...}` in their texts: `"${x}"` alone keeps x's type, within a text x is text. */
import { VALUE_LIMIT } from "./environment.ts";
import { type Compiled, compileValue } from "./expression.ts";
import { childPath } from "./json-path.ts";
import { textOf, tooLarge } from "./plain-value.ts";
import type { Template } from "./policy.ts";
import type { Reading } from "./reading.ts";
import { kindOf } from "./report.ts";
import { splitTemplate } from "./template-text.ts";

const INVALID_EXPRESSION = "ERR_NGROK_2200";
const UNREADABLE_CONFIG = "ERR_NGROK_2203";
const MAX_DEPTH = 16;

export interface TypedTemplate extends Template {
  /** In CEL's words. */
  readonly type: string;
}

const NOTHING: ReadonlySet<string> = new Set();

export function constant(value: unknown, type = "dyn"): TypedTemplate {
  return { reads: NOTHING, type, constant: { value }, evaluate: () => value };
}

/** A text and its `${...}`. Undefined after an error. */
export function parseText(text: string, path: string, reading: Reading): TypedTemplate | undefined {
  const { report } = reading;
  const parts = splitTemplate(text);
  if ("unclosed" in parts) {
    const range = { start: parts.unclosed, end: text.length };
    report.error(INVALID_EXPRESSION, path, "`${` has no end: write `}` behind the expression", range);
    return undefined;
  }
  if (!parts.some((part) => typeof part !== "string")) return constant(text, "string");
  const compiled = parts.map((part) =>
    typeof part === "string" ? part : compilePart(part.expression, part.start, path, reading),
  );
  const whole = compiled.filter((part) => part !== undefined);
  if (whole.length < compiled.length) return undefined;
  const reads = new Set(whole.flatMap((part) => (typeof part === "string" ? [] : [...part.reads])));
  const [only, ...more] = whole;
  if (more.length === 0 && typeof only === "object")
    return { reads, type: only.type, evaluate: only.evaluate };
  return { reads, type: "string", evaluate: (values) => joined(whole, values) };
}

function joined(parts: readonly (string | Compiled)[], values: object): string | Error {
  let text = "";
  for (const part of parts) {
    const value = typeof part === "string" ? part : part.evaluate(values);
    if (value instanceof Error) return value;
    text += textOf(value);
  }
  return text;
}

function compilePart(
  expression: string,
  start: number,
  path: string,
  reading: Reading,
): Compiled | undefined {
  const { report, budget, surroundings } = reading;
  if (!budget.admits(expression)) return undefined;
  const compiled = compileValue(expression, surroundings.environment);
  if (compiled instanceof Error) {
    const { range } = compiled;
    const inText = range
      ? { start: start + range.start, end: start + range.end }
      : { start, end: start + expression.length };
    report.error(INVALID_EXPRESSION, path, compiled.message, inText);
    return undefined;
  }
  reading.spend(compiled.cost, compiled.reads);
  return compiled;
}

/** Any JSON value as a CEL value: whole numbers are ints. Undefined after an error. */
export function parseValue(value: unknown, path: string, reading: Reading): TypedTemplate | undefined {
  const template = new ValueReader(reading).read(value, path, 0);
  const fault = template?.constant && tooLarge(template.constant.value);
  if (fault === undefined) return template;
  reading.report.error(UNREADABLE_CONFIG, path, `${fault.message}: make it smaller`);
  return undefined;
}

/** Counts members over the whole value: YAML's anchors can repeat one a billion times in a few lines. */
class ValueReader {
  readonly #reading: Reading;
  #members = 0;
  #refused = false;

  constructor(reading: Reading) {
    this.#reading = reading;
  }

  read(value: unknown, path: string, depth: number): TypedTemplate | undefined {
    if (this.#refused) return undefined;
    if (typeof value === "string") return parseText(value, path, this.#reading);
    if (typeof value === "boolean") return constant(value, "bool");
    if (value === null) return constant(null);
    if (typeof value === "number" && Number.isFinite(value)) {
      return Number.isSafeInteger(value) ? constant(BigInt(value), "int") : constant(value, "double");
    }
    if (typeof value !== "object") {
      this.#reading.report.error(UNREADABLE_CONFIG, path, `it is ${kindOf(value)}: write a value`);
      return undefined;
    }
    const keys = Object.keys(value);
    this.#members += keys.length;
    if (depth >= MAX_DEPTH || this.#members > VALUE_LIMIT.entries) {
      this.#refused = true;
      const message = `it is deeper than ${MAX_DEPTH} levels or has over ${VALUE_LIMIT.entries} members: make it smaller`;
      this.#reading.report.error(UNREADABLE_CONFIG, path, message);
      return undefined;
    }
    return Array.isArray(value)
      ? this.#readList(value, path, depth)
      : this.#readMap(Object.entries(value), path, depth);
  }

  #readList(items: readonly unknown[], path: string, depth: number): TypedTemplate | undefined {
    const templates = items.map((item, index) => this.read(item, childPath(path, index), depth + 1));
    return composed(templates, (values) => values);
  }

  #readMap(entries: readonly [string, unknown][], path: string, depth: number): TypedTemplate | undefined {
    const templates = entries.map(([key, item]) => this.read(item, childPath(path, key), depth + 1));
    return composed(templates, (values) => new Map(entries.map(([key], index) => [key, values[index]])));
  }
}

function composed(
  members: readonly (TypedTemplate | undefined)[],
  build: (values: readonly unknown[]) => unknown,
): TypedTemplate | undefined {
  const whole = members.filter((member) => member !== undefined);
  if (whole.length < members.length) return undefined;
  const constants = whole.flatMap((member) => (member.constant ? [member.constant.value] : []));
  if (constants.length === whole.length) return constant(build(constants));
  return {
    reads: new Set(whole.flatMap((member) => [...member.reads])),
    type: "dyn",
    evaluate: (values) => {
      const evaluated = whole.map((member) => member.evaluate(values));
      return evaluated.find((value) => value instanceof Error) ?? build(evaluated);
    },
  };
}
