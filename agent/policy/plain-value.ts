/** CEL values that leave the language: as text in a longer text, and as JSON in the log. */
import { TypeValue, Uint } from "./cel/value.ts";
import { VALUE_LIMIT } from "./environment.ts";

/** What `value` is in JSON. Integers beyond 2^53, timestamps and durations become text; bytes become base64. */
export function plainValue(value: unknown): unknown {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (Array.isArray(value)) return value.map(plainValue);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (value instanceof Map) return plainMap(value.entries());
  if (value instanceof Uint) return plainValue(value.value);
  if (value instanceof TypeValue) return value.name;
  if (typeof value !== "object") return "";
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return plainMap(Object.entries(value));
  // Timestamps and durations have a text.
  return String(value);
}

/** No prototype: a key `__proto__` is a key like any other. */
function plainMap(entries: Iterable<[unknown, unknown]>): Readonly<Record<string, unknown>> {
  const map: Record<string, unknown> = Object.create(null);
  for (const [key, value] of entries) map[String(plainValue(key))] = plainValue(value);
  return map;
}

/** `value` within a longer text. */
export function textOf(value: unknown): string {
  const plain = plainValue(value);
  return typeof plain === "string" ? plain : JSON.stringify(plain);
}

/** Why a value may not be kept, or undefined. What later expressions cost is bounded by what variables can hold. */
export function tooLarge(value: unknown): Error | undefined {
  // A map's keys count too: twice as many members as entries.
  let { entries, characters } = { ...VALUE_LIMIT, entries: 2 * VALUE_LIMIT.entries };
  const queue: unknown[] = [value];
  for (const item of queue) {
    if (typeof item === "string" || item instanceof Uint8Array) characters -= item.length;
    else if (typeof item === "object" && item !== null) {
      const members: unknown[] = membersOf(item);
      entries -= members.length;
      queue.push(...members);
    }
    if (entries < 0) return new Error(`the value has more than ${VALUE_LIMIT.entries} entries`);
    if (characters < 0) return new Error(`the value has more than ${VALUE_LIMIT.characters} characters`);
  }
  return undefined;
}

function membersOf(value: object): unknown[] {
  if (value instanceof Map) return [...value].flat();
  return Array.isArray(value) ? value : Object.entries(value).flat();
}
