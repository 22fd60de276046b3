import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

const { buildBpf } = createRequire(import.meta.url)("../../../bpf/build.cjs") as {
  buildBpf(options: { root: string; log: (line: string) => void }): void;
};

// Unit tests need no compiler: these stand for clang and llvm-strip, and say when they ran.
const compiler = `#!/bin/sh
while [ $# -gt 1 ]; do case "$1" in -c) source=$2;; -o) object=$2;; esac; shift; done
if grep -q broken "$source"; then echo "$source:1: error: broken" >&2; exit 1; fi
cat "$source" > "$object"
`;

let root = "";
let lines: string[] = [];
const build = () => buildBpf({ root, log: (line) => lines.push(line) });
const write = (name: string, text: string) => writeFileSync(join(root, "bpf", name), text);
const objects = () => readdirSync(join(root, "bpf/out")).filter((name) => name !== "sources.sha256");
const objectText = (name: string) => readFileSync(join(root, "bpf/out", name), "utf8");

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "podgate-bpf-"));
  lines = [];
  mkdirSync(join(root, "bin"));
  mkdirSync(join(root, "bpf"));
  writeFileSync(join(root, "bin/clang"), compiler, { mode: 0o755 });
  writeFileSync(join(root, "bin/llvm-strip"), "#!/bin/sh\nexit 0\n", { mode: 0o755 });
  vi.stubEnv("PATH", `${join(root, "bin")}:${process.env.PATH}`);
  write("connect.bpf.c", "one");
  write("maps.h", "header");
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true, force: true });
});

test("every source becomes an object, and the second time nothing is done or said", () => {
  write("netns.bpf.c", "two");
  build();
  expect(objects()).toEqual(["connect.bpf.o", "netns.bpf.o"]);
  expect(lines).toEqual(["building BPF objects"]);
  rmSync(join(root, "bin"), { recursive: true });
  build();
  expect(lines).toHaveLength(1);
});

test.each([
  ["a changed source", () => write("connect.bpf.c", "changed")],
  ["a changed header", () => write("maps.h", "changed")],
  ["a lost object", () => rmSync(join(root, "bpf/out/connect.bpf.o"))],
])("%s is a reason to build", (_, change) => {
  build();
  change();
  build();
  expect(lines).toHaveLength(2);
  expect(objectText("connect.bpf.o")).toBe(readFileSync(join(root, "bpf/connect.bpf.c"), "utf8"));
});

test("the object of a source that is gone goes too", () => {
  write("old.bpf.c", "old");
  build();
  rmSync(join(root, "bpf/old.bpf.c"));
  build();
  expect(objects()).toEqual(["connect.bpf.o"]);
});

test("a source that does not compile fails with the compiler's words, keeps the old object and is tried again", () => {
  build();
  write("connect.bpf.c", "broken");
  expect(build).toThrow(/build BPF objects: clang failed[\s\S]*connect\.bpf\.c:1: error: broken/);
  expect(objects()).toEqual(["connect.bpf.o"]);
  expect(objectText("connect.bpf.o")).toBe("one");
  expect(existsSync(join(root, "bpf/out/sources.sha256"))).toBe(false);
  expect(build).toThrow(/broken/);
});
