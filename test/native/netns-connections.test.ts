import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { TcpConnection } from "../../agent/dataplane/native.ts";
import { connectionsOf } from "./connections.ts";
import { dial, echo, only, startDialler } from "./dialler.ts";
import { type Application, bytesOf, Namespace, until } from "./namespace.ts";
import { neighbours } from "./neighbours.ts";
import { obstacle } from "./scratch.ts";
import { socketIn } from "./sockets.ts";

const LISTEN = 10;
const SYN_SENT = 2;

describe.skipIf(obstacle())("connections of a network namespace", () => {
  const pair = neighbours();
  let app: Application;
  beforeAll(() => {
    app = startDialler(pair.inside);
  });

  const dialled = async (port: number) =>
    (await connectionsOf(pair.netns)).filter((it) => it.remote.port === port);

  it.each([
    ["IPv4", 4, "127.0.0.1", "127.0.0.1"],
    ["IPv6", 6, "::1", "::1"],
    ["v4-mapped", 4, "::ffff:127.0.0.1", "::ffff:127.0.0.1"],
  ] as const)("lists and ends exactly one %s connection of many", async (kind, listener, host, address) => {
    const port = echo(pair.netns, listener);
    const ids: { id: string; localPort: number }[] = [];
    for (let count = 0; count < 20; count++) ids.push(await dial(app, host, port));
    const listed = await dialled(port);
    expect(listed.map((it) => it.local.port).sort()).toEqual(ids.map((it) => it.localPort).sort());
    for (const connection of listed) {
      expect(connection).toMatchObject({
        family: kind === "IPv4" ? 4 : 6,
        state: 1,
        uid: 0,
        interfaceIndex: 0,
      });
      expect(connection.remote.address).toEqual(bytesOf(address));
      expect(connection.inode).toBeGreaterThan(0n);
    }
    const [victim] = ids.splice(7, 1);
    const connection = only(listed.filter((it) => it.local.port === victim?.localPort));
    expect(pair.netns.destroy(connection)).toBe(true);
    expect(await app.ask(`fate ${victim?.id}`)).toBe("ECONNABORTED");
    for (const { id } of ids) expect(await app.ask(`ping ${id}`)).toBe(`ping ${id}`);
    expect(pair.netns.destroy(connection)).toBe(false);
  });

  it.each([
    ["IPv4", 4, "127.0.0.1"],
    ["IPv6", 6, "::1"],
    ["v4-mapped", 4, "::ffff:127.0.0.1"],
  ] as const)("leaves a new %s connection alone that has the tuple of a former one", async (_, family, host) => {
    const port = echo(pair.netns, family);
    const first = await dial(app, host, port);
    const former = only(await dialled(port));
    expect(await app.ask(`reset ${first.id}`)).toBe("reset");
    await expect.poll(() => dialled(port)).toEqual([]);
    expect(pair.netns.destroy(former)).toBe(false);
    const second = await dial(app, host, port, first.localPort);
    const { cookie, ...place } = only(await dialled(port));
    expect(place).toMatchObject({ local: former.local, remote: former.remote });
    expect(cookie).not.toBe(former.cookie);
    expect(pair.netns.destroy(former)).toBe(false);
    expect(await app.ask(`ping ${second.id}`)).toBe(`ping ${second.id}`);
    expect(pair.netns.destroy({ ...place, cookie })).toBe(true);
    expect(await app.ask(`fate ${second.id}`)).toBe("ECONNABORTED");
  });

  it("ends a connection whose socket is bound to an interface", async () => {
    const port = echo(pair.netns, 4);
    const script = `
import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
s.connect(("127.0.0.1", ${port})); print("connected", flush=True)
try: s.recv(1)
except OSError as error: print(error.errno, flush=True)`;
    const bound = pair.inside.start("python3", "-c", script);
    expect(await bound.line()).toBe("connected");
    const connection = only(await dialled(port));
    expect(connection.interfaceIndex).toBe(1);
    expect(pair.netns.destroy({ ...connection, interfaceIndex: 0 })).toBe(false);
    expect(pair.netns.destroy(connection)).toBe(true);
    expect(await bound.line()).toBe("103"); // ECONNABORTED
  });

  it("lists and ends a connect that nobody answers, and lists no listener and no TIME_WAIT", async () => {
    const port = echo(pair.netns, 4);
    const { id } = await dial(app, "127.0.0.1", port);
    const fd = socketIn(pair.netns);
    const done = new Promise<unknown>((resolve) => {
      pair.native.connectTcp(fd, bytesOf("192.0.2.77"), 9, 60_000, resolve);
    });
    const pending = only(await dialled(9));
    expect(pending.state).toBe(SYN_SENT);
    expect(pair.netns.destroy(pending)).toBe(true);
    expect(await done).toMatchObject({ code: "ECONNABORTED" });
    pair.native.closeDescriptor(fd);
    // The side that closes first is in TIME_WAIT.
    expect(await app.ask(`ping ${id}`)).toBe(`ping ${id}`);
    await pair.inside.node(
      `const s = require("node:net").connect(${port}, "127.0.0.1", () => s.end().resume());`,
    );
    await until(() => pair.inside.run("ss", "-Htn", "state", "time-wait").includes(`:${port}`));
    expect(only(await dialled(port))).toMatchObject({ state: 1 });
    expect((await connectionsOf(pair.netns)).filter((it) => it.state === LISTEN)).toEqual([]);
  });

  it("refuses a connection that would not name one socket", async () => {
    const port = echo(pair.netns, 4);
    const { id } = await dial(app, "127.0.0.1", port);
    const it4 = only(await dialled(port));
    const wrong: [object, RegExp][] = [
      [{ ...it4, cookie: 2n ** 64n - 1n }, /cookie must be one that names a socket/],
      [{ ...it4, cookie: -1n }, /cookie must be one/],
      [{ ...it4, cookie: 1 }, /cookie must be a bigint/],
      [{ ...it4, family: 5 }, /family must be 4 or 6/],
      [{ ...it4, remote: { ...it4.remote, port: 65536 } }, /remote.port must be an integer/],
      [{ ...it4, local: { ...it4.local, address: Buffer.alloc(4) } }, /local.address must have 16 bytes/],
      [{ ...it4, local: { ...it4.local, address: Buffer.alloc(16) } }, /must be v4-mapped/],
      [{ ...it4, local: undefined }, /local must be an object/],
      [{ ...it4, interfaceIndex: undefined }, /interfaceIndex must be a number/],
    ];
    for (const [connection, message] of wrong) {
      expect(() => pair.netns.destroy(connection as TcpConnection)).toThrow(message);
    }
    expect(await app.ask(`ping ${id}`)).toBe(`ping ${id}`);
  });

  it("lists 10,000 connections, each once", async () => {
    const crowd = new Namespace();
    onTestFinished(() => crowd.remove());
    const opened = pair.native.Netns.open(crowd.path);
    const accepted: number[] = [];
    const { fd, port } = opened.listen(4, 4096);
    const acceptor = new pair.native.Acceptor(
      fd,
      (it) => accepted.push(it),
      (error) => expect.fail(error.message),
    );
    const dialling: number[] = [];
    for (let count = 0; count < 5000; count += 500) {
      await Promise.all(
        Array.from({ length: 500 }, () => {
          const socket = socketIn(opened);
          dialling.push(socket);
          return new Promise<void>((resolve, reject) => {
            const done = (error?: Error) => (error === undefined ? resolve() : reject(error));
            pair.native.connectTcp(socket, bytesOf("127.0.0.1"), port, 10_000, done);
          });
        }),
      );
    }
    await until(() => accepted.length === 5000);
    const started = performance.now();
    const listed = await connectionsOf(opened);
    console.log(`${listed.length} connections in ${(performance.now() - started).toFixed(1)} ms`);
    expect(new Set(listed.map((it) => it.cookie)).size).toBe(10_000);
    expect(listed).toHaveLength(10_000);
    acceptor.close();
    for (const it of [...accepted, ...dialling]) pair.native.resetSocket(it);
    expect(await connectionsOf(opened)).toEqual([]);
    opened.close();
  });
});
