// Builds build/Release/podgate.node with node-gyp; does nothing when it is up to date. No dependency but node-gyp,
// no download: the Node-API headers come from node_modules. Also runs by itself: `node native/build.cjs`.
"use strict";

const { spawnSync } = require("node:child_process");
const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");

/**
 * Builds the addon of the project in `root`. `log` gets one line before a build.
 * Returns whether it had to build, and where the addon is. Throws with the compiler's output when it fails.
 */
function buildAddon({ root, log }) {
  const addon = path.join(root, "build", "Release", "podgate.node");
  const stamp = `${addon}.built-from`;
  const fingerprint = fingerprintOf(root);
  if (fs.existsSync(addon) && readIfThere(stamp) === fingerprint) return { built: false, addon };
  log("building the native addon");
  compile(root, writeNodeDirectory(root));
  fs.writeFileSync(stamp, fingerprint);
  return { built: true, addon };
}

/** Changes with everything the binary depends on: our sources, the headers it is compiled against, the machine. */
function fingerprintOf(root) {
  const hash = crypto.createHash("sha256").update(`${process.platform} ${process.arch}\n`);
  const sources = fs.readdirSync(path.join(root, "native")).filter((name) => /\.(cc|h|cjs)$/.test(name));
  const inputs = [
    "binding.gyp",
    "node_modules/node-addon-api/package.json",
    "node_modules/node-api-headers/package.json",
    ...sources.sort().map((name) => `native/${name}`),
  ].map((name) => path.join(root, name));
  for (const file of [...inputs, "/usr/include/bpf/libbpf_version.h"]) {
    hash.update(`${path.relative(root, file)}\0${readIfThere(file) ?? ""}\0`);
  }
  return hash.digest("hex");
}

function readIfThere(file) {
  try {
    return fs.readFileSync(file, "utf8");
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * node-gyp wants the development files of a Node.js, which it would download. Node-API needs only its own headers
 * and two settings files, so a directory of that shape is made of node-api-headers. It is not under build/, which
 * node-gyp deletes.
 */
function writeNodeDirectory(root) {
  const directory = path.join(root, "node_modules", ".cache", "podgate-node");
  const include = path.join(directory, "include", "node");
  fs.rmSync(directory, { recursive: true, force: true });
  fs.mkdirSync(include, { recursive: true });
  fs.cpSync(path.join(root, "node_modules", "node-api-headers", "include"), include, { recursive: true });
  fs.writeFileSync(path.join(include, "config.gypi"), JSON.stringify(process.config));
  fs.writeFileSync(path.join(include, "common.gypi"), commonSettings);
  return directory;
}

// What node-gyp's own settings refer to, and no compiler flag of anybody's: binding.gyp has ours.
const commonSettings = `{
  "variables": { "node_engine%": "v8", "standalone_static_library%": 0, "openssl_fips%": "" },
  "target_defaults": {
    "default_configuration": "Release",
    "configurations": { "Release": {}, "Debug": {} },
    "cflags": ["-fPIC", "-pthread"],
    "ldflags": ["-pthread"]
  }
}
`;

function compile(root, nodeDirectory) {
  const nodeGyp = path.join(root, "node_modules", "node-gyp", "bin", "node-gyp.js");
  const command = [nodeGyp, "rebuild", `--nodedir=${nodeDirectory}`, "--jobs=max", "--loglevel=error"];
  const result = spawnSync(process.execPath, command, { cwd: root, encoding: "utf8", maxBuffer: 64 << 20 });
  if (result.error !== undefined) throw new Error("run node-gyp", { cause: result.error });
  if (result.status === 0) return;
  const output = `${result.stdout}${result.stderr}`.trimEnd().split("\n").slice(-60).join("\n");
  throw new Error(
    `build the native addon: node-gyp ended with ${result.signal ?? result.status}; it needs python3, make, g++, libbpf-dev and libelf-dev\n${output}`,
  );
}

module.exports = { buildAddon };

if (require.main === module) {
  try {
    const { built, addon } = buildAddon({ root: path.resolve(__dirname, ".."), log: console.error });
    console.error(built ? `built ${addon}` : `${addon} is up to date`);
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
