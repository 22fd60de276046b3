/** What an expression saw: the variables it reads, and of maps the keys it names. */
import type { Operand } from "./explanation.ts";

const NOT_SET = "(not set)";
const NOT_KNOWN = "(not known before the connection)";
/** Longer values are cut: annotations may hold 256 KiB. */
const MOST = 120;
const MOST_ENTRIES = 20;

/** `reads`: full paths; `values`: what the expression was evaluated with. */
export function operandsOf(text: string, reads: ReadonlySet<string>, values: unknown): readonly Operand[] {
  return [...reads].sort().flatMap((path): Operand[] => {
    const value = valueAt(values, path);
    if (!(value instanceof Map)) return [{ name: path, value: celText(value) }];
    const keys = keysNamed(text, path);
    // A key that only the evaluation knows: all there is.
    if (keys.length === 0) return [{ name: path, value: celText(value) }];
    return keys.map((key) => ({
      name: `${path}[${JSON.stringify(key)}]`,
      value: value.has(key) ? celText(value.get(key)) : NOT_SET,
    }));
  });
}

/** Keys written as literals: `map["key"]`, `map['key']`, `map.key`, `"key" in map`. */
export function keysNamed(text: string, path: string): string[] {
  const map = path.split(".").join("\\s*\\.\\s*");
  const literal = `("(?:[^"\\\\]|\\\\.)*"|'(?:[^'\\\\]|\\\\.)*')`;
  const patterns = [
    `${map}\\s*\\[\\s*${literal}\\s*\\]`,
    `${map}\\s*\\.\\s*(\\w+)(?!\\w*\\s*\\()`,
    `${literal}\\s+in\\s+${map}`,
  ];
  const found = patterns.flatMap((pattern) =>
    Array.from(text.matchAll(new RegExp(pattern, "g")), ([, key = ""]) => unquoted(key)),
  );
  return [...new Set(found)];
}

/** The texts of all string literals. */
export function literalsOf(text: string): readonly string[] {
  return Array.from(text.matchAll(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g), ([literal]) => unquoted(literal));
}

/** The text of a CEL string literal; a name stays as it is. */
function unquoted(literal: string): string {
  const quote = literal.charAt(0);
  if (quote !== '"' && quote !== "'") return literal;
  const inner = literal.slice(1, -1);
  try {
    const json = quote === '"' ? inner : inner.replaceAll("\\'", "'").replaceAll('"', '\\"');
    return JSON.parse(`"${json}"`) as string;
  } catch {
    return inner;
  }
}

function valueAt(values: unknown, path: string): unknown {
  let at = values;
  for (const key of path.split(".")) {
    if (typeof at !== "object" || at === null) return undefined;
    if (at instanceof Map) at = at.get(key);
    else at = Object.hasOwn(at, key) ? (at as Record<string, unknown>)[key] : undefined;
  }
  return at;
}

/** As CEL writes the value. */
function celText(value: unknown): string {
  return cut(plainText(value));
}

function plainText(value: unknown): string {
  if (value === undefined) return NOT_KNOWN;
  if (typeof value === "string") return JSON.stringify(value);
  if (value instanceof Date) return `timestamp("${value.toISOString()}")`;
  if (value instanceof Map) {
    const entries = [...value]
      .slice(0, MOST_ENTRIES)
      .map(([key, each]) => `${plainText(key)}: ${plainText(each)}`);
    return `{${entries.join(", ")}${value.size > MOST_ENTRIES ? ", …" : ""}}`;
  }
  if (Array.isArray(value)) return `[${value.slice(0, MOST_ENTRIES).map(plainText).join(", ")}]`;
  if (typeof value === "object" && value !== null) return plainText(new Map(Object.entries(value)));
  return String(value);
}

function cut(text: string): string {
  return text.length <= MOST ? text : `${text.slice(0, MOST - 1)}…`;
}
