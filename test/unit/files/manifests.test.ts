import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { readManifests } from "../../../agent/files/manifests.ts";
import { formatPlaced } from "../../../agent/policy/yaml.ts";

const made: string[] = [];
afterEach(() => {
  for (const path of made.splice(0)) rmSync(path, { recursive: true });
});

function directory(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), "podgate-manifests-"));
  made.push(root);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

const noStdin = () => expect.fail("standard input was read");

describe("manifests", () => {
  it("of a directory are those of every .yaml, .yml and .json below it, sorted", () => {
    const root = directory({
      "b.yml": "b: 1",
      "a/z.yaml": "z: 1\n---\nz: 2\n",
      "c.json": '{"c": 1}',
      "README.md": "# no",
      ".git/config.yaml": "hidden: 1",
      "node_modules/x/y.yaml": "other: 1",
    });
    const { manifests } = readManifests([root], noStdin);
    expect(manifests.map(({ value }) => value)).toEqual([{ z: 1 }, { z: 2 }, { b: 1 }, { c: 1 }]);
    expect(manifests[0]?.file.name).toBe(join(root, "a/z.yaml"));
  });

  it("of a directory with a link back to itself end", () => {
    const root = directory({ "a.yaml": "a: 1" });
    symlinkSync(root, join(root, "again"));
    expect(readManifests([root], noStdin).manifests).toHaveLength(1);
  });

  it("of a file named twice are read once", () => {
    const root = directory({ "a.yaml": "a: 1" });
    expect(readManifests([join(root, "a.yaml"), root], noStdin).manifests).toHaveLength(1);
  });

  it("of a file may have any name, and of standard input are places in stdin", () => {
    const root = directory({ policy: "a: 1" });
    const { manifests, diagnostics } = readManifests([join(root, "policy"), "-"], () => "b: [\n");
    expect(manifests.map(({ value }) => value)).toEqual([{ a: 1 }]);
    expect(diagnostics.map(formatPlaced)).toEqual([expect.stringMatching(/^stdin:2:1: PODGATE_YAML_SYNTAX/)]);
  });

  it("of a List are its items, each with its place", () => {
    const text = "kind: List\nitems:\n  - kind: A\n  - kind: B\n    x: 1\n";
    const { manifests } = readManifests(["-"], () => text);
    expect(manifests.map(({ path, value }) => [path, value])).toEqual([
      ["items[0]", { kind: "A" }],
      ["items[1]", { kind: "B", x: 1 }],
    ]);
    const [, second] = manifests;
    expect(second?.document.locate(`${second.path}.x`)).toMatchObject({ line: 5, column: 5 });
  });

  it("of comments alone are none", () => {
    expect(readManifests(["-"], () => "# nothing\n---\n# here\n")).toMatchObject({
      manifests: [],
      diagnostics: [],
    });
  });

  it("that do not exist, or a directory without any, are an error that names the path", () => {
    const root = directory({ "README.md": "" });
    expect(() => readManifests([join(root, "no.yaml")], noStdin)).toThrow(`read ${root}/no.yaml: ENOENT`);
    expect(() => readManifests([root], noStdin)).toThrow(
      `read ${root}: it holds no .yaml, .yml or .json file`,
    );
  });
});
