/** Real TCP connections over loopback as bare descriptors, and pumps between them. */
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Pump, PumpEnd } from "../../agent/dataplane/native.ts";
import { projectRoot } from "./scratch.ts";

interface Tcp {
  /** The two ends of one connection; `receiveBuffer` in bytes. */
  pair(receiveBuffer?: number): [number, number];
  unconnected(): number;
  listening(): number;
  reset(fd: number): void;
  /** One byte there and one back; waits for them. Throws when they do not arrive. */
  exchange(a: number, b: number): void;
}

/** Compiles tcp.c once per version of it, and loads it. */
export function loadTcp(): Tcp {
  const source = join(import.meta.dirname, "tcp.c");
  const directory = join(projectRoot, "build/test");
  const module = join(directory, `tcp-${Math.trunc(statSync(source).mtimeMs)}.node`);
  mkdirSync(directory, { recursive: true });
  if (!readdirSync(directory).includes(module.slice(directory.length + 1))) {
    const headers = join(projectRoot, "node_modules/node-api-headers/include");
    execFileSync("cc", ["-O2", "-Wall", "-shared", "-fPIC", `-I${headers}`, source, "-o", module]);
  }
  return createRequire(import.meta.url)(module) as Tcp;
}

/** What an application, a pump and a server make: application <-> client, upstream <-> server. */
export interface Route {
  readonly application: number;
  readonly server: number;
  readonly id: number;
  readonly end: Promise<PumpEnd>;
}

export function route(tcp: Tcp, pump: Pump, { idleMs = 0, receiveBuffer = 0 } = {}): Route {
  const [application, client] = tcp.pair(receiveBuffer);
  const [server, upstream] = tcp.pair(receiveBuffer);
  let id = 0;
  const end = new Promise<PumpEnd>((resolve) => {
    id = pump.start(client, upstream, { idleMs }, resolve);
  });
  return { application, server, id, end };
}

/** A socket that stays half-open until it is ended, and whose errors do not become exceptions. */
export function socketOf(fd: number): Socket {
  const socket = new Socket({ fd, allowHalfOpen: true });
  socket.on("error", () => {});
  return socket;
}

/** Everything until the end of the stream. Rejects with the socket's error. */
export async function textOf(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket) text += chunk;
  return text;
}

/** The code of the error that ends the socket; "end" when there is none. */
export function fateOf(socket: Socket): Promise<string> {
  socket.resume();
  return new Promise((resolve) => {
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""));
    socket.on("end", () => resolve("end"));
  });
}

export async function until(condition: () => boolean, ms = 10_000): Promise<void> {
  for (const deadline = Date.now() + ms; !condition(); await sleep(5)) {
    if (Date.now() > deadline) throw new Error(`wait for ${condition}: not within ${ms} ms`);
  }
}

/** Pipes that this process has open. */
export function openPipes(): number {
  const targets = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ""; // the directory's own, closed by now
    }
  });
  return new Set(targets.filter((target) => target.startsWith("pipe:"))).size;
}

/** Directories in /proc of the pumps' threads of this process. */
export function pumpThreads(): string[] {
  const tasks = readdirSync("/proc/self/task").map((task) => `/proc/self/task/${task}`);
  return tasks.filter((task) => readFileSync(`${task}/comm`, "utf8").trim() === "podgate-pump");
}

/** CPU time in milliseconds that the pumps' threads of this process have used. */
export function pumpCpu(): number {
  const nanoseconds = pumpThreads().map((task) =>
    Number(readFileSync(`${task}/schedstat`, "utf8").split(" ")[0]),
  );
  return nanoseconds.reduce((sum, each) => sum + each, 0) / 1e6;
}

/** Memory of this process that is not a file's, in bytes. */
export function residentBytes(): number {
  const kilobytes = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  return Number(kilobytes) * 1024;
}

export function closeAll(...descriptors: number[]): void {
  for (const fd of descriptors) closeSync(fd);
}
