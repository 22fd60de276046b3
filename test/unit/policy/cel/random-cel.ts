/**
 * Random expressions of every type over the variables of builders.ts, well typed or made `dyn`. Same seed, same output.
 * Left out is what @bufbuild/cel 0.6 gets wrong: `double("a")` is NaN there and `int("")` 0, `timestamp(1)` is a
 * millisecond, charAt() counts UTF-16 units, uints beyond 2^63 cannot be divided, negating the smallest int is no error,
 * replace() without a limit does nothing and with an empty text too much, split() with a limit loses the rest, years before
 * 100 and fractions of a second are off. Beyond 2^53 it tells ints from doubles, which the specification does not.
 */
import type { Random } from "../random-expression.ts";

export type Kind =
  | "bool"
  | "int"
  | "uint"
  | "double"
  | "string"
  | "bytes"
  | "list"
  | "numbers"
  | "time"
  | "length";

const KINDS: readonly Kind[] = [
  "bool",
  "int",
  "uint",
  "double",
  "string",
  "bytes",
  "list",
  "numbers",
  "time",
  "length",
];
const WORDS = ["", "a", "b", "worker-a", "Ab", "é", "ß", "ab,c", " x ", "12", "1.5", "true", "\uffff"];
const INTS = ["0", "1", "-1", "7", "63", "-4503599627370496", "4503599627370496", "1700000000"];
const UINTS = ["0u", "1u", "7u", "4503599627370496u"];
const DOUBLES = ["0.0", "1.0", "-1.5", "1e300", ".5", "7.0", "4503599627370496.0"];
const TIMES = [
  "1971-01-01T00:00:00Z",
  "2026-11-21T03:04:05Z",
  "2024-02-29T23:59:59+02:00",
  "2262-01-01T00:00:00Z",
];
const LENGTHS = ["0s", "1h30m", "-90s", "86399s", "3000ms", "2562047h"];
const ZONES = ["UTC", "+02:00", "-11:30", "Asia/Kolkata", "America/Los_Angeles"];
const PATTERNS = ["^a", "b$", "(?i)AB", "[a-c]+", "\\\\d+", "^$", "."];
const ACCESSORS = [
  "getFullYear",
  "getMonth",
  "getDate",
  "getDayOfWeek",
  "getDayOfYear",
  "getHours",
  "getMinutes",
  "getSeconds",
];

/** An expression that gives a value, and of what kind: nothing that has no form as text in both implementations. */
export function randomCel(random: Random): string {
  const writer = new Writer(random);
  return writer.write(
    writer.pick(["bool", "bool", "int", "uint", "double", "string", "bytes", "list", "numbers"]),
    4,
  );
}

class Writer {
  readonly #random: Random;
  readonly #bound: string[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)] as T;
  }

  write(kind: Kind, depth: number): string {
    if (depth <= 0) return this.#leaf(kind);
    if (this.#random() < 0.12) {
      const [yes, no] = [this.write(kind, depth - 1), this.write(kind, depth - 1)];
      // Their elements may be of different types.
      const branches = kind === "numbers" ? `dyn(${yes}) : dyn(${no})` : `${yes} : ${no}`;
      return `(${this.write("bool", depth - 1)} ? ${branches})`;
    }
    if (this.#random() < 0.15) return this.#leaf(kind);
    return this.#compound(kind, (part) => this.write(part, depth - 1 - Math.floor(this.#random() * 2)));
  }

  #leaf(kind: Kind): string {
    switch (kind) {
      case "bool":
        return this.pick(["true", "false"]);
      case "int":
        return this.pick([...INTS, "conn.client_port"]);
      case "uint":
        return this.pick(UINTS);
      case "double":
        return this.pick(DOUBLES);
      case "string":
        return this.pick([
          ...WORDS.map((word) => JSON.stringify(word)),
          "conn.pod.name",
          "conn.client_ip",
          ...this.#bound,
        ]);
      case "bytes":
        return this.pick(['b""', 'b"a"', 'b"é"', 'b"\\xff"', "br'\\a'"]);
      case "list":
        return this.pick(['["a", "b", "a"]', '["worker-a", "é"]', "conn.pod.tags"]);
      case "numbers":
        return this.pick(["[1, 2, 3]", "[1, 1u, 2.0]", "[7u]", "[-1.5, 0]"]);
      case "time":
        return `timestamp("${this.pick(TIMES)}")`;
      case "length":
        return `duration("${this.pick(LENGTHS)}")`;
    }
  }

  #compound(kind: Kind, part: (kind: Kind) => string): string {
    switch (kind) {
      case "bool":
        return this.#bool(part);
      case "int":
        return this.pick([
          () => `(${part("int")} ${this.pick(["+", "-", "*", "/", "%"])} ${part("int")})`,
          () => `-(${part("int")})`,
          () => `int(${part(this.pick(["uint", "double"]))})`,
          () => `int("${this.pick(["1", "-7", "+7", "x", "1.5", "99999999999999999999"])}")`,
          () => `size(${part(this.pick(["string", "bytes", "list", "numbers"]))})`,
          () => `${part("time")}.${this.pick(ACCESSORS)}()`,
          () => `${part("time")}.${this.pick(ACCESSORS)}("${this.pick(ZONES)}")`,
          () => `${part("length")}.${this.pick(["getHours", "getMinutes", "getSeconds"])}()`,
          () => `${part("string")}.${this.pick(["indexOf", "lastIndexOf"])}(${part("string")})`,
        ])();
      case "uint":
        return this.pick([
          () => `(${part("uint")} ${this.pick(["+", "-", "*", "/", "%"])} ${part("uint")})`,
          () => `uint(${part("int")})`,
        ])();
      case "double":
        return this.pick([
          () => `(${part("double")} ${this.pick(["+", "-", "*", "/"])} ${part("double")})`,
          () => `double(${part(this.pick(["int", "uint"]))})`,
          () => `-(${part("double")})`,
        ])();
      case "string":
        return this.#string(part);
      case "bytes":
        return this.pick([() => `bytes(${part("string")})`, () => `(${part("bytes")} + ${part("bytes")})`])();
      case "list":
        return this.#list(part);
      case "numbers":
        return this.pick([
          () => `[${part("int")}, ${part(this.pick(["int", "uint", "double"]))}]`,
          () => `(dyn(${part("numbers")}) + dyn(${part("numbers")}))`,
          () => `${part("numbers")}.filter(n, n ${this.pick(["==", "<", ">="])} dyn(${part("int")}))`,
        ])();
      case "time":
        return `(${part("time")} ${this.pick(["+", "-"])} ${part("length")})`;
      case "length":
        return `(${part("length")} ${this.pick(["+", "-"])} ${part("length")})`;
    }
  }

  #bool(part: (kind: Kind) => string): string {
    const ordered = this.pick(KINDS.filter((kind) => kind !== "list" && kind !== "numbers"));
    const numbers: readonly Kind[] = ["int", "uint", "double"];
    return this.pick([
      () => `(${part(ordered)} ${this.pick(["==", "!=", "<", "<=", ">", ">="])} ${part(ordered)})`,
      () =>
        `(dyn(${part(this.pick(numbers))}) ${this.pick(["==", "!=", "<", "<=", ">", ">="])} dyn(${part(this.pick(numbers))}))`,
      () => `(dyn(${part(this.pick(KINDS))}) ${this.pick(["==", "!="])} dyn(${part(this.pick(KINDS))}))`,
      () => `(${part("list")} == ${part("list")})`,
      () => `(dyn(${part("numbers")}) == dyn(${part("numbers")}))`,
      () => `(${part("string")} in ${part("list")})`,
      () => `(dyn(${part(this.pick(numbers))}) in ${part("numbers")})`,
      () => `(${part("string")} in conn.pod.annotations)`,
      () => `(${part("bool")} ${this.pick(["&&", "||"])} ${part("bool")})`,
      () => `!(${part("bool")})`,
      () => `${part("string")}.${this.pick(["startsWith", "endsWith", "contains"])}(${part("string")})`,
      () => `${part("string")}.matches("${this.pick(PATTERNS)}")`,
      () => `bool(${part("string")})`,
      () => `(type(${part(this.pick(KINDS))}) == type(${part(this.pick(KINDS))}))`,
      () => `has(conn.pod.annotations.${this.pick(["x", "toString"])})`,
      () => `has({"a": ${part("string")}}.${this.pick(["a", "b"])})`,
      () => this.#loop(this.pick(["all", "exists", "exists_one"]), part, "bool"),
    ])();
  }

  #string(part: (kind: Kind) => string): string {
    const position = () => this.pick(["0", "1", "2", "-1", "50"]);
    return this.pick([
      () => `(${part("string")} + ${part("string")})`,
      () => `string(${part(this.pick(["bool", "int", "uint", "string", "bytes", "time"]))})`,
      () => `conn.pod.annotations[${part("string")}]`,
      () => `${part("list")}[${this.pick(["0", "1", "-1", "dyn(1u)", "dyn(1.0)"])}]`,
      () => `{"a": ${part("string")}, "worker-a": ${part("string")}}[${part("string")}]`,
      () =>
        `{1: ${part("string")}, 2u: ${part("string")}, true: "t"}[dyn(${part(this.pick(["int", "uint", "double", "bool"]))})]`,
      () => `${part("string")}.charAt(${position()})`,
      () => `${part("string")}.substring(${position()}, ${position()})`,
      () =>
        `${part("string")}.replace(${this.pick(['"a"', '"er-"', '"é"'])}, ${part("string")}, ${this.pick(["0", "1", "2"])})`,
      () => `${part("string")}.${this.pick(["trim", "lowerAscii", "upperAscii"])}()`,
      () => `${part("list")}.join(${part("string")})`,
      () => `strings.quote(${part("string")})`,
    ])();
  }

  #list(part: (kind: Kind) => string): string {
    return this.pick([
      () => `[${part("string")}, ${part("string")}]`,
      () => `(${part("list")} + ${part("list")})`,
      () => `${part("string")}.split(${this.pick(['","', '"a"', '"er-"'])})`,
      () => this.#loop("filter", part, "bool"),
      () => this.#loop("map", part, "string"),
    ])();
  }

  #loop(macro: string, part: (kind: Kind) => string, body: Kind): string {
    const range = part("list");
    const name = `x${this.#bound.length}`;
    this.#bound.push(name);
    const inside = part(body);
    this.#bound.pop();
    return `${range}.${macro}(${name}, ${inside})`;
  }
}
