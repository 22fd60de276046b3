import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { lintText } from "./rig.ts";

const folder = join(import.meta.dirname, "documents");
const documents = globSync("*.yaml", { cwd: folder }).flatMap((name) =>
  readFileSync(join(folder, name), "utf8").split(/^---$/m),
);

/** Every place must be one in the text. */
function check(text: string): void {
  for (const { position, span, message } of lintText(text)) {
    expect(span.start).toBeGreaterThanOrEqual(0);
    expect(span.end).toBeGreaterThanOrEqual(span.start);
    expect(span.end).toBeLessThanOrEqual(text.length + 1);
    expect(position.line).toBeLessThanOrEqual(text.split("\n").length);
    expect(message).not.toBe("");
  }
}

/** `value` with the node at `path`, as far as there is one, replaced. */
function replaced(value: unknown, path: readonly number[], by: unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined || typeof value !== "object" || value === null) return by;
  const entries = Object.entries(value);
  const at = step % Math.max(entries.length, 1);
  const changed = entries.map(([key, each], index): [string, unknown] => [
    key,
    index === at ? replaced(each, rest, by) : each,
  ]);
  return Array.isArray(value) ? changed.map(([, each]) => each) : Object.fromEntries(changed);
}

describe("lint", () => {
  it("has an answer for every document with a part of it replaced by anything", () => {
    const whatever = fc.oneof(
      fc.jsonValue({ maxDepth: 2 }),
      fc.constantFrom(
        "conn.k8s.pod.metadata.namespace",
        "${",
        "!",
        "__proto__",
        "1 +",
        "\u0000",
        -0,
        2 ** 70,
      ),
    );
    const property = fc.property(
      fc.constantFrom(...documents),
      fc.array(fc.nat(9), { maxLength: 9 }),
      whatever,
      (document, path, by) => check(stringify(replaced(parse(document, { logLevel: "silent" }), path, by))),
    );
    fc.assert(property, { numRuns: 400 });
  });

  it("has an answer for every document with a piece of its text cut out or put in", () => {
    const property = fc.property(
      fc.constantFrom(...documents),
      fc.nat(2_000),
      fc.nat(12),
      fc.constantFrom("", "!", "'", '"', "- ", ": ", "&a ", "*a", "|\n", "\t", "}", "---\n", "\ud800"),
      (document, at, length, put) => check(document.slice(0, at) + put + document.slice(at + length)),
    );
    fc.assert(property, { numRuns: 400 });
  });

  it.each<[string, string]>([
    ["nested deeper than a stack", `on_tcp_connect: ${"[".repeat(50_000)}`],
    ["nested in blocks", Array.from({ length: 3_000 }, (_, n) => `${" ".repeat(n)}a:\n`).join("")],
    ["that contain themselves", "on_tcp_connect: &a\n  - actions: *a\n"],
    [
      "whose configuration contains itself",
      "on_tcp_connect:\n  - actions: [{type: log, config: &c {metadata: *c}}]\n",
    ],
    ["with an anchor that is nowhere", "on_tcp_connect: *nowhere\n"],
    ["with keys that JavaScript knows", "__proto__: {on_tcp_connect: []}\nconstructor: 1\ntoString: {}\n"],
    ["with objects for keys", "? {a: 1}\n: b\non_tcp_connect: []\n"],
    ["of bytes that are no text", Buffer.from([0xff, 0xfe, 0x00, 0x41, 0x0a]).toString("utf8")],
    [
      "of a megabyte in one text",
      `on_tcp_connect: [{expressions: ["${"a".repeat(1 << 20)}"], actions: [type: deny]}]`,
    ],
    ["with ten thousand faults", `on_tcp_connect:\n${"  - {x: 1}\n".repeat(999)}`],
  ])("finds something in texts %s, soon", (_title, text) => {
    const begun = performance.now();
    check(text);
    expect(lintText(text).length).toBeGreaterThan(0);
    expect(performance.now() - begun).toBeLessThan(15_000);
  });
});
