// The one set-up step that demo, test, bench and lab take first: Debian packages, npm packages, BPF objects, the addon.
// Plain JavaScript for the Node that happens to be installed (18 or newer), because it is what brings a newer one.
// Safe to run at any time: it does only what is missing, and says nothing when nothing is.
"use strict";

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

const root = __dirname;
const multiarch = { x64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" }[process.arch];

/** What each Debian package is needed for, as something that can be looked for without dpkg. */
const debianPackages = [
  { name: "clang", commands: ["clang"] },
  { name: "llvm", commands: ["llvm-strip"] },
  { name: "libbpf-dev", headers: ["bpf/libbpf.h"] },
  { name: "libelf-dev", headers: ["libelf.h"] },
  { name: "zlib1g-dev", headers: ["zlib.h"] },
  { name: "linux-libc-dev", headers: ["linux/bpf.h"] },
  { name: "g++", commands: ["g++"] },
  { name: "make", commands: ["make"] },
  { name: "python3", commands: ["python3"] },
  { name: "iproute2", commands: ["ip"] },
  { name: "nftables", commands: ["nft"] },
  { name: "curl", commands: ["curl"] },
  { name: "util-linux", commands: ["nsenter", "unshare"] },
  { name: "openssl", commands: ["openssl"] },
  { name: "procps", commands: ["ps", "sysctl"] },
  { name: "ca-certificates", files: ["/etc/ssl/certs/ca-certificates.crt"] },
];

/** The Node that runs the .ts files; see "engines" in package.json. */
const nodeFloor = [22, 19];

const log = (line) => console.log(`setup: ${line}`);

async function main() {
  requireSupportedMachine();
  await installDebianPackages();
  await installNpmPackages();
  requireNodeThatRunsTypeScript();
  // Required here and not above: the addon's build takes its tools from node_modules.
  await timed(require("./bpf/build.cjs").buildBpf);
  await timed(require("./native/build.cjs").buildAddon);
}

/** Runs a build that logs a line only when it has something to do, and says how long that took. */
async function timed(build) {
  const started = Date.now();
  let hasSpoken = false;
  const announce = (line) => {
    hasSpoken = true;
    log(`${line} ...`);
  };
  await build({ root, log: announce });
  if (hasSpoken) log(`  done in ${secondsSince(started)}`);
}

const secondsSince = (started) => `${((Date.now() - started) / 1000).toFixed(1)} s`;

function requireSupportedMachine() {
  if (process.platform !== "linux") {
    throw new Error(
      `Podgate runs on Linux only, this is ${process.platform}; use a Linux machine or a virtual machine`,
    );
  }
  if (multiarch === undefined) {
    throw new Error(`Podgate is built for x64 and arm64, this machine is ${process.arch}`);
  }
}

async function installDebianPackages() {
  const missing = debianPackages.filter((wanted) => !isInstalled(wanted)).map((wanted) => wanted.name);
  if (missing.length === 0) return;

  const install = ["install", "-y", "-q", "--no-install-recommends", ...missing];
  const advice = `these Debian packages are missing: ${missing.join(" ")}`;
  if (findCommand("apt-get") === undefined) {
    throw new Error(
      `${advice}\nthis system has no apt-get; install what they contain with its own package manager, then try again`,
    );
  }
  if (process.getuid() !== 0) {
    throw new Error(
      `${advice}\ninstall them, then try again:\n  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing.join(" ")}`,
    );
  }
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const waitForLock = ["-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"];
  const hint = "check that this machine reaches its Debian mirror, or install the packages by hand";
  await step("reading the Debian package lists", "apt-get", [...waitForLock, "update", "-q"], { env, hint });
  await step(`installing ${missing.join(" ")}`, "apt-get", [...waitForLock, ...install], {
    env,
    hint,
    show: true,
  });
}

function isInstalled({ commands = [], headers = [], files = [] }) {
  const headerFolders = ["/usr/include", `/usr/include/${multiarch}`, "/usr/local/include"];
  return (
    commands.every((command) => findCommand(command) !== undefined) &&
    headers.every((header) => headerFolders.some((folder) => fs.existsSync(path.join(folder, header)))) &&
    files.every((file) => fs.existsSync(file))
  );
}

/** Debian keeps `ip`, `nft` and `sysctl` in sbin, which is not on the PATH of ordinary users. */
function findCommand(command) {
  const folders = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"].filter(
    (folder) => folder !== "",
  );
  return folders.map((folder) => path.join(folder, command)).find((file) => fs.existsSync(file));
}

async function installNpmPackages() {
  if (isLockInstalled()) return;
  // No install script is needed, and npm 12 blocks them: leaving them out gives the same tree with every npm.
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--include=dev", "--include=optional"];
  // npm must not run on node_modules/.bin/node while it deletes node_modules.
  const folders = (process.env.PATH ?? "")
    .split(":")
    .filter((folder) => !folder.endsWith("node_modules/.bin"));
  const env = { ...process.env, PATH: folders.join(":") };
  const hint =
    "it needs the npm registry that this machine is configured for, and a package-lock.json that fits package.json";
  await step("installing npm packages (npm ci)", "npm", args, { env, hint });
}

function isLockInstalled() {
  const wanted = readPackages("package-lock.json");
  if (wanted === undefined)
    throw new Error("package-lock.json is missing or not JSON; take it from the repository again");
  return hasInstalled(wanted, readPackages("node_modules/.package-lock.json"));
}

/**
 * npm writes node_modules/.package-lock.json when it has finished: what is installed, in the lock's own format. Comparing the two
 * notices an interrupted install and a changed lock alike. Optional packages may be absent: most are for other platforms.
 */
function hasInstalled(wanted, installed) {
  if (installed === undefined) return false;
  return Object.entries(wanted).every(([location, entry]) => {
    if (location === "") return true; // the project itself
    const present = installed[location];
    if (present === undefined) return entry.optional === true || entry.devOptional === true;
    return present.version === entry.version && present.integrity === entry.integrity;
  });
}

function readPackages(file) {
  try {
    return JSON.parse(fs.readFileSync(path.join(root, file), "utf8")).packages;
  } catch {
    return undefined;
  }
}

/** npm puts node_modules/.bin first on the PATH of its scripts, so a Node there is the one that runs them. */
function requireNodeThatRunsTypeScript() {
  if (fs.existsSync(path.join(root, "node_modules/.bin/node"))) return;
  const [major, minor] = process.versions.node.split(".").map(Number);
  const isNewEnough = major > nodeFloor[0] || (major === nodeFloor[0] && minor >= nodeFloor[1]);
  if (isNewEnough) return;
  throw new Error(
    `Node ${process.versions.node} is too old and npm brought no newer one (the optional package node-linux-${process.arch})\n` +
      `install Node ${nodeFloor.join(".")} or newer, or run: npm ci --include=optional`,
  );
}

/** Runs a command, says how long it took, and keeps its output for the case that it fails. */
async function step(title, command, args, { env, hint, show = false }) {
  const started = Date.now();
  log(`${title} ...`);
  const heartbeat = setInterval(() => log(`  still at it (${secondsSince(started)})`), 15_000);
  const { status, output } = await run(command, args, env, show).finally(() => clearInterval(heartbeat));
  if (status !== 0) {
    const tail = output.trimEnd().split("\n").slice(-25).join("\n  ");
    throw new Error(`${title} failed (${status})\n  $ ${command} ${args.join(" ")}\n  ${tail}\n${hint}`);
  }
  log(`  done in ${secondsSince(started)}`);
}

function run(command, args, env, show) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const keep = (chunk) => {
      if (show) process.stdout.write(chunk);
      output = (output + chunk).slice(-65_536);
    };
    child.stdout.setEncoding("utf8").on("data", keep);
    child.stderr.setEncoding("utf8").on("data", keep);
    child.on("error", (error) => resolve({ status: error.code, output: `${output}${error.message}` }));
    child.on("close", (code, signal) => resolve({ status: code ?? signal, output }));
  });
}

module.exports = { hasInstalled };

if (require.main === module) {
  main().catch((error) => {
    // What is thrown on purpose says what to do; a TypeError and the like is a mistake in here and needs its stack.
    const because = error.cause instanceof Error ? `: ${error.cause.message}` : "";
    console.error(`setup: ${error.constructor === Error ? `${error.message}${because}` : error.stack}`);
    process.exitCode = 1;
  });
}
