import { fstatSync, openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Native, Pump, PumpEnd } from "../../agent/dataplane/native.ts";
import { builtNative, obstacle } from "./scratch.ts";
import { closeAll, fateOf, loadTcp, openPipes, pumpCpu, route, socketOf, textOf, until } from "./tcp.ts";

describe.skipIf(obstacle())("Pump", () => {
  let native: Native;
  let tcp: ReturnType<typeof loadTcp>;
  let pump: Pump;
  beforeAll(() => {
    native = builtNative();
    tcp = loadTcp();
    pump = new native.Pump({ threads: 2 });
  });
  afterAll(() => pump?.close());

  it("passes a half-close of the application on, and the server can still answer", async () => {
    const { application, server, end } = route(tcp, pump);
    const [asking, answering] = [socketOf(application), socketOf(server)];
    asking.end("what is the answer?");
    expect(await textOf(answering)).toBe("what is the answer?");
    answering.end("forty-two");
    expect(await textOf(asking)).toBe("forty-two");
    expect(await end).toEqual({ up: 19n, down: 9n, how: "closed" });
  });

  it("passes a half-close of the server on, and the application can still send", async () => {
    const { application, server, end } = route(tcp, pump);
    const [near, far] = [socketOf(application), socketOf(server)];
    far.end("enough of me");
    expect(await textOf(near)).toBe("enough of me");
    near.end("and of me");
    expect(await textOf(far)).toBe("and of me");
    expect(await end).toEqual({ up: 9n, down: 12n, how: "closed" });
  });

  it("passes on what was sent and ended before it started", async () => {
    const [application, client] = tcp.pair();
    const [server, upstream] = tcp.pair();
    const near = socketOf(application);
    const far = socketOf(server);
    await new Promise<void>((resolve) => near.end("early", resolve));
    await new Promise<void>((resolve) => far.end("late", resolve));
    const end = new Promise<PumpEnd>((resolve) => pump.start(client, upstream, { idleMs: 0 }, resolve));
    expect(await Promise.all([textOf(near), textOf(far)])).toEqual(["late", "early"]);
    expect(await end).toEqual({ up: 5n, down: 4n, how: "closed" });
  });

  it("resets the application when the server resets", async () => {
    const { application, server, end } = route(tcp, pump);
    tcp.reset(server);
    expect(await fateOf(socketOf(application))).toBe("ECONNRESET");
    expect((await end).how).toBe("reset");
  });

  it("resets the server when the application resets", async () => {
    const { application, server, end } = route(tcp, pump);
    tcp.reset(application);
    expect(await fateOf(socketOf(server))).toBe("ECONNRESET");
    expect((await end).how).toBe("reset");
  });

  it("passes on a reset after a half-close as a reset", async () => {
    const { application, server, end } = route(tcp, pump);
    const near = socketOf(application);
    near.end("bye");
    const far = socketOf(server);
    expect(await textOf(far)).toBe("bye");
    const fate = fateOf(near);
    far.resetAndDestroy();
    expect(await fate).toBe("ECONNRESET");
    expect(await end).toEqual({ up: 3n, down: 0n, how: "reset" });
  });

  it("never makes a reset look like the end of the stream, and still hands over what came before it", async () => {
    for (let i = 0; i < 300; i++) {
      const { application, server, end } = route(tcp, pump);
      const near = socketOf(application);
      let text = "";
      near.on("data", (chunk) => {
        text += chunk;
      });
      const fate = fateOf(near);
      const far = socketOf(server);
      // Node.js writes at once what fits the socket's buffer, so these are in the kernel when the reset follows.
      far.write("the last words");
      far.resetAndDestroy();
      expect(await fate).toBe("ECONNRESET");
      expect((await end).how).toBe("reset");
      expect(text === "" || text === "the last words").toBe(true);
    }
  });

  it("ends a connection whose sockets were reset before it started", async () => {
    const [application, client] = tcp.pair();
    const [server, upstream] = tcp.pair();
    tcp.reset(server);
    const end = new Promise<PumpEnd>((resolve) => pump.start(client, upstream, { idleMs: 0 }, resolve));
    expect(await end).toEqual({ up: 0n, down: 0n, how: "reset" });
    expect(await fateOf(socketOf(application))).toBe("ECONNRESET");
  });

  it("ends as reset what was never connected", async () => {
    const [application, client] = tcp.pair();
    const end = new Promise<PumpEnd>((resolve) =>
      pump.start(client, tcp.unconnected(), { idleMs: 0 }, resolve),
    );
    expect((await end).how).toBe("reset");
    expect(await fateOf(socketOf(application))).toBe("ECONNRESET");
  });

  it("resets what was idle for too long, and only that", async () => {
    const idle = route(tcp, pump, { idleMs: 200 });
    const busy = route(tcp, pump, { idleMs: 400 });
    const patient = route(tcp, pump);
    const sender = socketOf(busy.application);
    const receiver = socketOf(busy.server).resume();
    const beat = setInterval(() => sender.write("x"), 20);
    const started = performance.now();
    expect(await idle.end).toEqual({ up: 0n, down: 0n, how: "idle" });
    expect(performance.now() - started).toBeGreaterThan(195);
    expect(await fateOf(socketOf(idle.application))).toBe("ECONNRESET");
    expect(await fateOf(socketOf(idle.server))).toBe("ECONNRESET");
    await sleep(800);
    expect(pump.size).toBe(2);
    clearInterval(beat);
    expect((await busy.end).how).toBe("idle");
    expect(receiver.bytesRead).toBeGreaterThan(30);
    pump.stop(patient.id);
    expect((await patient.end).how).toBe("stopped");
    closeAll(patient.application, patient.server);
  });

  it("stops one of many, resets both of its sides and leaves the others alone", async () => {
    const routes = Array.from({ length: 20 }, () => route(tcp, pump));
    const chosen = routes[7] as (typeof routes)[0];
    const fates = [chosen.application, chosen.server].map((fd) => fateOf(socketOf(fd)));
    pump.stop(chosen.id);
    pump.stop(chosen.id);
    expect((await chosen.end).how).toBe("stopped");
    expect(await Promise.all(fates)).toEqual(["ECONNRESET", "ECONNRESET"]);
    pump.stop(chosen.id);
    for (const id of [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) pump.stop(id);
    expect(pump.size).toBe(19);
    for (const { application, server, end, id } of routes) {
      if (id === chosen.id) continue;
      socketOf(application).end("still here");
      const far = socketOf(server);
      expect(await textOf(far)).toBe("still here");
      far.end();
      expect((await end).how).toBe("closed");
    }
  });

  it("resets all on close, tells every end, and takes no more", async () => {
    const own = new native.Pump({ threads: 3 });
    const routes = Array.from({ length: 10 }, () => route(tcp, own));
    own.close();
    own.close();
    expect(own.size).toBe(10);
    const ends = await Promise.all(routes.map(({ end }) => end));
    expect(ends.map(({ how }) => how)).toEqual(Array(10).fill("stopped"));
    expect(own.size).toBe(0);
    for (const { application, server } of routes) {
      expect(await fateOf(socketOf(application))).toBe("ECONNRESET");
      expect(await fateOf(socketOf(server))).toBe("ECONNRESET");
    }
    const [a, b] = tcp.pair();
    expect(() => own.start(a, b, { idleMs: 0 }, () => {})).toThrow(
      expect.objectContaining({ code: "ERR_CLOSED" }),
    );
    own.stop(routes[0]?.id ?? 0);
    closeAll(a, b);
  });

  it("can be closed, and started anew, from within onEnd", async () => {
    const own = new native.Pump({ threads: 1 });
    const [application, client] = tcp.pair();
    const [server, upstream] = tcp.pair();
    const ends: string[] = [];
    const second = new Promise<void>((resolve) => {
      const [third, fourth] = [tcp.pair(), tcp.pair()];
      own.start(client, upstream, { idleMs: 0 }, ({ how }) => {
        ends.push(how);
        own.start(third[0], fourth[0], { idleMs: 0 }, (end) => {
          ends.push(end.how);
          closeAll(third[1], fourth[1]);
          resolve();
        });
        own.close();
      });
    });
    tcp.reset(application);
    await second;
    expect(ends).toEqual(["reset", "stopped"]);
    expect(own.size).toBe(0);
    closeAll(server);
    const last = new native.Pump({ threads: 1 });
    const [a, b] = tcp.pair();
    await new Promise<void>((resolve) => {
      const id = last.start(a, b, { idleMs: 0 }, () => {
        last.close();
        resolve();
      });
      last.stop(id);
    });
  });

  it("refuses what is no pair of TCP connections, says why, and leaves the descriptors to the caller", async () => {
    const [a, b] = tcp.pair();
    const file = openSync("/dev/null", "r");
    const listening = tcp.listening();
    const refused = (client: number, upstream: number) => {
      try {
        pump.start(client, upstream, { idleMs: 0 }, () => {});
      } catch (error) {
        return (error as NodeJS.ErrnoException).code;
      }
      return "started";
    };
    expect(refused(a, 999_999)).toBe("EBADF");
    expect(refused(file, a)).toBe("ENOTSOCK");
    expect(refused(listening, a)).toBe("EINVAL");
    expect(refused(a, a)).toBe("EINVAL");
    expect(refused(-1, a)).toBe("ERR_INVALID_ARG");
    expect(refused(a, 2 ** 31)).toBe("ERR_INVALID_ARG");
    const { application, server, id, end } = route(tcp, pump);
    expect(refused(a, b)).toBe("started");
    expect(refused(a, b)).toBe("EBUSY");
    pump.stop(id);
    await end;
    closeAll(application, server, file, listening);
    await until(() => pump.size === 1);
    const last = new native.Pump({ threads: 1 });
    expect(() => last.start(a, b, { idleMs: 0 }, () => {})).toThrow(
      expect.objectContaining({ code: "EBUSY" }),
    );
    last.close();
    expect(fstatSync(a).isSocket()).toBe(true);
    pump.close();
    await until(() => pump.size === 0);
    expect(() => fstatSync(a)).toThrow(expect.objectContaining({ code: "EBADF" }));
    pump = new native.Pump({ threads: 2 });
  });

  it("uses no CPU and no pipe for connections that are idle, half-closed either way, or wait for a reader", async () => {
    const before = openPipes();
    const [idle, near, far, slow] = [route(tcp, pump), route(tcp, pump), route(tcp, pump), route(tcp, pump)];
    const [nearApplication, farServer] = [socketOf(near.application), socketOf(far.server)];
    nearApplication.end("x");
    farServer.end("x");
    const [nearServer, farApplication] = [socketOf(near.server), socketOf(far.application)];
    expect(await Promise.all([textOf(nearServer), textOf(farApplication)])).toEqual(["x", "x"]);
    const writer = socketOf(slow.application);
    while (writer.writableLength < 1 << 20) writer.write(Buffer.alloc(1 << 20)) || (await sleep(20));
    await sleep(300);
    const used = pumpCpu();
    await sleep(1000);
    expect(pumpCpu() - used).toBeLessThan(5);
    // The pools of two threads, and the one pipe of the slow connection.
    expect(openPipes() - before).toBeLessThanOrEqual(2 * 8 + 1);
    for (const { id } of [idle, near, far, slow]) pump.stop(id);
    for (const { end } of [idle, near, far, slow]) expect((await end).how).toBe("stopped");
    closeAll(idle.application, idle.server, slow.server);
    for (const socket of [writer, nearApplication, nearServer, farServer, farApplication]) socket.destroy();
  });
});
