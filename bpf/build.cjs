// Compiles every bpf/*.bpf.c to bpf/out/*.bpf.o, when a source or this file has changed since the last time.
"use strict";

const { spawnSync } = require("node:child_process");
const { createHash } = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");

const targets = {
  x64: { multiarch: "x86_64-linux-gnu", define: "__TARGET_ARCH_x86" },
  arm64: { multiarch: "aarch64-linux-gnu", define: "__TARGET_ARCH_arm64" },
};

/** Builds into bpf/out under `root`; `log` gets a line only when something is built. Throws with the compiler's words. */
function buildBpf({ root, log }) {
  const folder = path.join(root, "bpf");
  const out = path.join(folder, "out");
  const sources = fs.readdirSync(folder).filter((name) => name.endsWith(".bpf.c")).sort();
  const objects = sources.map((name) => path.join(out, name.replace(/\.c$/, ".o")));
  const stamp = path.join(out, "sources.sha256");
  const hash = hashOf(folder);
  if (readIfThere(stamp) === hash && objects.every((object) => fs.existsSync(object))) return;

  log("building BPF objects");
  fs.mkdirSync(out, { recursive: true });
  fs.rmSync(stamp, { force: true });
  for (const [index, source] of sources.entries()) compile(root, source, objects[index]);
  for (const name of fs.readdirSync(out)) {
    if (name.endsWith(".bpf.o") && !objects.includes(path.join(out, name))) fs.rmSync(path.join(out, name));
  }
  replace(stamp, (file) => fs.writeFileSync(file, hash));
}

function compile(root, source, object) {
  const target = targets[process.arch];
  const flags = [
    "-O2",
    "-g", // BTF is made from the debug information; llvm-strip takes the rest out again
    "-target",
    "bpf",
    "-mcpu=v3",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fno-stack-protector", // some distributions turn it on for every target, and BPF has none
    "-fdebug-compilation-dir=.", // the same object from whatever directory it is built in
    `-D${target.define}`,
    `-I/usr/include/${target.multiarch}`, // asm/types.h, which clang does not look for when the target is bpf
  ];
  replace(object, (file) => {
    run(root, "clang", [...flags, "-c", `bpf/${source}`, "-o", file]);
    run(root, "llvm-strip", ["-g", file]);
  });
}

/** Several builds may run at once; each writes a file of its own and renames it, so no reader sees half an object. */
function replace(file, write) {
  const fresh = `${file}.${process.pid}`;
  try {
    write(fresh);
    fs.renameSync(fresh, file);
  } finally {
    fs.rmSync(fresh, { force: true });
  }
}

function run(root, command, args) {
  const result = spawnSync(command, args, { cwd: root, encoding: "utf8" });
  if (result.error === undefined && result.status === 0) return;
  const said = (result.error?.message ?? result.stderr).trimEnd().split("\n").slice(-40).join("\n  ");
  throw new Error(`build BPF objects: ${command} failed\n  $ ${command} ${args.join(" ")}\n  ${said}`);
}

function hashOf(folder) {
  const hash = createHash("sha256").update(process.arch);
  for (const name of fs.readdirSync(folder).sort()) {
    if (!/\.(c|h|cjs)$/.test(name)) continue;
    hash.update(`\0${name}\0`).update(fs.readFileSync(path.join(folder, name)));
  }
  return hash.digest("hex");
}

function readIfThere(file) {
  return fs.existsSync(file) ? fs.readFileSync(file, "utf8") : undefined;
}

module.exports = { buildBpf };

if (require.main === module) buildBpf({ root: path.resolve(__dirname, ".."), log: console.error });
