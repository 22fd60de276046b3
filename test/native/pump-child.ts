/**
 * What happens to a pump when its process or environment is in trouble: each scenario is a process of its own, which
 * prints JSON. Usage: pump-child.ts SCENARIO [SEED]
 */
import { closeSync, openSync, readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, Worker } from "node:worker_threads";
import { loadNative, type PumpEnd } from "../../agent/dataplane/native.ts";
import { loadTcp, openPipes, pumpThreads, type Route, residentBytes, route, socketOf, until } from "./tcp.ts";

const native = loadNative();
const tcp = loadTcp();
const LOOPBACK = Buffer.from("00000000000000000000ffff7f000001", "hex");

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

  /** What applications, servers, the agent and wrong arguments do to 3 pumps, in random order: every end is told once. */
  async random() {
    const seed = Number(process.argv[3]);
    const roll = dice(seed);
    const pumps = [1, 2, 3].map((threads) => new native.Pump({ threads }));
    const routes: { one: Route; near: Socket; far: Socket; pump: (typeof pumps)[0] }[] = [];
    const dialled: Promise<PumpEnd>[] = [];
    const told = { closed: 0, reset: 0, idle: 0, stopped: 0, unconnected: 0 };
    let refused = 0;
    const wrong = [0, 2 ** 31, -1, 0.5, Number.NaN, undefined, null, "1", {}, 1n, tcp.listening()];
    const steps: ((it: (typeof routes)[0]) => void)[] = [
      ({ near }) => near.writable && near.write(Buffer.alloc(roll(1 << 18))),
      ({ far }) => far.writable && far.write(Buffer.alloc(roll(1 << 18))),
      ({ near }) => near.end(),
      ({ far }) => far.end(),
      ({ near }) => resetIfOpen(near),
      ({ far }) => resetIfOpen(far),
      ({ near }) => near.destroy(),
      ({ near, far }) => (roll(2) === 0 ? near : far).pause(),
      ({ one, pump }) => pump.stop(one.id),
      ({ pump }) => {
        const parameters = [
          wrong[roll(11)],
          wrong[roll(11)],
          roll(2) ? { idleMs: wrong[roll(11)] } : undefined,
          () => {},
        ];
        try {
          Reflect.apply(pump.start, pump, parameters);
        } catch {
          refused++;
        }
      },
    ];
    for (let step = 0; step < 4000; step++) {
      if (roll(3) === 0) {
        const pump = pumps[roll(3)] as (typeof pumps)[0];
        const one = route(tcp, pump, {
          idleMs: roll(4) === 0 ? 1 + roll(300) : 0,
          receiveBuffer: roll(2) * 4096,
        });
        one.end.then(({ how }) => told[how]++);
        const [near, far] = [socketOf(one.application).resume(), socketOf(one.server).resume()];
        routes.push({ one, near, far, pump });
      } else if (roll(50) === 0) {
        const [application, client] = tcp.pair();
        const refused = new Promise<PumpEnd>((resolve) => {
          const connect = { address: LOOPBACK, port: 9, timeoutMs: 1 + roll(3), onConnected: () => {} };
          pumps[0]?.start(client, tcp.unconnected(), { idleMs: 0, connect }, resolve);
        });
        refused.then(({ how }) => told[how]++);
        dialled.push(refused);
        closeSync(application);
      } else if (routes.length > 0) {
        steps[roll(steps.length)]?.(routes[Math.max(0, routes.length - 1 - roll(100))] as (typeof routes)[0]);
      }
      if (roll(20) === 0) await new Promise(setImmediate);
    }
    for (const pump of pumps.slice(1)) pump.close();
    for (const { one, pump } of routes) pump.stop(one.id);
    await Promise.all([...routes.map(({ one }) => one.end), ...dialled]);
    for (const { near, far } of routes) for (const socket of [near, far]) socket.destroy();
    await sleep(20);
    const sizes = pumps.map(({ size }) => size);
    // A getter that closes the pump while it reads its arguments, and a getter of ours on something else.
    const [a, b] = [tcp.pair()[0], tcp.pair()[0]];
    const treacherous = {
      get idleMs() {
        pumps[0]?.close();
        return 0;
      },
    };
    const codes = [
      () => pumps[0]?.start(a, b, treacherous, () => {}),
      () => Reflect.get(native.Pump.prototype, "size", { size: 1 }),
      () => Reflect.get(native.Pump.prototype, "size"),
    ].map((act) => {
      try {
        act();
      } catch (error) {
        return (error as { code?: string }).code ?? (error as Error).name;
      }
      return "nothing thrown";
    });
    const sum = told.closed + told.reset + told.idle + told.stopped;
    return { told, missing: routes.length - sum, refused, sizes, codes };
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

/** Node.js 24 leaks the handle of a socket that is reset while it shuts down. */
function resetIfOpen(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

/** The same numbers for the same seed. */
function dice(seed: number): (sides: number) => number {
  let state = seed >>> 0;
  return (sides) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

const scenario = scenarios[process.argv[2] ?? ""];
if (scenario === undefined) throw new Error(`run a scenario: one of ${Object.keys(scenarios).join(", ")}`);
const result = await scenario();
if (result !== undefined) console.log(JSON.stringify(result));
