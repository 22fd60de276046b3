/** Random, well-typed expressions over pod identity, and random callers that they tell apart. Same seed, same output. */
import type { Identity } from "../../../agent/model/identity.ts";
import { M, nobody, pod } from "./builders.ts";

/** Numbers from 0 up to, not including, 1. */
export type Random = () => number;

/** Marsaglia's xorshift on 32 bits. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

const WORDS = ["", "a", "b", "payments", "worker-a", "worker-b", "production", "é", "-", "worker-"];
const KEYS = ["k8s.ngrok.com/environment", "ngrok.com/x", "podgate.dev/team", "toString", "__proto__"];
const PATTERNS = ["^worker-", "a$", "(?i)PAY", "[a-c]+", "^$", "\\\\pL", "(a|b)*c", "."];

export function randomIdentity(random: Random): Identity {
  const pick = picker(random);
  if (random() < 0.1) return nobody;
  const annotations = new Map<string, string>();
  for (const key of KEYS) if (random() < 0.4) annotations.set(key, pick(WORDS));
  const over = { id: pick(WORDS), name: pick(WORDS), namespace: pick(WORDS), annotations };
  return random() < 0.1
    ? pod({ ...over, errorCode: "ERR_NGROK_28000", errorMessage: "too large" })
    : pod(over);
}

/** An expression of type bool. */
export function randomExpression(random: Random): string {
  return new Writer(random).bool(1 + Math.floor(random() * 4));
}

function picker(random: Random) {
  return <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
}

class Writer {
  readonly #random: Random;
  readonly #pick: ReturnType<typeof picker>;
  /** Names that comprehensions around the place of writing bind to text. */
  readonly #bound: string[] = [];

  constructor(random: Random) {
    this.#random = random;
    this.#pick = picker(random);
  }

  bool(depth: number): string {
    if (depth <= 0)
      return this.#pick(["true", "false", `has(${M}.annotations.${this.#pick(["toString", "x"])})`]);
    const text = () => this.text(depth - 1);
    const bool = () => this.bool(depth - 1);
    const int = () => this.int(depth - 1);
    return this.#pick([
      () => `${text()} ${this.#pick(["==", "!=", "<", "<=", ">", ">="])} ${text()}`,
      () => `${text()} in ${this.list(depth - 1)}`,
      () => `${text()} in ${M}.annotations`,
      () => `${text()}.${this.#pick(["startsWith", "endsWith", "contains"])}(${text()})`,
      () => `${text()}.matches("${this.#pick(PATTERNS)}")`,
      () => `(${bool()} && ${bool()})`,
      () => `(${bool()} || ${bool()})`,
      () => `(${bool()} && ${bool()} || ${bool()})`,
      () => `!(${bool()})`,
      () => `(${bool()} ? ${bool()} : ${bool()})`,
      () => `${int()} ${this.#pick(["==", "!=", "<", ">="])} ${int()}`,
      () => `${this.list(depth - 1)} == ${this.list(depth - 1)}`,
      () => this.comprehension(this.#pick(["exists", "all", "exists_one"]), depth, "bool"),
    ])();
  }

  text(depth: number): string {
    const literal = () => JSON.stringify(this.#pick(WORDS));
    const variable = () => this.#pick([`conn.k8s.pod.id`, `${M}.name`, `${M}.namespace`, `${M}.error_code`]);
    const annotation = () => `${M}.annotations[${JSON.stringify(this.#pick(KEYS))}]`;
    const bound = () => this.#pick([...this.#bound, `${M}.name`]);
    if (depth <= 0) return this.#pick([literal, variable, variable, annotation, bound])();
    return this.#pick([
      literal,
      variable,
      annotation,
      bound,
      () => `${M}.annotations[${this.text(depth - 1)}]`,
      () => `(${this.text(depth - 1)} + ${this.text(depth - 1)})`,
      () => `(${this.bool(depth - 1)} ? ${this.text(depth - 1)} : ${this.text(depth - 1)})`,
      () => `${this.list(depth - 1)}[${this.#pick(["0", "1", "-1"])}]`,
      () => `{"a": ${this.text(depth - 1)}, "worker-a": ${this.text(depth - 1)}}[${this.text(depth - 1)}]`,
    ])();
  }

  int(depth: number): string {
    if (depth <= 0) return this.#pick(["0", "1", "7", "-3", "9223372036854775807"]);
    return this.#pick([
      () => `size(${this.text(depth - 1)})`,
      () => `${this.text(depth - 1)}.size()`,
      () => `size(${this.list(depth - 1)})`,
      () => `size(${M}.annotations)`,
      () => `(${this.int(depth - 1)} ${this.#pick(["+", "-", "*", "/", "%"])} ${this.int(depth - 1)})`,
    ])();
  }

  list(depth: number): string {
    const literal = () => `[${this.text(depth - 1)}, ${this.text(depth - 1)}]`;
    if (depth <= 0) return literal();
    return this.#pick([
      literal,
      literal,
      () => `(${this.list(depth - 1)} + ${this.list(depth - 1)})`,
      () => this.comprehension("filter", depth, "bool"),
      () => this.comprehension("map", depth, "text"),
    ])();
  }

  private comprehension(macro: string, depth: number, body: "bool" | "text"): string {
    const range = this.#random() < 0.4 ? `${M}.annotations` : this.list(depth - 1);
    const name = `x${this.#bound.length}`;
    this.#bound.push(name);
    const inside = body === "bool" ? this.bool(depth - 1) : this.text(depth - 1);
    this.#bound.pop();
    return `${range}.${macro}(${name}, ${inside})`;
  }
}
