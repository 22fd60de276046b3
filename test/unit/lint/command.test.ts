import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { M, rules } from "./rig.ts";

const root = join(import.meta.dirname, "../../..");
const folder = mkdtempSync(join(tmpdir(), "podgate-lint-"));
afterAll(() => rmSync(folder, { recursive: true }));

function podgateLint(args: readonly string[], input = "", environment: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, "agent/main.ts"), "lint", ...args],
    { cwd: folder, input, encoding: "utf8", env: { ...process.env, ...environment } },
  );
  return { status, stdout, stderr };
}

const trap = `on_tcp_connect:
  - expressions:
      - !(conn.k8s.pod.metadata.name in ["worker-a"])
    actions:
      - type: deny
`;
const open = rules(`${M}.error_code == "" && ${M}.namespace != "a" => deny`);

describe("podgate lint", () => {
  it("shows place, code, the offending text underlined, what to do, and how many there are", () => {
    expect(podgateLint(["-"], trap)).toEqual({
      status: 1,
      stderr: "",
      stdout: `stdin:3:9: error PODGATE_YAML_TAG: YAML reads \`!(conn.k8s.pod.metadata.name\` as a tag and drops it
  3 |       - !(conn.k8s.pod.metadata.name in ["worker-a"])
    |         ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
    = quote the expression (- "!(...)")

1 error and 0 warnings in 1 policy of 1 file
`,
    });
  });

  it("succeeds with warnings alone, unless they are to count as errors", () => {
    writeFileSync(join(folder, "open.yaml"), open);
    expect(podgateLint(["open.yaml"])).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^open\.yaml:2:22: warning PODGATE_FAIL_OPEN: /),
    });
    expect(podgateLint(["--strict", "open.yaml"])).toMatchObject({
      status: 1,
      stdout: expect.stringMatching(/^open\.yaml:2:22: error PODGATE_FAIL_OPEN: /),
    });
  });

  it("says so where there is nothing to say", () => {
    expect(podgateLint(["-"], rules("=> deny"))).toEqual({
      status: 0,
      stderr: "",
      stdout: "no errors, no warnings in 1 policy of 1 file\n",
    });
  });

  it("gives JSON with both ends of every place", () => {
    const { status, stdout } = podgateLint(["-o", "json", "-"], trap);
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toEqual({
      diagnostics: [
        {
          file: "stdin",
          line: 3,
          column: 9,
          endLine: 3,
          endColumn: 54,
          severity: "error",
          code: "PODGATE_YAML_TAG",
          message: expect.stringContaining("quote the expression"),
          path: "",
        },
      ],
      summary: { errors: 1, warnings: 0, files: 1, policies: 1 },
    });
  });

  it("gives GitHub's commands, in which nothing of a file's can end one", () => {
    const policy = { on_tcp_connect: [{ actions: [{ type: "deny" }], "%\n::error::x": 1 }] };
    writeFileSync(join(folder, "a,b:c.json"), JSON.stringify(policy));
    const { stdout } = podgateLint(["-o", "github", "a,b:c.json"]);
    expect(stdout).toMatch(
      /^::error file=a%2Cb%3Ac\.json,line=1,endLine=1,col=49,endColumn=66,title=ERR_NGROK_2236::unknown key `%25\\u\{a\}::error::x`/,
    );
    expect(stdout.trimEnd().split("\n")).toHaveLength(1);
  });

  it("makes what would move a terminal's cursor visible, and colours nothing that is no terminal", () => {
    const text = `on_tcp_connect:\n  - "na\\e[31mme\u009b": 1\n    actions: [type: deny]\n# \u202e\n`;
    const { stdout } = podgateLint(["-"], text);
    expect(stdout).toContain("unknown key");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  });

  it.skipIf(!existsSync("/usr/bin/script"))("colours on a terminal, unless NO_COLOR is set", () => {
    const command = `${process.execPath} ${join(root, "agent/main.ts")} lint open.yaml`;
    writeFileSync(join(folder, "open.yaml"), open);
    const onTerminal = (env: NodeJS.ProcessEnv) =>
      execFileSync("script", ["-qec", command, "/dev/null"], {
        cwd: folder,
        encoding: "utf8",
        env: { ...process.env, ...env },
      });
    const control = String.fromCharCode(0x1b);
    expect(onTerminal({ NO_COLOR: "" })).toContain(`${control}[1;33mwarning${control}[0m`);
    expect(onTerminal({ NO_COLOR: "1" })).not.toContain(control);
  });

  it("underlines what is behind tabs and wide characters where it stands", () => {
    const { stdout } = podgateLint(
      ["-"],
      'on_tcp_connect:\n  - {"名前":\t1, "actions": [{"type": "deny"}]}\n',
    );
    const [, line = "", underline = ""] = stdout.split("\n");
    expect(line).toContain('"名前": 1');
    expect(underline).toBe("    |      ^~~~~~~~~");
  });

  it("cuts a long line around the offending text", () => {
    const text = `{"on_tcp_connect": [${Array(40).fill('{"actions": [{"type": "log"}]}').join(", ")}, {"x": 1}]}`;
    const { stdout } = podgateLint(["-"], text);
    const lines = stdout.split("\n");
    const at = lines.findIndex((line) => line.includes("unknown key `x`"));
    expect(lines[at + 1]).toMatch(/^ {2}1 \| \.\.\..*"x": 1/);
    expect(lines[at + 1]?.length).toBeLessThan(160);
    expect(lines[at + 1]?.slice(lines[at + 2]?.indexOf("^"))).toMatch(/^"x": 1/);
  });

  it("takes no colon of what it quotes for the beginning of its advice", () => {
    const { stdout } = podgateLint(["-"], "on_tcp_connect: [{}]");
    expect(stdout).toContain("the rule has no actions\n");
    expect(stdout).toContain("= add one, such as `- type: deny`\n");
  });

  it("does not print a private key", () => {
    const key = "-----BEGIN EC PRIVATE KEY----- c2VjcmV0";
    const config = { server_private_key: key };
    const text = JSON.stringify({ on_tcp_connect: [{ actions: [{ type: "terminate-tls", config }] }] });
    const { stdout } = podgateLint(["-"], text);
    expect(stdout).toContain("terminate-tls");
    expect(stdout).not.toContain("c2VjcmV0");
  });

  it.each([
    ["no file", [], /missing required argument/],
    ["a file that is not there", ["nope.yaml"], /^podgate: read nope\.yaml: ENOENT/],
    ["an output it does not have", ["-o", "xml", "-"], /use one of text, json, github/],
    ["an option it does not have", ["--fix", "-"], /unknown option/],
  ])("is used wrongly with %s", (_title, args, message) => {
    expect(podgateLint(args)).toMatchObject({
      status: 2,
      stdout: "",
      stderr: expect.stringMatching(message),
    });
  });

  it("explains itself with examples", () => {
    const { status, stdout } = podgateLint(["--help"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/Exit status:[\s\S]*Examples:\n {2}podgate lint /);
  });
});
