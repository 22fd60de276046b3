// Makes dist/: the command as one file, with the addon and the BPF objects beside it. `npm run build` runs it after set-up.
// Node strips types from our own files but never under node_modules, so what is installed as a package has to be JavaScript.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

/** Bundles agent/main.ts to `out`/podgate.js. Needs npm packages only, neither addon nor BPF objects. */
async function bundleCommand({ root, out }) {
  const { build } = require("esbuild");
  const file = path.join(out, "podgate.js");
  await build({
    absWorkingDir: root,
    entryPoints: ["agent/main.ts"],
    outfile: file,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node22",
    // Names in a stack trace are worth more than the bytes.
    keepNames: true,
    legalComments: "inline",
    logLevel: "silent",
    banner: {
      // Packages that are CommonJS call require() for Node's own modules, which an ES module does not have.
      js: 'import { createRequire as makeRequire } from "node:module";\nconst require = makeRequire(import.meta.url);',
    },
  });
  fs.chmodSync(file, 0o755);
  return file;
}

/** Puts what the command loads at run time where it looks for it: podgate.node and bpf/*.bpf.o beside podgate.js. */
function copyNativeParts({ root, out }) {
  fs.copyFileSync(path.join(root, "build/Release/podgate.node"), path.join(out, "podgate.node"));
  const objects = fs.readdirSync(path.join(root, "bpf/out")).filter((name) => name.endsWith(".bpf.o"));
  fs.mkdirSync(path.join(out, "bpf"), { recursive: true });
  for (const name of objects) fs.copyFileSync(path.join(root, "bpf/out", name), path.join(out, "bpf", name));
}

module.exports = { bundleCommand };

if (require.main === module) {
  const root = __dirname;
  const out = path.join(root, "dist");
  fs.rmSync(out, { recursive: true, force: true });
  bundleCommand({ root, out }).then(
    (file) => {
      copyNativeParts({ root, out });
      console.log(`build: ${path.relative(root, file)}`);
    },
    (error) => {
      console.error(`build: ${error.message}`);
      process.exitCode = 1;
    },
  );
}
