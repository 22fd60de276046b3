import { describe, expect, it } from "vitest";
import { childPath, pathKeys } from "../../../agent/policy/json-path.ts";
import { parsePolicy } from "../../../agent/policy/parse.ts";
import { formatPlaced, place, readPolicyFile } from "../../../agent/policy/yaml.ts";

const allowList = `apiVersion: ngrok.k8s.ngrok.com/v1alpha1
kind: CloudEndpoint
metadata:
  name: example
spec:
  trafficPolicy:
    policy:
      on_tcp_connect:
        - expressions:
            - !(conn.k8s.pod.metadata.name in ["worker-a", "worker-b"])
          actions:
            - type: deny
`;

describe("a policy file", () => {
  it("with the unquoted example is refused with its line and column, and says to quote it", () => {
    const [document] = readPolicyFile(allowList, "allow-list.yaml");
    expect(document?.diagnostics.map(formatPlaced)).toEqual([
      'allow-list.yaml:10:15: PODGATE_YAML_TAG: YAML reads `!(conn.k8s.pod.metadata.name` as a tag and drops it: quote the expression (- "!(...)")',
    ]);
  });

  it("is read as kubectl reads it, so that the policy's own error has the same place", () => {
    const [document] = readPolicyFile(allowList, "allow-list.yaml");
    const value = document?.value as { spec: { trafficPolicy: { policy: unknown } } };
    const parsed = parsePolicy(value.spec.trafficPolicy.policy, "spec.trafficPolicy.policy");
    if (parsed.ok || document === undefined) throw new Error("the mangled expression was read");
    const placed = parsed.diagnostics.map((diagnostic) => formatPlaced(place(document, diagnostic)));
    expect(placed).toEqual([
      expect.stringMatching(/^allow-list\.yaml:10:44: ERR_NGROK_2200: .*quote the expression/),
    ]);
  });

  it.each([
    ['- ! (x in ["a"])', 3, "!"],
    ["- !has(x)", 3, "!has(x)"],
    ["- !(x) && y", 3, "!(x)"],
    ["[a, !(b in c)]", 5, "!(b"],
  ])("with %s is found by its tag, even where what is left is an expression", (text, column, tag) => {
    const [document] = readPolicyFile(text, "f");
    expect(document?.diagnostics.map(formatPlaced)).toEqual([
      `f:1:${column}: PODGATE_YAML_TAG: YAML reads \`${tag}\` as a tag and drops it: quote the expression (- "!(...)")`,
    ]);
  });

  it.each([
    '- "!(x)"',
    "- '!(x)'",
    "- |\n  !(x)",
    "- a != b",
    "!!str a",
  ])("with %j has nothing to say", (text) => {
    expect(readPolicyFile(text, "f")[0]?.diagnostics).toEqual([]);
  });

  it("may hold several documents, each with places in the whole file", () => {
    const documents = readPolicyFile("a: 1\n---\nb:\n  - c\n  - d: 2\n---\n", "many.yaml");
    expect(documents.map((document) => document.value)).toEqual([{ a: 1 }, { b: ["c", { d: 2 }] }, null]);
    expect(documents[1]?.locate("b[1].d")).toEqual({ file: "many.yaml", line: 5, column: 5 });
  });

  it("places a path that does not exist at what is nearest above it", () => {
    const [document] = readPolicyFile("spec:\n  url: x\n  rules:\n    - actions: []\n", "f");
    const at = (path: string) => Object.values(document?.locate(path) ?? {}).join(":");
    expect(at("")).toBe("f:1:1");
    expect(at("spec.url")).toBe("f:2:3");
    expect(at("spec.rules[0].actions[3].type")).toBe("f:4:7");
    expect(at("spec.rules[7]")).toBe("f:3:3");
    expect(at("nope.url")).toBe("f:1:1");
  });

  it.each([
    ["a: [\n", /^f:\d+:\d+: PODGATE_YAML_SYNTAX: read as YAML: /],
    ['a:\n  - "x" in y\n', /Unexpected scalar at node end: quote the whole expression \('\.\.\.'\)$/],
    ["a: [x in ['y']]\n", /between flow sequence items: quote the whole expression/],
    ["a:\n  - @x\n", /reserved character @: quote the whole expression/],
    ["a:\n  - b: 1\n   c: 2\n", /^f:3:1: .*without - indicator: indent the line like those it belongs to$/],
    ["a:\n  - b: 1\n\tc: 2\n", /: indent with spaces$/],
    ["a: 1\na: 2\n", /^f:2:1: PODGATE_YAML_SYNTAX: read as YAML: Map keys must be unique/],
  ])("that is broken (%j) has no value, and says where", (text, message) => {
    const [document] = readPolicyFile(text, "f");
    expect(document?.value).toBeNull();
    expect(formatPlaced(document?.diagnostics[0] ?? expect.fail("no diagnostic"))).toMatch(message);
  });

  it("with aliases that multiply is refused, not expanded", () => {
    const bomb = `a: &a [x, x, x, x, x, x, x, x, x]\n${"bcdefgh"
      .split("")
      .map((name, i) => `${name}: &${name} [${new Array(9).fill(`*${"abcdefg"[i]}`).join(", ")}]`)
      .join("\n")}\n`;
    const [document] = readPolicyFile(bomb, "f");
    expect(document).toMatchObject({ value: null, diagnostics: [{ code: "PODGATE_YAML_SYNTAX" }] });
  });

  it("that is empty holds no document", () => {
    expect(readPolicyFile("", "f")).toEqual([]);
  });
});

describe("a JSON path", () => {
  it.each<[(string | number)[], string]>([
    [["spec", "on_tcp_connect", 1, "expressions", 0], "spec.on_tcp_connect[1].expressions[0]"],
    [["a.b", 'c"d', "e]"], '["a.b"]["c\\"d"]["e]"]'],
    [[0, "0", "x-y"], '[0]["0"].x-y'],
    [[], ""],
  ])("of %j is %s and can be read back", (keys, path) => {
    const built = keys.reduce<string>((parent, key) => childPath(parent, key), "");
    expect(built).toBe(path);
    expect(pathKeys(built)).toEqual(keys);
  });
});
