import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { Native, Pump, PumpEnd } from "../../agent/dataplane/native.ts";
import { connectionsOf } from "./connections.ts";
import { bytesOf, codeOf, until } from "./namespace.ts";
import { neighbours } from "./neighbours.ts";
import { obstacle } from "./scratch.ts";
import { closeAll, fateOf, loadTcp, socketOf, textOf } from "./tcp.ts";

describe.skipIf(obstacle())("a pump that connects", () => {
  const pair = neighbours();
  let native: Native;
  let tcp: ReturnType<typeof loadTcp>;
  let pump: Pump;
  beforeAll(() => {
    native = pair.native;
    tcp = loadTcp();
    pump = new native.Pump({ threads: 2 });
  });
  afterAll(() => pump?.close());

  const socket = (family: 4 | 6) => pair.netns.sockets(family, 1)[0] as number;

  /** An application whose pump dials, from the namespace, and what it is told. */
  function dial(address: string, port: number, { family = 4 as 4 | 6, timeoutMs = 10_000 } = {}) {
    const [application, client] = tcp.pair();
    const upstream = socket(family);
    const told: string[] = [];
    let id = 0;
    const end = new Promise<PumpEnd>((resolve) => {
      const onConnected = () => told.push("connected");
      const ended = (end: PumpEnd) => {
        told.push(end.how);
        resolve(end);
      };
      const connect = { address: bytesOf(address), port, timeoutMs, onConnected };
      id = pump.start(client, upstream, { idleMs: 0, connect }, ended);
    });
    expect(told).toEqual([]);
    return { application, upstream, id, told, end };
  }

  /** What the pump says of its sockets to `port`. */
  const marks = async (port: number) =>
    (await connectionsOf(pair.netns))
      .filter(({ remote }) => remote.port === port)
      .map(({ onEventLoop }) => onEventLoop);
  const dials = async (port: number) => {
    while ((await marks(port)).length !== 1) await new Promise(setImmediate);
  };

  it.each([
    ["IPv4", 4, "127.0.0.1"],
    ["IPv6", 6, "::1"],
  ] as const)("reaches a listener over %s, says so, and moves what was said before and after", async (_, family, address) => {
    const { port, accepted } = pair.sockets.accept(family);
    const { application, told, end } = dial(address, port, { family });
    const near = socketOf(application);
    near.write("before");
    await until(() => accepted.length === 1 && told.length === 1);
    expect(await marks(port)).toEqual([false]);
    const far = socketOf(accepted.pop()?.fd as number);
    native.resetOnClose((far as unknown as { _handle: { fd: number } })._handle.fd, false);
    near.end(" and after");
    expect(await textOf(far)).toBe("before and after");
    far.end("an answer");
    expect(await textOf(near)).toBe("an answer");
    expect(await end).toEqual({ up: 16n, down: 9n, how: "closed" });
    expect(told).toEqual(["connected", "closed"]);
  });

  it.each([
    ["a port where nobody listens", 4, "127.0.0.1", "ECONNREFUSED"],
    ["the same, IPv6", 6, "::1", "ECONNREFUSED"],
    ["a network without a route", 4, "198.51.100.1", "ENETUNREACH"],
    ["a neighbour that is not there", 4, "192.0.2.78", "EHOSTUNREACH"],
    ["nobody answers in time", 4, "192.0.2.77", "ETIMEDOUT"],
  ] as const)("says why it cannot, and resets the application: %s", async (_, family, address, error) => {
    const timeoutMs = error === "ETIMEDOUT" ? 200 : 60_000;
    const started = performance.now();
    const { application, told, end } = dial(address, 9, { family, timeoutMs });
    expect(await end).toEqual({ up: 0n, down: 0n, how: "unconnected", error });
    if (error === "ETIMEDOUT") expect(performance.now() - started).toBeGreaterThanOrEqual(199);
    expect(told).toEqual(["unconnected"]);
    expect(await fateOf(socketOf(application))).toBe("ECONNRESET");
    expect(await marks(9)).toEqual([]);
  });

  it("waits for the event loop's sake until it is connected, can be stopped, and is ended with the pump", async () => {
    const own = new native.Pump({ threads: 1 });
    const one = dial("192.0.2.79", 10, { timeoutMs: 60_000 });
    await dials(10);
    expect(await marks(10)).toEqual([true]);
    pump.stop(one.id);
    expect((await one.end).how).toBe("stopped");
    expect(await fateOf(socketOf(one.application))).toBe("ECONNRESET");
    expect(await marks(10)).toEqual([]);
    const [application, client] = tcp.pair();
    const ended = new Promise<PumpEnd>((resolve) => {
      const connect = { address: bytesOf("192.0.2.79"), port: 10, timeoutMs: 60_000, onConnected: () => {} };
      own.start(client, socket(4), { idleMs: 0, connect }, resolve);
    });
    await dials(10);
    own.close();
    expect((await ended).how).toBe("stopped");
    expect(await fateOf(socketOf(application))).toBe("ECONNRESET");
  });

  it("connects a thousand, each told once and before its end", async () => {
    const server = createServer((socket) => socket.end()).listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as { port: number };
    for (let round = 0; round < 20; round++) {
      const told: string[][] = [];
      const ends = Array.from({ length: 50 }, () => {
        const [application, client] = tcp.pair();
        const words: string[] = [];
        told.push(words);
        const onConnected = () => words.push("connected");
        const connect = { address: bytesOf("127.0.0.1"), port, timeoutMs: 5000, onConnected };
        const end = new Promise<PumpEnd>((resolve) =>
          pump.start(client, tcp.unconnected(), { idleMs: 0, connect }, (end) => {
            words.push(end.how);
            resolve(end);
          }),
        );
        const near = socketOf(application);
        near.resume().end();
        return end;
      });
      await Promise.all(ends);
      expect(new Set(told.map(String))).toEqual(new Set(["connected,closed"]));
    }
    expect(pump.size).toBe(0);
  });

  it("takes nothing that is wrong, and leaves its descriptors alone", () => {
    const [application, client] = tcp.pair();
    const upstream = socket(4);
    const way = { address: bytesOf("127.0.0.1"), port: 9, timeoutMs: 1000, onConnected: () => {} };
    const good = { client, upstream, idleMs: 0, onEnd: () => {}, connect: way };
    const wrong: [object, string][] = [
      [{ client: 99_999 }, "EBADF"],
      [{ client: upstream }, "EINVAL"],
      [{ client: tcp.listening() }, "EINVAL"],
      [{ upstream: 99_999 }, "EBADF"],
      [{ upstream: "2" }, "ERR_INVALID_ARG"],
      [{ connect: null }, "ERR_INVALID_ARG"],
      [{ connect: { ...way, address: Buffer.alloc(4) } }, "ERR_INVALID_ARG"],
      [{ connect: { ...way, address: bytesOf("::1") } }, "EAFNOSUPPORT"],
      [{ connect: { ...way, port: 65_536 } }, "ERR_INVALID_ARG"],
      [{ connect: { ...way, timeoutMs: 0 } }, "ERR_INVALID_ARG"],
      [{ connect: { ...way, timeoutMs: 2 ** 31 } }, "ERR_INVALID_ARG"],
      [{ connect: { ...way, onConnected: undefined } }, "ERR_INVALID_ARG"],
      [{ idleMs: -1 }, "ERR_INVALID_ARG"],
      [{ onEnd: {} }, "ERR_INVALID_ARG"],
    ];
    for (const [change, code] of wrong) {
      const { client, upstream, onEnd, ...options } = { ...good, ...change };
      expect([change, codeOf(() => pump.start(client, upstream, options, onEnd))]).toEqual([change, code]);
    }
    expect(pump.size).toBe(0);
    closeAll(application, client, upstream);
  });
});
