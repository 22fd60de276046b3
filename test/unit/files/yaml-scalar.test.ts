import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { readPolicyFile } from "../../../agent/policy/yaml.ts";

/** What the file says at `range` of the first item's value. */
function written(text: string, range: { start: number; end: number }): string {
  const [document] = readPolicyFile(text, "f");
  const span = document?.span("[0]", range) ?? expect.fail("no document");
  return text.slice(span.start, span.end);
}

describe("a place inside a text of YAML", () => {
  it.each<[string, string, string, string]>([
    ["plain", "- a == bad\n", "bad", "bad"],
    ["plain over two lines", "- a ==\n    bad && c\n", "bad", "bad"],
    ["single quotes", "- 'x == ''y'' && bad'\n", "bad", "bad"],
    ["single quotes, at one", "- 'x == ''y'' && bad'\n", "'y'", "''y''"],
    ["double quotes with escapes", '- "x == \\"\\u00e9\\x41\\U0001F600\\" && bad"\n', "bad", "bad"],
    ["double quotes, at an escape", '- "x == \\"y\\" && bad"\n', '"y"', '\\"y\\"'],
    ["double quotes over lines", '- "x == 1 \\\n   && bad"\n', "bad", "bad"],
    ["double quotes folded", '- "x == 1\n\n   && bad"\n', "bad", "bad"],
    ["a literal block", "- |\n  x ==\n    1\n\n  && bad\n", "bad", "bad"],
    ["a literal block with a header", "- |2-  # why\n  bad\n", "bad", "bad"],
    ["a folded block", "- >-\n  x == 1\n  && bad\n\n  && y\n", "bad", "bad"],
    ["lines that end with CR LF", "- >-\r\n  x == 1\r\n  && bad\r\n", "bad", "bad"],
  ])("of %s is found", (_title, text, wanted, expected) => {
    const [value] = readPolicyFile(text, "f")[0]?.value as [string];
    const start = value.indexOf(wanted);
    expect(start).toBeGreaterThanOrEqual(0);
    expect(written(text, { start, end: start + wanted.length })).toBe(expected);
  });

  it("is found in whatever way a text can be written", () => {
    const words = fc.array(fc.constantFrom("a", '"q"', "'s'", "é", "😀", "\\n", "#", ": ", "!", "{", "- "), {
      minLength: 1,
      maxLength: 30,
    });
    const types = fc.constantFrom(
      "PLAIN" as const,
      "QUOTE_SINGLE" as const,
      "QUOTE_DOUBLE" as const,
      "BLOCK_FOLDED" as const,
      "BLOCK_LITERAL" as const,
    );
    const property = fc.property(
      words,
      words,
      types,
      fc.integer({ min: 20, max: 80 }),
      (before, after, type, width) => {
        const value = [...before, "MARK", ...after].join(" ");
        const text = stringify([value], { defaultStringType: type, lineWidth: width });
        const [read] = readPolicyFile(text, "f")[0]?.value as [string];
        const start = read.indexOf("MARK");
        expect(written(text, { start, end: start + 4 })).toBe("MARK");
      },
    );
    fc.assert(property, { numRuns: 500 });
  });

  it("of an alias, which is written elsewhere, is the alias", () => {
    const text = "- &a bad\n- *a\n";
    const [document] = readPolicyFile(text, "f");
    const span = document?.span("[1]", { start: 0, end: 1 });
    expect(text.slice(span?.start)).toBe("*a\n");
  });
});

describe("the span of", () => {
  const text = "spec:\n  url: x y\n  rules:\n    - type: deny\n      config: {a: 1}\n    - [b]\n";
  it.each([
    ["spec.url", "url: x y"],
    ["spec", "spec"],
    ["spec.rules[0]", "type"],
    ["spec.rules[0].config.a", "a: 1"],
    ["spec.rules[1][0]", "b"],
    ["spec.rules[0].nope", "type"],
    ["spec.nope", "spec"],
  ])("%s is %j", (path, expected) => {
    const span = readPolicyFile(text, "f")[0]?.span(path);
    expect(text.slice(span?.start, span?.end)).toBe(expected);
  });
});
