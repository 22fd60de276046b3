/** Network namespaces of the addon's tests, and what happens inside them. `remove()` undoes everything. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { addressBytes } from "../../agent/model/address.ts";
import { outputOf } from "./scratch.ts";

/** With loopback up. It lives as long as its file is mounted, or something runs in it. */
export class Namespace {
  readonly directory = mkdtempSync(join(tmpdir(), "podgate-netns-"));
  readonly path = join(this.directory, "net");
  readonly #children: ChildProcess[] = [];

  constructor() {
    closeSync(openSync(this.path, "wx"));
    execFileSync("unshare", [`--net=${this.path}`, "true"]);
    this.run("ip", "link", "set", "lo", "up");
  }

  run(...argv: string[]): string {
    return execFileSync("nsenter", [`--net=${this.path}`, ...argv], { encoding: "utf8", stdio: "pipe" });
  }

  /** Runs `script` (JavaScript) to its end; returns what it printed. */
  node(script: string): Promise<string> {
    return outputOf("nsenter", [`--net=${this.path}`, process.execPath, "-e", script]);
  }

  /** Starts a program that runs until the namespace is removed, or its input ends. */
  start(...argv: string[]): Application {
    const child = spawn("nsenter", [`--net=${this.path}`, ...argv], { stdio: ["pipe", "pipe", "inherit"] });
    this.#children.push(child);
    return new Application(child);
  }

  /** A link to `other`, with 192.0.2.1 and 2001:db8::1 at this end, .2 and ::2 at the other. */
  linkTo(other: Namespace): void {
    this.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", other.path);
    for (const [number, end] of [this, other].entries()) {
      end.run("ip", "addr", "add", `192.0.2.${number + 1}/24`, "dev", "eth0");
      end.run("ip", "addr", "add", `2001:db8::${number + 1}/64`, "dev", "eth0", "nodad");
      end.run("ip", "link", "set", "eth0", "up");
    }
  }

  async remove(): Promise<void> {
    for (const child of this.#children.filter((it) => it.exitCode === null && it.signalCode === null)) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    if (existsSync(this.path)) execFileSync("umount", ["--lazy", this.path]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A program that is told what to do by lines, and answers with lines. */
export class Application {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(child: ChildProcess) {
    this.#child = child;
    const input = child.stdout;
    if (input === null) throw new Error("start a program with its output piped");
    this.#lines = createInterface({ input })[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Closes its input and waits for its end. */
  async end(): Promise<void> {
    this.#child.stdin?.end();
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, "exit");
  }

  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("read a line of a program that has ended");
    return value;
  }

  /** Says `command` and returns the next line. */
  ask(command: string): Promise<string> {
    this.#child.stdin?.write(`${command}\n`);
    return this.line();
  }
}

/** As 16 bytes, IPv4 as ::ffff:a.b.c.d. */
export function bytesOf(text: string): Buffer {
  const address = addressBytes(text);
  if (address === undefined) throw new Error(`parse address ${text}`);
  return Buffer.from(address);
}

/** How many this process has open. */
export function descriptorCount(): number {
  return readdirSync("/proc/self/fd").length;
}

/** Waits until `condition` holds; the test's time-out is the limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** The `code` of what `act` throws. */
export function codeOf(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return undefined;
}
