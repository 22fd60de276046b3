import { describe, expect, it } from "vitest";
import { compileExpression } from "../../../../agent/policy/cel/compile.ts";
import { milliseconds } from "../cpu-time.ts";
import { environment, values } from "./builders.ts";
import { hostile } from "./hostile-expressions.ts";

function caller(annotations: ReadonlyMap<string, string>, any: unknown) {
  return { ...values, conn: { ...values.conn, pod: { ...values.conn.pod, annotations } }, vars: { any } };
}

/** Values as large as they may be, made to be slow to search, and some that are larger than anybody said. */
const callers = [
  caller(
    new Map([["a", `${"a".repeat(1_000)}!`]]),
    Array.from({ length: 500 }, (_, index) => index),
  ),
  caller(new Map(Array.from({ length: 85 }, (_, index) => [`ngrok.com/${index}`, ""])), {}),
  caller(new Map([["a", "abbabaaabbbabab".repeat(68)]]), ["x".repeat(500)]),
  caller(new Map([["a", "(a|b)*[ab]{9}c"]]), null),
];
const tooLarge = caller(
  new Map(Array.from({ length: 20_000 }, (_, index) => [`a${index}`, "a".repeat(500)])),
  Array.from({ length: 20_000 }, () => "a".repeat(50)),
);

describe(`${hostile.length} hostile expressions`, () => {
  it.each(hostile)("%s is read and evaluated in under 20 ms", (_title, text) => {
    expect(milliseconds(() => compileExpression(text, environment, "bool"))).toBeLessThan(20);
    const compiled = compileExpression(text, environment, "bool");
    if (compiled instanceof Error) return;
    for (const each of callers) expect(milliseconds(() => compiled.evaluate(each))).toBeLessThan(20);
  });

  it.each(hostile)("%s gives true, false or an Error, and changes nothing", (_title, text) => {
    const before = Object.getOwnPropertyNames(Object.prototype);
    const compiled = compileExpression(text, environment, "bool");
    if (compiled instanceof Error) {
      expect(compiled.message.length).toBeLessThan(450);
      return;
    }
    for (const each of [...callers, tooLarge]) {
      const value = compiled.evaluate(each);
      expect(value === true || value === false || value instanceof Error).toBe(true);
    }
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
  });

  it("are at least the 60 that were asked for", () => {
    expect(new Set(hostile.map(([title]) => title)).size).toBe(hostile.length);
    expect(hostile.length).toBeGreaterThanOrEqual(60);
  });
});

describe("values larger than their bounds", () => {
  const small = { entries: 4, characters: 16 };
  const paths = ["conn.client_ip", "conn.pod.annotations", "conn.pod.tags", "vars.any"];
  const mistaken = { ...environment, bounds: new Map(paths.map((path) => [path, small])) };
  const question = (text: string) => {
    const compiled = compileExpression(text, mistaken, "bool");
    if (compiled instanceof Error) throw compiled;
    return compiled;
  };

  it.each([
    "conn.pod.annotations.all(a, conn.pod.annotations.all(b, a.contains(b) || a != b))",
    "vars.any.exists(x, x.matches(conn.client_ip))",
    "vars.any.all(x, size(x.split('')) > 1 && x.reverse().trim().size() > 1)",
    "vars.any.all(x, [x] + vars.any != [])",
    "vars.any.distinct().size() == 1",
    "vars.any.join('').size() == 1",
    "vars.any.exists(x, conn.ts.start.getHours('Asia/Kolkata') == x)",
    "vars.any.filter(x, x.sha512() == '').size() > 5",
  ])("cost %s no more than the budget: it ends with an error", (text) => {
    const { evaluate } = question(text);
    // Without the budget they take seconds to hours.
    expect(milliseconds(() => evaluate(tooLarge))).toBeLessThan(200);
    expect(evaluate(tooLarge)).toBeInstanceOf(Error);
  });

  it("are no reason to refuse an answer that does not depend on them", () => {
    expect(question("vars.any.exists(x, x.matches(conn.client_ip)) || true").evaluate(tooLarge)).toBe(true);
    expect(question("vars.any.exists(x, x.matches(conn.client_ip))").evaluate(tooLarge)).toEqual(
      new Error("the expression took too long"),
    );
  });
});

describe("the cost of an expression", () => {
  const cost = (text: string) => {
    const compiled = compileExpression(text, environment, "any");
    return compiled instanceof Error ? compiled.message : compiled.cost;
  };

  it("grows with what it does to how much", () => {
    expect(cost("conn.client_port == 1")).toBeLessThan(10);
    expect(cost("conn.pod.annotations.all(a, a != '')")).toBeGreaterThan(128);
    expect(cost("conn.pod.annotations.all(a, conn.pod.annotations.all(b, a != b))")).toBeGreaterThan(
      128 * 128,
    );
    expect(cost("conn.pod.name.matches('a' + 'b')")).toBeGreaterThan(2_000);
    expect(cost("conn.ts.start.getHours('Asia/Kolkata')")).toBeGreaterThan(1_000);
  });

  it.each([
    [
      "it.map(x, x + x)",
      'vars.any.map(x, [x, x].map(y, string(y) + conn.pod.name)).flatten().join("") == ""',
    ],
    ["replace", 'conn.pod.name.replace("a", conn.pod.annotations["a"]) == ""'],
    ["join", 'conn.pod.name.split("").join(conn.pod.annotations["a"]) == ""'],
  ])("refuses text that %s could make too large", (_title, text) => {
    expect(cost(text)).toBe("its values could grow too large: make it simpler");
  });
});
