import fc from "fast-check";
import { expect, test } from "vitest";
import { visible } from "../../../agent/verdict/text.ts";

test.each([
  ["curl", "curl"],
  ["naïve 名前 🙂", "naïve 名前 🙂"],
  ["", ""],
  ["a\nb\r\tc", "a\\u{a}b\\u{d}\\u{9}c"],
  ["\u001b[2J\u001b]0;title\u0007", "\\u{1b}[2J\\u{1b}]0;title\\u{7}"],
  ["\u009b31m", "\\u{9b}31m"],
  ["\u007f\u0000", "\\u{7f}\\u{0}"],
  ["a\u202eb\u2066c\u2069", "a\\u{202e}b\\u{2066}c\\u{2069}"],
  ["a\u200bb\u200dc\ufeffd\u00ade", "a\\u{200b}b\\u{200d}c\\u{feff}d\\u{ad}e"],
  ["line\u2028para\u2029", "line\\u{2028}para\\u{2029}"],
  ["half \ud83d", "half \\u{d83d}"],
  ["tag \u{e0041}", "tag \\u{e0041}"],
])("%j is shown as %j", (text, shown) => {
  expect(visible(text)).toBe(shown);
});

test("a backslash is doubled, so that nobody can write an escape that was not one", () => {
  expect(visible("\\u{a}")).toBe("\\\\u{a}");
  expect(visible("\\\n")).toBe("\\\\\\u{a}");
});

const anyText = fc.string({
  unit: fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)),
});

test("nothing that controls, reorders or hides is left of any text", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      expect(visible(text)).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
    }),
  );
});

test("any text can be read back from what is shown", () => {
  const back = (shown: string) =>
    shown.replace(/\\(\\|u\{([0-9a-f]+)\})/g, (_, first: string, code: string) =>
      first === "\\" ? "\\" : String.fromCodePoint(Number.parseInt(code, 16)),
    );
  fc.assert(
    fc.property(anyText, (text) => {
      expect(back(visible(text))).toBe(text);
    }),
  );
});
