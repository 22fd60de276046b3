/** Checks the fields of a value that a person wrote. Collects every fault; what is wrong is left out. */
import { isRecord } from "../cluster/fields.ts";
import type { Diagnostic } from "../model/diagnostic.ts";

const CODE = "PODGATE_TEST";

export class Schema {
  readonly #faults: Diagnostic[] = [];

  get faults(): readonly Diagnostic[] {
    return this.#faults;
  }

  fault(path: string, message: string): void {
    this.#faults.push({ severity: "error", code: CODE, path, message });
  }

  /** An unknown key is a fault: it may be a misspelt expectation, and then the test would say less than it seems to. */
  object(path: string, value: unknown, keys: readonly string[]): Readonly<Record<string, unknown>> {
    if (!isRecord(value)) {
      this.fault(path, `it is ${kindOf(value)}: write an object with ${keys.join(", ")}`);
      return {};
    }
    for (const key of Object.keys(value)) {
      if (keys.includes(key)) continue;
      this.fault(path === "" ? key : `${path}.${key}`, `unknown key \`${key}\`: use ${keys.join(", ")}`);
    }
    return value;
  }

  list(path: string, value: unknown, what: string): readonly unknown[] {
    if (Array.isArray(value)) return value;
    this.fault(path, `it is ${kindOf(value)}: write ${what}`);
    return [];
  }

  /** Undefined where it is absent, or wrong. */
  text(path: string, value: unknown, what: string): string | undefined {
    return value === undefined ? undefined : this.required(path, value, what);
  }

  required(path: string, value: unknown, what: string): string | undefined {
    if (typeof value === "string" && value.trim() !== "") return value;
    this.fault(path, `it is ${value === "" ? "empty" : kindOf(value)}: write ${what}`);
    return undefined;
  }

  choice<T extends string>(path: string, value: unknown, choices: readonly T[]): T | undefined {
    const found = choices.find((choice) => choice === value);
    if (found === undefined) {
      const what = typeof value === "string" ? `\`${value}\`` : kindOf(value);
      this.fault(path, `it is ${what}: write one of ${choices.join(", ")}`);
    }
    return found;
  }

  flag(path: string, value: unknown): boolean {
    if (value === undefined || value === false) return false;
    if (value !== true) this.fault(path, `it is ${kindOf(value)}: write true or false`);
    return true;
  }

  texts(path: string, value: unknown): ReadonlyMap<string, string> {
    if (value === undefined) return new Map();
    if (!isRecord(value)) {
      this.fault(path, `it is ${kindOf(value)}: write keys and values`);
      return new Map();
    }
    const texts = new Map<string, string>();
    for (const [key, each] of Object.entries(value)) {
      // As in a cluster: `true` or `1` without quotes is no text, and no pod can have it.
      if (typeof each === "string") texts.set(key, each);
      else this.fault(`${path}[${JSON.stringify(key)}]`, `it is ${kindOf(each)}, not text: quote it`);
    }
    return texts;
  }
}

function kindOf(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "empty";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
