import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { splitTemplate } from "../../../agent/policy/template-text.ts";

const parts = (text: string) => {
  const split = splitTemplate(text);
  return "unclosed" in split ? `unclosed at ${split.unclosed}` : split;
};

describe("the expressions in a text", () => {
  it.each<[string, unknown]>([
    ["", []],
    ["plain $ {text} $", ["plain $ {text} $"]],
    ["${a}", [{ expression: "a", start: 2 }]],
    ["x ${a} y ${b}", ["x ", { expression: "a", start: 4 }, " y ", { expression: "b", start: 11 }]],
    ['${{"k": {"l": 1}}}', [{ expression: '{"k": {"l": 1}}', start: 2 }]],
    ['${"}"}', [{ expression: '"}"', start: 2 }]],
    ["${'}\\'}'}", [{ expression: "'}\\'}'", start: 2 }]],
    ['${r"\\"}', [{ expression: 'r"\\"', start: 2 }]],
    ['${"""}"}"""}', [{ expression: '"""}"}"""', start: 2 }]],
    ["${}", [{ expression: "", start: 2 }]],
    ["${a", "unclosed at 0"],
    ["x${'}", "unclosed at 1"],
    ["${{}", "unclosed at 0"],
  ])("%s", (text, expected) => {
    expect(parts(text)).toEqual(expected);
  });

  it("put together again are the text, whatever it is", () => {
    const pieces = fc.constantFrom("${", "}", "{", '"', "'", "\\", "a", "$", " ", '"""', "r");
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 20 }), (list) => {
        const text = list.join("");
        const split = splitTemplate(text);
        if ("unclosed" in split) return;
        const whole = split
          .map((part) => (typeof part === "string" ? part : `\${${part.expression}}`))
          .join("");
        expect(whole).toBe(text);
        for (const part of split) {
          if (typeof part === "object") expect(text.startsWith(part.expression, part.start)).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
