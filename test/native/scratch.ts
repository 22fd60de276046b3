/** What the addon's tests make on this machine: BPF objects, one cgroup, one bpffs directory. `remove()` undoes all of it. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadNative, type Native } from "../../agent/dataplane/native.ts";

export const projectRoot = join(import.meta.dirname, "../..");

/** Why the tests cannot run here; undefined when they can. In CI they must run. */
export function obstacle(): string | undefined {
  if (process.getuid?.() === 0) return undefined;
  if (process.env.CI) throw new Error("the tests of the native addon need root");
  return "needs root";
}

/** Builds the addon if its sources changed, and loads it. */
export function builtNative(): Native {
  const { buildAddon } = createRequire(import.meta.url)("../../native/build.cjs");
  buildAddon({ root: projectRoot, log: console.error });
  return loadNative();
}

export class Scratch {
  readonly directory = mkdtempSync(join(tmpdir(), "podgate-native-"));
  /** A directory on bpffs of our own. */
  readonly pins = join(this.directory, "bpffs");
  readonly cgroup = join(cgroup2Mount(), `podgate-native-${process.pid}-${Date.now()}`);

  constructor() {
    mkdirSync(this.pins);
    execFileSync("mount", ["-t", "bpf", "bpf", this.pins]);
    mkdirSync(this.cgroup);
  }

  /** Compiles test/native/NAME.bpf.c and returns the object's path. */
  compile(name: string): string {
    const object = join(this.directory, `${name}.bpf.o`);
    if (!existsSync(object)) {
      const multiarch = `-I/usr/include/${execFileSync("uname", ["-m"], { encoding: "utf8" }).trim()}-linux-gnu`;
      const source = join(import.meta.dirname, `${name}.bpf.c`);
      const flags = ["-O2", "-g", "-Wall", "-Werror", "-target", "bpf", multiarch];
      execFileSync("clang", [...flags, "-c", source, "-o", object], { stdio: "pipe" });
    }
    return object;
  }

  /** Runs `script` (JavaScript) in a Node.js process inside the cgroup; returns what it printed. */
  runInside(script: string): Promise<string> {
    const enter = 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"';
    return outputOf("sh", ["-c", enter, "sh", this.cgroup, process.execPath, "--expose-gc", "-e", script]);
  }

  remove(): void {
    if (existsSync(this.cgroup)) rmdirSync(this.cgroup);
    if (isMounted(this.pins)) execFileSync("umount", [this.pins]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** What a program printed. Rejects with its exit code or signal, and its output, when it does not end well. */
export function outputOf(command: string, parameters: string[]): Promise<string> {
  const child = spawn(command, parameters);
  return new Promise((resolve, reject) => {
    let output = "";
    let complaints = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    child.stderr.on("data", (chunk) => {
      complaints += chunk;
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) resolve(output.trim());
      else reject(new Error(`${command} ended with ${signal ?? code}\n${output}${complaints}`));
    });
  });
}

function isMounted(path: string): boolean {
  return mounts().some((mount) => mount.path === path);
}

function cgroup2Mount(): string {
  const mount = mounts().find(({ type }) => type === "cgroup2");
  if (mount === undefined) throw new Error("find cgroup2: it is not mounted");
  return mount.path;
}

function mounts(): { path: string; type: string }[] {
  return readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .map(([, path = "", type = ""]) => ({ path, type }));
}

/** A script that connects over `protocol` and prints "connected" or the error's code. */
export function connectScript(host: string, port: number): string {
  return `const s = require("node:net").connect(${port}, ${JSON.stringify(host)});
    s.on("connect", () => { console.log("connected"); s.destroy(); });
    s.on("error", (error) => console.log(error.code));`;
}

/** The start of a script that runs in the cgroup: the addon, an object attached there, and a way to make events. */
export function eventScript(scratch: Scratch, recordsPerConnect: number): string {
  return `
    const { loadNative, splitRecords } = await import(${JSON.stringify(join(projectRoot, "agent/dataplane/native.ts"))});
    const native = loadNative();
    const object = new native.BpfObject(${JSON.stringify(scratch.compile("gate"))});
    object.setGlobal("records_per_connect", new Uint8Array(Uint32Array.of(${recordsPerConnect}).buffer));
    object.load();
    const link = object.program("permit4").attachCgroup(${JSON.stringify(scratch.cgroup)});
    const { createSocket } = await import("node:dgram");
    const connect = () => new Promise((resolve) => {
      const socket = createSocket("udp4");
      // By way of setImmediate, so that the loop polls: a reader on it would starve otherwise.
      socket.connect(9, "127.0.0.1", () => socket.close(() => setImmediate(resolve)));
    });
    const until = async (condition) => {
      const deadline = Date.now() + 10_000;
      while (!condition() && Date.now() < deadline) await new Promise(setImmediate);
    };
    const settled = () => new Promise((resolve) => setTimeout(resolve, 100));
  `;
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

export function u32(...values: number[]): Buffer {
  return Buffer.from(Uint32Array.from(values).buffer);
}

export function u64(...values: bigint[]): Buffer {
  return Buffer.from(BigUint64Array.from(values).buffer);
}
