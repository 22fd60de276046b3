import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const { bundleCommand } = createRequire(import.meta.url)("../../build.cjs") as {
  bundleCommand(options: { root: string; out: string }): Promise<string>;
};

/** An installed package: package.json and dist/, and no node_modules above it. */
const installed = mkdtempSync(join(tmpdir(), "podgate-bundle-"));
const command = join(installed, "dist/podgate.js");

beforeAll(async () => {
  cpSync(join(root, "package.json"), join(installed, "package.json"));
  await bundleCommand({ root, out: join(installed, "dist") });
});

afterAll(() => rmSync(installed, { recursive: true, force: true }));

test("the bundle is a program that needs no other file to say what it can do", () => {
  const { status, stdout, stderr } = spawnSync(command, ["--help"], { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(stdout).toContain("Usage: podgate");
  expect(stdout).toMatch(/^ {2}agent /m);
  expect(status).toBe(0);
});

test("the bundle knows the version of the package it is in", () => {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  expect(spawnSync(command, ["--version"], { encoding: "utf8" }).stdout).toBe(`${version}\n`);
});

test("the bundle is where package.json says the command is", () => {
  const { bin } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  expect(join(installed, bin.podgate)).toBe(command);
});
