/** Collects everything that is wrong with a policy, so that a user sees it at once. */
import type { Diagnostic } from "../model/diagnostic.ts";
import { childPath } from "./json-path.ts";

export type Fields = Readonly<Record<string, unknown>>;

export class Report {
  readonly #found: Diagnostic[] = [];

  error(code: string, path: string, message: string, range?: Diagnostic["range"]): void {
    this.#found.push({ severity: "error", code, path, message, ...(range && { range }) });
  }

  warn(code: string, path: string, message: string): void {
    this.#found.push({ severity: "warning", code, path, message });
  }

  get errors(): readonly Diagnostic[] {
    return this.#found.filter((diagnostic) => diagnostic.severity === "error");
  }

  get warnings(): readonly Diagnostic[] {
    return this.#found.filter((diagnostic) => diagnostic.severity === "warning");
  }

  /** `value` as an object, or undefined after an error: `what` is what it should be and hold. */
  object(code: string, path: string, value: unknown, what: string): Fields | undefined {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
    this.error(code, path, `it is ${kindOf(value)}: write ${what}`);
    return undefined;
  }

  list(code: string, path: string, value: unknown, what: string): readonly unknown[] | undefined {
    if (Array.isArray(value)) return value;
    this.error(code, path, `it is ${kindOf(value)}: write ${what}`);
    return undefined;
  }

  /** An unknown key is an error at any level: it may be a misspelt restriction, or one of a newer version. */
  unknownKeys(code: string, path: string, fields: Fields, known: readonly string[]): void {
    for (const key of Object.keys(fields)) {
      if (known.includes(key)) continue;
      const instead = known.length === 0 ? "remove it" : `use ${known.join(", ")} or remove it`;
      this.error(code, childPath(path, key), `unknown key \`${key}\`: ${instead}`);
    }
  }
}

export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (value === undefined) return "missing";
  return Array.isArray(value) ? "a list" : `${typeof value === "object" ? "an" : "a"} ${typeof value}`;
}
