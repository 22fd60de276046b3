/**
 * What happens to a pump when its process or environment is in trouble: each scenario is a process of its own, which
 * prints JSON. Usage: pump-child.ts SCENARIO
 */
import { closeSync, openSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, Worker } from "node:worker_threads";
import { loadNative } from "../../agent/dataplane/native.ts";
import { loadTcp, openPipes, pumpThreads, type Route, residentBytes, route, socketOf, until } from "./tcp.ts";

const native = loadNative();
const tcp = loadTcp();

/** Connections that bytes flow through in both directions, without end. */
function traffic(pump: InstanceType<typeof native.Pump>, count: number): Route[] {
  return Array.from({ length: count }, () => {
    const one = route(tcp, pump);
    const [near, far] = [socketOf(one.application), socketOf(one.server)];
    const flood = () => far.write(Buffer.alloc(1 << 16), () => flood());
    near.pipe(near);
    far.resume();
    flood();
    return one;
  });
}

const scenarios: Record<string, () => Promise<unknown> | unknown> = {
  /** Nothing is pumped: the process ends by itself. */
  unused() {
    const pump = new native.Pump({ threads: 2 });
    return { size: pump.size };
  },

  /** A connection keeps the process alive until it has ended, although JavaScript forgot the pump. */
  async kept() {
    const [server, upstream] = tcp.pair();
    const [application, client] = tcp.pair();
    const told = (end: { how: string }) => console.log(JSON.stringify({ how: end.how }));
    new native.Pump({ threads: 1 }).start(client, upstream, { idleMs: 300 }, told);
    (globalThis as { gc?: () => void }).gc?.();
    await new Promise(setImmediate);
    (globalThis as { gc?: () => void }).gc?.();
    return { application: application > 0, server: server > 0 };
  },

  /** Pumps that nobody closes are collected with their threads. */
  async collected() {
    for (let i = 0; i < 200; i++) {
      new native.Pump({ threads: 2 });
      if (i % 20 === 0) (globalThis as { gc?: () => void }).gc?.();
      await new Promise(setImmediate);
    }
    return { threads: pumpThreads().length };
  },

  async exit() {
    traffic(new native.Pump({ threads: 2 }), 20);
    await sleep(100);
    console.log(JSON.stringify({ exits: true }));
    process.exit(7);
  },

  /** The environment of a worker ends in the middle of traffic. */
  async terminate() {
    for (let i = 0; i < 5; i++) {
      const worker = new Worker(import.meta.filename, { argv: ["forever"] });
      await new Promise((resolve) => worker.once("message", resolve));
      await sleep(30);
      await worker.terminate();
    }
    return { terminated: true, threads: pumpThreads().length };
  },

  async forever() {
    const pump = new native.Pump({ threads: 2 });
    traffic(pump, 10);
    parentPort?.postMessage("flows");
    while (pump.size > 0) {
      const one = route(tcp, pump);
      pump.stop(one.id);
      await one.end;
    }
  },

  /** What onEnd throws is an uncaughtException, and the other ends are still told. */
  async throws() {
    const uncaught: string[] = [];
    process.on("uncaughtException", (error) => uncaught.push(error.message));
    const pump = new native.Pump({ threads: 1 });
    let told = 0;
    for (let i = 0; i < 10; i++) {
      const [application, client] = tcp.pair();
      const [server, upstream] = tcp.pair();
      pump.start(client, upstream, { idleMs: 0 }, () => {
        told++;
        if (i % 2 === 0) throw new Error(`thrown by the test ${i}`);
      });
      tcp.reset(application);
      closeSync(server);
    }
    await until(() => told === 10);
    await until(() => pump.size === 0);
    pump.close();
    return { uncaught: uncaught.length, told };
  },

  /** No descriptor is left for a pipe; a pipe is opened when there is one again. To be run with few descriptors. */
  async starved() {
    const pump = new native.Pump({ threads: 1 });
    const routes = Array.from({ length: 3 }, () => route(tcp, pump));
    const sockets = routes.map(
      ({ application, server }) => [socketOf(application), socketOf(server)] as const,
    );
    const texts = sockets.map(([, far]) => {
      const text = { is: "" };
      far.on("data", (chunk) => {
        text.is += chunk;
      });
      return text;
    });
    const hoard: number[] = [];
    try {
      for (;;) hoard.push(openSync("/dev/null", "r"));
    } catch {
      // EMFILE: there are no more.
    }
    for (const [near] of sockets) near.end("needs a pipe");
    await sleep(100);
    const before = process.cpuUsage();
    await sleep(500);
    const used = process.cpuUsage(before);
    const starved = texts.every((text) => text.is === "");
    for (const fd of hoard) closeSync(fd);
    await until(() => texts.every((text) => text.is === "needs a pipe"));
    for (const [, far] of sockets) far.end();
    const ends = await Promise.all(routes.map(({ end }) => end));
    for (const [near] of sockets) near.destroy();
    pump.close();
    return { starved, cpuMs: (used.user + used.system) / 1000, how: ends.map(({ how }) => how) };
  },

  /**
   * 10,000 idle connections, or as many as the process may have descriptors for: each has moved bytes both ways. What
   * they cost this process, in bytes.
   */
  async idle() {
    const limit = Number(/^Max open files +\d+ +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]);
    const count = Math.min(10_000, Math.floor((limit - 500) / 4));
    const pump = new native.Pump({ threads: 2 });
    const pairs = Array.from({ length: count }, () => [tcp.pair(), tcp.pair()] as const);
    const settled = async () => {
      for (let i = 0; i < 3; i++) {
        (globalThis as { gc?: () => void }).gc?.();
        await sleep(20);
      }
      return residentBytes();
    };
    const before = await settled();
    const ends: string[] = [];
    const ids = pairs.map(([[, client], [, upstream]]) =>
      pump.start(client, upstream, { idleMs: 600_000 }, ({ how }) => ends.push(how)),
    );
    for (const [[application], [server]] of pairs) tcp.exchange(application, server);
    const bytes = ((await settled()) - before) / count;
    const pipes = openPipes();
    const cpu = process.cpuUsage();
    await sleep(1000);
    const used = process.cpuUsage(cpu);
    for (const id of ids) pump.stop(id);
    await until(() => pump.size === 0);
    return { bytes, pipes, cpuMs: (used.user + used.system) / 1000, count, stopped: ends.length };
  },
};

const scenario = scenarios[process.argv[2] ?? ""];
if (scenario === undefined) throw new Error(`run a scenario: one of ${Object.keys(scenarios).join(", ")}`);
const result = await scenario();
if (result !== undefined) console.log(JSON.stringify(result));
