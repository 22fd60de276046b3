/** A stream of bytes is cut into lines wherever the network cuts the stream. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Lines } from "../../../agent/cluster/lines.ts";

test("lines come out whole however the bytes are cut, also inside a character", () => {
  const line = fc.string({ unit: "grapheme", maxLength: 30 }).map((text) => text.replaceAll("\n", " "));
  fc.assert(
    fc.property(
      fc.array(line),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      (wanted, sizes) => {
        const bytes = Buffer.from(wanted.map((text) => `${text}\n`).join(""));
        const lines = new Lines();
        const found: string[] = [];
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const size = sizes[i % sizes.length] ?? 1;
          found.push(...lines.push(bytes.subarray(at, at + size)));
          at += size;
        }
        expect(found).toEqual(wanted.filter((text) => text.trim() !== ""));
      },
    ),
  );
});

test("the end of a line that has not come is waited for", () => {
  const lines = new Lines();
  expect([...lines.push(Buffer.from("half"))]).toEqual([]);
  expect([...lines.push(Buffer.from(" a line\nnext"))]).toEqual(["half a line"]);
});

test("a line that does not end is refused before it fills the memory", () => {
  const lines = new Lines();
  const chunk = Buffer.alloc(4 << 20, "x");
  expect(() => {
    for (let i = 0; i < 5; i++) for (const line of lines.push(chunk)) throw new Error(line);
  }).toThrow("a line is longer than 16777216 bytes");
});
