import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { importsOf, layers, violations } from "./layers.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Files that are better long than cut in two, and why. */
const longFiles = new Map<string, string>([]);

const agentFiles = new Map(
  globSync("agent/**/*.ts", { cwd: root }).map((path) => [path, readFileSync(`${root}/${path}`, "utf8")]),
);

const check = (path: string, text: string) => violations(new Map([[path, text]]));

test("agent/ keeps to the import directions, and every file to its one noun", () => {
  expect(agentFiles.size).toBeGreaterThan(0);
  expect(violations(agentFiles, longFiles)).toEqual([]);
});

test("files that are listed as long exist", () => {
  expect([...longFiles.keys()].filter((path) => !agentFiles.has(path))).toEqual([]);
});

test("the table has no cycle: every layer is after the layers it imports", () => {
  const names = Object.keys(layers);
  for (const [index, name] of names.entries()) {
    for (const imported of layers[name]?.imports ?? []) {
      expect(names.indexOf(imported), `${name} imports ${imported}`).toBeGreaterThanOrEqual(0);
      expect(names.indexOf(imported), `${name} imports ${imported}`).toBeLessThan(index);
    }
  }
});

test.each([
  ["agent/policy/a.ts", `import { b } from "../guard/b.ts";`, "policy may not import guard"],
  ["agent/policy/a.ts", `import type { B } from "../guard/b.ts";`, "policy may not import guard"],
  ["agent/policy/a.ts", `export * from "../guard/b.ts";`, "policy may not import guard"],
  ["agent/policy/cel/a.ts", `import { b } from "../../cluster/b.ts";`, "policy may not import cluster"],
  ["agent/proxy/a.ts", `import { b } from "../guard/b.ts";`, "proxy may not import guard"],
  ["agent/dataplane/a.ts", `import { b } from "../proxy/b.ts";`, "dataplane may not import proxy"],
  ["agent/guard/a.ts", `import { b } from "../verdict/b.ts";`, "guard may not import verdict"],
  ["agent/reconcile.ts", `import { b } from "./verdict/b.ts";`, "reconcile.ts may not import verdict"],
  ["agent/cli/a.ts", `import { b } from "../reconcile.ts";`, "cli may not import reconcile.ts"],
  [
    "agent/model/a.ts",
    `import { readFileSync } from "node:fs";`,
    "model is pure: take node:fs as an argument",
  ],
  ["agent/guard/a.ts", `await import("node:net");`, "guard is pure: take node:net as an argument"],
  ["agent/cli/a.ts", `import { parse } from "yaml";`, "only policy imports yaml"],
  [
    "agent/cli/a.ts",
    `import x from "@kubernetes/client-node/dist/x.js";`,
    "only cluster imports @kubernetes/client-node",
  ],
  ["agent/cluster/a.ts", `import { z } from "zod";`, "zod has no owner folder"],
  ["agent/cluster/a.ts", `import "zod";`, "zod has no owner folder"],
  [
    "agent/cluster/a.ts",
    `import { t } from "../../test/t.ts";`,
    "agent/ imports nothing outside itself, not test/t.ts",
  ],
  [
    "agent/dataplane/a.ts",
    `import { createRequire } from "node:module";`,
    "only agent/dataplane/native.ts loads the addon",
  ],
  ["agent/dataplane/a.ts", "process.dlopen(module, path);", "only agent/dataplane/native.ts loads the addon"],
  ["agent/extras/a.ts", "", "extras is not a layer: add it to the table with a reason"],
  ["agent/policy/index.ts", "", "index is no noun: name the file after the one thing in it"],
  ["agent/policy/utils.ts", "", "utils is no noun: name the file after the one thing in it"],
  ["agent/policy/podIndex.ts", "", "file names are kebab-case"],
  ["agent/policy/a.ts", "\n".repeat(300).concat("x"), "301 lines: look for the second idea in it"],
])("%s with %j is a violation", (path, text, rule) => {
  expect(check(path, text)).toEqual([`${path}:1: ${rule}`]);
});

test.each([
  ["agent/guard/a.ts", `import type * as fs from "node:fs";`],
  ["agent/guard/a.ts", `import { createHash } from "node:crypto";`],
  ["agent/guard/a.ts", `import type { Snapshot } from "../cluster/snapshot.ts";`],
  ["agent/policy/cel/a.ts", `import { RE2JS } from "re2js";`],
  ["agent/agent.ts", `import { log } from "./verdict/log.ts";`],
  ["agent/cli/a.ts", `import { start } from "../agent.ts";`],
  ["agent/dataplane/native.ts", `import { createRequire } from "node:module";`],
  ["agent/policy/a.ts", `// as in import { b } from "../guard/b.ts"`],
  ["agent/policy/a.ts", `export const from = "../guard/b.ts";`],
])("%s with %j is none", (path, text) => {
  expect(check(path, text)).toEqual([]);
});

test("a statement over several lines is found at its first line", () => {
  const text = `import a from "./a.ts";\n\nimport {\n  b,\n  c,\n} from "./b.ts";\nexport const d = "./d.ts";\n`;
  expect(importsOf(text).map(({ line, specifier }) => [line, specifier])).toEqual([
    [1, "./a.ts"],
    [3, "./b.ts"],
  ]);
});

test("a listed file that is short again has to leave the list", () => {
  const short = violations(new Map([["agent/policy/a.ts", ""]]), new Map([["agent/policy/a.ts", "a table"]]));
  expect(short).toEqual(["agent/policy/a.ts:1: no longer a long file: take it off the list"]);
});
