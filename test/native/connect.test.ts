import { closeSync, openSync, readFileSync } from "node:fs";
import { Socket } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Handle } from "../../agent/dataplane/native.ts";
import { connectionsOf } from "./connections.ts";
import { bytesOf, codeOf, until } from "./namespace.ts";
import { neighbours } from "./neighbours.ts";
import { obstacle } from "./scratch.ts";
import { type Sockets, socketIn } from "./sockets.ts";

const PORT_RANGE = "/proc/sys/net/ipv4/ip_local_port_range";

describe.skipIf(obstacle())("connectTcp", () => {
  const pair = neighbours();

  const accept = (family: 4 | 6 = 4) => pair.sockets.accept(family);
  const connect = (...parameters: Parameters<Sockets["connect"]>) => pair.sockets.connect(...parameters);
  const socket = (family: 4 | 6 = 4) => pair.sockets.socket(family);

  it.each([
    ["IPv4", 4, 4, "127.0.0.1"],
    ["IPv6", 6, 6, "::1"],
    ["v4-mapped", 6, 4, "127.0.0.1"],
  ] as const)("reaches a listener over %s, whose acceptor knows the client's port", async (_, family, listener, address) => {
    const { port, accepted } = accept(listener);
    expect(await connect(socket(family), address, port)).toBeUndefined();
    await until(() => accepted.length === 1);
    const [client] = (await connectionsOf(pair.netns)).filter((it) => it.remote.port === port);
    expect(client?.family).toBe(family);
    expect(accepted[0]?.remotePort).toBe(client?.local.port);
    expect(readFileSync(`/proc/self/fdinfo/${accepted[0]?.fd}`, "utf8")).toMatch(/^flags:\s+02004002$/m);
  });

  it.each([
    ["a port where nobody listens", 4, "127.0.0.1", 9, "ECONNREFUSED"],
    ["the same, IPv6", 6, "::1", 9, "ECONNREFUSED"],
    ["the same, v4-mapped", 6, "127.0.0.1", 9, "ECONNREFUSED"],
    ["a network without a route", 4, "198.51.100.1", 9, "ENETUNREACH"],
    ["an IPv6 address with an IPv4 socket", 4, "::1", 9, "EAFNOSUPPORT"],
  ] as const)("says why it cannot: %s", async (_, family, address, port, code) => {
    expect(await connect(socket(family), address, port)).toBe(code);
  });

  it("says why it cannot: nobody answers in time", async () => {
    const started = performance.now();
    expect(await connect(socket(), "192.0.2.77", 9, 200)).toBe("ETIMEDOUT");
    expect(performance.now() - started).toBeGreaterThanOrEqual(199);
    expect((await connectionsOf(pair.netns)).filter((it) => it.remote.port === 9)).toHaveLength(1); // the caller's to close
  });

  it("says why it cannot: no neighbour has the address", async () => {
    expect(await connect(socket(), "192.0.2.78", 9, 60_000)).toBe("EHOSTUNREACH");
  });

  it("tells of a wrong descriptor, and only after it has returned", async () => {
    const { port } = accept();
    const file = openSync("/dev/null", "r");
    onTestFinished(() => closeSync(file));
    expect(await connect(99_999, "127.0.0.1", port)).toBe("EBADF");
    expect(await connect(file, "127.0.0.1", port)).toBe("ENOTSOCK");
    let told = false;
    pair.native.connectTcp(99_999, bytesOf("::1"), port, 1000, () => {
      told = true;
    });
    expect(told).toBe(false);
    await until(() => told);
  });

  it("is not called back after it was closed, and the socket stays the caller's", async () => {
    const fd = socket();
    let calls = 0;
    const handle = pair.native.connectTcp(fd, bytesOf("192.0.2.79"), 10, 100, () => calls++);
    handle.close();
    handle.close();
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(calls).toBe(0);
    expect((await connectionsOf(pair.netns)).filter((it) => it.remote.port === 10)).toHaveLength(1);
    pair.native.closeDescriptor(fd);
    expect((await connectionsOf(pair.netns)).filter((it) => it.remote.port === 10)).toEqual([]);
  });

  it("keeps nothing of what its function refers to when it has been told, or was closed", async () => {
    const { port } = accept();
    const kept: WeakRef<object>[] = [];
    const begin = (address: string, act: (handle: Handle) => void): Promise<void> =>
      new Promise((resolve) => {
        const fd = socket();
        const held = { handle: undefined as Handle | undefined };
        kept.push(new WeakRef(held));
        held.handle = pair.native.connectTcp(fd, bytesOf(address), port, 60_000, () => {
          resolve();
          held.handle?.close();
        });
        act(held.handle);
      });
    for (let turn = 0; turn < 10; turn++) await begin("127.0.0.1", () => {});
    for (let turn = 0; turn < 10; turn++) void begin("192.0.2.79", (handle) => handle.close());
    setFlagsFromString("--expose-gc");
    const gc = runInNewContext("gc") as () => void;
    await until(() => {
      gc();
      return kept.filter((each) => each.deref() !== undefined).length <= 1;
    });
  });

  it("is not confused when the socket is closed meanwhile and its number given to another", async () => {
    const { port, accepted } = accept();
    const fd = socketIn(pair.netns);
    const first = connect(fd, "192.0.2.80", 11, 300);
    pair.native.closeDescriptor(fd);
    const second = socketIn(pair.netns);
    expect(second).toBe(fd);
    expect(await connect(second, "127.0.0.1", port)).toBeUndefined();
    expect(await first).toBe("ETIMEDOUT");
    await until(() => accepted.length === 1);
    // The event loop still watches what has the number now.
    const other = new Socket({ fd: second });
    const greeting = new Promise((resolve) => other.once("data", (it) => resolve(String(it))));
    const server = new Socket({ fd: accepted.pop()?.fd as number });
    server.write("hello");
    expect(await greeting).toBe("hello");
    other.destroy();
    server.destroy();
  });

  it("resets an accepted socket so that its peer knows, however it is closed, until it may end quietly", async () => {
    const { port, accepted } = accept();
    const fate = async (act: (fd: number) => void) => {
      const fd = socketIn(pair.netns);
      expect(await connect(fd, "127.0.0.1", port)).toBeUndefined();
      await until(() => accepted.length === 1);
      const client = new Socket({ fd });
      const end = new Promise((resolve) => {
        client.on("error", (error: NodeJS.ErrnoException) => resolve(error.code));
        client.on("end", () => resolve("end"));
      });
      client.resume();
      act(accepted.pop()?.fd as number);
      return await end;
    };
    expect(await fate((fd) => pair.native.resetSocket(fd))).toBe("ECONNRESET");
    expect(await fate((fd) => pair.native.closeDescriptor(fd))).toBe("ECONNRESET");
    const endQuietly = (fd: number) => {
      pair.native.resetOnClose(fd, false);
      pair.native.closeDescriptor(fd);
    };
    expect(await fate(endQuietly)).toBe("end");
  });

  it.each([
    ["IPv4", 4, 4, "127.0.0.7", "127.0.0.1"],
    ["IPv6", 6, 6, "2001:db8::7", "::1"],
    ["v4-mapped", 6, 4, "127.0.0.7", "127.0.0.1"],
  ] as const)("connects from the address that was chosen, at a port that another connection may have too: %s", async (_, family, listener, source, to) => {
    const { port, accepted } = accept(listener);
    const other = accept(listener).port;
    pair.inside.run("ip", "address", "replace", "2001:db8::7/128", "dev", "lo", "nodad");
    const range = pair.inside.run("cat", PORT_RANGE);
    pair.inside.run("sh", "-c", `echo 61000 61000 > ${PORT_RANGE}`);
    onTestFinished(() => void pair.inside.run("sh", "-c", `echo ${range.trim()} > ${PORT_RANGE}`));
    for (const at of [port, other]) {
      const fd = socket(family);
      pair.native.bindSource(fd, bytesOf(source));
      expect(await connect(fd, to, at)).toBeUndefined();
      const [client] = (await connectionsOf(pair.netns)).filter((it) => it.remote.port === at);
      expect(client?.local).toEqual({ address: bytesOf(source), port: 61_000 });
    }
    await until(() => accepted.length === 1);
  });

  it("does not bind what it cannot", () => {
    expect(codeOf(() => pair.native.bindSource(socket(), bytesOf("198.51.100.7")))).toBe("EADDRNOTAVAIL");
    expect(codeOf(() => pair.native.bindSource(socket(6), bytesOf("2001:db8::9")))).toBe("EADDRNOTAVAIL");
    expect(codeOf(() => pair.native.bindSource(socket(), bytesOf("::1")))).toBe("EAFNOSUPPORT");
    expect(codeOf(() => pair.native.bindSource(99_999, bytesOf("127.0.0.1")))).toBe("EBADF");
    expect(codeOf(() => pair.native.bindSource(1, bytesOf("127.0.0.1")))).toBe("ERR_INVALID_ARG");
    expect(codeOf(() => pair.native.bindSource(socket(), Buffer.alloc(4)))).toBe("ERR_INVALID_ARG");
    const file = openSync("/dev/null", "r");
    onTestFinished(() => closeSync(file));
    expect(codeOf(() => pair.native.bindSource(file, bytesOf("127.0.0.1")))).toBe("ENOTSOCK");
  });

  it("closes and resets only what it is told to", () => {
    for (const wrong of [0, 1, 2, -1, 1.5, 2 ** 31, Number.NaN]) {
      expect(codeOf(() => pair.native.closeDescriptor(wrong))).toBe("ERR_INVALID_ARG");
      expect(codeOf(() => pair.native.resetSocket(wrong))).toBe("ERR_INVALID_ARG");
    }
    expect(() => pair.native.closeDescriptor(99_999)).toThrow("close descriptor 99999: EBADF");
    expect(() => pair.native.resetSocket(99_999)).toThrow("reset socket 99999: EBADF");
    const file = openSync("/dev/null", "r");
    expect(codeOf(() => pair.native.resetSocket(file))).toBe("ENOTSOCK");
    pair.native.closeDescriptor(file);
  });
});
