/**
 * Reading fields of objects that somebody else wrote. Nothing here throws and nothing reads through a
 * prototype: a key named `__proto__` or `constructor` is a key like any other.
 */

export type Fields = Readonly<Record<string, unknown>>;

/** Tells what is odd about a field; the object is used without it. */
export type Report = (path: string, problem: string) => void;

export function isRecord(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Own field `key` of `value`, undefined if `value` is no object or does not have it. */
export function field(value: unknown, key: string): unknown {
  return isRecord(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

/** `value` if it is a string. */
export function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** A field that must be a string where it is present; "" otherwise. */
export function textField(value: unknown, key: string, path: string, report: Report): string {
  const found = field(value, key);
  if (found === undefined || found === null) return "";
  if (typeof found === "string") return found;
  report(dotted(path, key), `is ${describe(found)}, not a string`);
  return "";
}

/** A field that must be a list where it is present; null is what Go writes for an empty one. */
export function listField(value: unknown, key: string, path: string, report: Report): readonly unknown[] {
  const found = field(value, key);
  if (found === undefined || found === null) return [];
  if (Array.isArray(found)) return found;
  report(dotted(path, key), `is ${describe(found)}, not a list`);
  return [];
}

/** Whole number of a field within bounds, or undefined where it is absent or anything else. */
export function numberField(
  value: unknown,
  key: string,
  path: string,
  [least, most]: readonly [number, number],
  report: Report,
): number | undefined {
  const found = field(value, key);
  if (found === undefined || found === null) return undefined;
  if (typeof found === "number" && Number.isInteger(found) && found >= least && found <= most) return found;
  report(dotted(path, key), `is ${describe(found)}, not a whole number from ${least} to ${most}`);
  return undefined;
}

/** String entries of a map such as annotations; anything else is left out. */
export function textMap(value: unknown, path: string, report: Report): ReadonlyMap<string, string> {
  if (value === undefined || value === null) return new Map();
  if (!isRecord(value)) {
    report(path, `is ${describe(value)}, not a map of strings`);
    return new Map();
  }
  const entries = new Map<string, string>();
  for (const [key, entry] of Object.entries(value)) {
    if (typeof entry === "string") entries.set(key, entry);
    else report(`${path}[${JSON.stringify(key.slice(0, 80))}]`, `is ${describe(entry)}, not a string`);
  }
  return entries;
}

/** Short word for a value in a message: its content may be huge, or a secret. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return "empty";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "an object";
  if (typeof value === "string") return value.length > 40 ? "a long string" : JSON.stringify(value);
  return String(value);
}

/** `key` below `path`; "" is the object itself. */
function dotted(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}
