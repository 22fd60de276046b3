import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

interface Entry {
  readonly version: string;
  readonly integrity?: string;
  readonly optional?: boolean;
  readonly devOptional?: boolean;
}
type Packages = Readonly<Record<string, Entry>>;
const setup = fileURLToPath(new URL("../../../setup.cjs", import.meta.url));
const { hasInstalled } = createRequire(import.meta.url)(setup) as {
  hasInstalled(wanted: Packages, installed: Packages | undefined): boolean;
};

const project = { "": { version: "0.1.0" } };
const yaml = { "node_modules/yaml": { version: "2.9.1", integrity: "sha512-a" } };
const foreign = { "node_modules/x-win32": { version: "1.0.0", optional: true } };

describe("npm ci is due", () => {
  test.each<[string, boolean, Packages, Packages | undefined]>([
    ["when nothing is installed, or an install was interrupted", true, { ...project, ...yaml }, undefined],
    ["not when all is installed", false, { ...project, ...yaml }, yaml],
    ["when a package is missing", true, { ...project, ...yaml }, {}],
    ["not when an optional package is missing", false, { ...project, ...yaml, ...foreign }, yaml],
    [
      "when the lock has another version",
      true,
      yaml,
      { "node_modules/yaml": { version: "2.9.0", integrity: "sha512-a" } },
    ],
    [
      "when the lock has another content",
      true,
      yaml,
      { "node_modules/yaml": { version: "2.9.1", integrity: "sha512-b" } },
    ],
    [
      "when an optional package has another version",
      true,
      foreign,
      { "node_modules/x-win32": { version: "0.9.0" } },
    ],
  ])("%s", (_, due, wanted, installed) => {
    expect(hasInstalled(wanted, installed)).toBe(!due);
  });
});

test("where packages are missing and cannot be installed, set-up names them and fails", () => {
  const { status, stderr } = spawnSync(process.execPath, [setup], {
    encoding: "utf8",
    env: { PATH: "/nonexistent" },
  });
  expect(stderr).toMatch(/these Debian packages are missing: clang llvm .*curl/);
  expect(status).toBe(1);
});
