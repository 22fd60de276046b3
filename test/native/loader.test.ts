import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { splitRecords } from "../../agent/dataplane/native.ts";
import { builtNative, obstacle, outputOf, projectRoot } from "./scratch.ts";

describe.skipIf(obstacle())("the addon's loader and build", () => {
  const directory = mkdtempSync(join(tmpdir(), "podgate-loader-"));
  const bundle = join(directory, "dist", "podgate.js");
  const addon = join(projectRoot, "build/Release/podgate.node");

  beforeAll(async () => {
    builtNative();
    await build({
      stdin: {
        contents: `import { loadNative } from "./native.ts"; console.log(loadNative().possibleCpus() > 0);`,
        resolveDir: join(projectRoot, "agent/dataplane"),
      },
      bundle: true,
      platform: "node",
      format: "esm",
      outfile: bundle,
    });
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it("says what to run when the addon is not there", async () => {
    await expect(outputOf(process.execPath, [bundle])).rejects.toThrow(
      /find the native addon: .*run `node setup.cjs`/,
    );
  });

  it("finds the addon from the bundle, in build/Release and beside the bundle", async () => {
    const built = join(directory, "build/Release");
    mkdirSync(built, { recursive: true });
    cpSync(addon, join(built, "podgate.node"));
    expect(await outputOf(process.execPath, [bundle])).toBe("true");
    rmSync(join(directory, "build"), { recursive: true });
    cpSync(addon, join(directory, "dist/podgate.node"));
    expect(await outputOf(process.execPath, [bundle])).toBe("true");
  });

  it("says which file did not load, and why", async () => {
    writeFileSync(join(directory, "dist/podgate.node"), "not a library");
    await expect(outputOf(process.execPath, [bundle])).rejects.toThrow(
      /load the native addon .*podgate.node: .*(too short|ELF)/,
    );
  });

  it("builds in a fresh checkout, does nothing the second time, and builds again when a source changes", () => {
    const root = join(directory, "checkout");
    const packages = ["node-addon-api", "node-api-headers", "node-gyp"];
    mkdirSync(join(root, "node_modules"), { recursive: true });
    for (const name of packages) {
      symlinkSync(join(projectRoot, "node_modules", name), join(root, "node_modules", name));
    }
    for (const name of ["native", "binding.gyp"]) {
      cpSync(join(projectRoot, name), join(root, name), { recursive: true });
    }
    const { buildAddon } = createRequire(import.meta.url)(join(root, "native/build.cjs"));
    const lines: string[] = [];
    const attempt = () => buildAddon({ root, log: (line: string) => lines.push(line) });
    expect(attempt()).toEqual({ built: true, addon: join(root, "build/Release/podgate.node") });
    expect(attempt()).toMatchObject({ built: false });
    expect(lines).toEqual(["building the native addon"]);
    expect(
      createRequire(import.meta.url)(join(root, "build/Release/podgate.node")).possibleCpus(),
    ).toBeGreaterThan(0);
    writeFileSync(join(root, "native/addon.cc"), "int main( { }\n");
    expect(attempt).toThrow(/build the native addon: node-gyp ended with 1; it needs [\s\S]*addon.cc:1/);
  });

  it("splits a batch into records without copying them", () => {
    const batch = Buffer.from([2, 0, 0, 0, 7, 8, 0, 0, 0, 0, 1, 0, 0, 0, 9]);
    const records = splitRecords(batch);
    expect(records.map((record) => [...record])).toEqual([[7, 8], [], [9]]);
    expect(records[0]?.buffer).toBe(batch.buffer);
  });
});
