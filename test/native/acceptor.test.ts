import { closeSync, openSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { confined, leftByWorkers } from "./confined.ts";
import { connectionsOf } from "./connections.ts";
import { codeOf, descriptorCount, until } from "./namespace.ts";
import { neighbours } from "./neighbours.ts";
import { obstacle } from "./scratch.ts";
import { socketIn } from "./sockets.ts";

describe.skipIf(obstacle())("an acceptor", () => {
  const pair = neighbours();

  const never = (error: Error) => expect.fail(error.message);

  /** For a script of a process of its own. */
  const inside = () => `
    const netns = native.Netns.open(${JSON.stringify(pair.inside.path)});
    const loopback = Buffer.from("00000000000000000000ffff7f000001", "hex");`;

  async function dial(port: number, count: number): Promise<void> {
    const outcomes = Array.from({ length: count }, () =>
      pair.sockets.connect(pair.sockets.socket(), "127.0.0.1", port),
    );
    expect(new Set(await Promise.all(outcomes))).toEqual(new Set([undefined]));
  }

  it("accepts who waits and who comes, until it is closed", async () => {
    const listener = pair.netns.listen(4, 16);
    const { port } = listener;
    await dial(port, 3);
    const { acceptor, accepted } = pair.sockets.accept(4, listener);
    await until(() => accepted.length === 3);
    await dial(port, 1);
    await until(() => accepted.length === 4);
    acceptor.close();
    acceptor.close();
    expect(await pair.sockets.connect(pair.sockets.socket(), "127.0.0.1", port)).toBe("ECONNREFUSED");
  });

  it("says where a connection comes from, and nothing of one that was reset while it waited", async () => {
    const listener = pair.netns.listen(4, 16);
    const [dead, living] = [socketIn(pair.netns), socketIn(pair.netns)];
    for (const fd of [dead, living]) {
      expect(await pair.sockets.connect(fd, "127.0.0.1", listener.port)).toBeUndefined();
    }
    const clients = (await connectionsOf(pair.netns)).filter(({ remote }) => remote.port === listener.port);
    expect(clients).toHaveLength(2);
    pair.native.resetSocket(dead);
    const [left] = (await connectionsOf(pair.netns)).filter(({ remote }) => remote.port === listener.port);
    const heard: [number, string][] = [];
    const acceptor = new pair.native.Acceptor(
      listener.fd,
      (fd, port, address) => {
        heard.push([port, Buffer.from(address).toString("hex")]);
        pair.native.closeDescriptor(fd);
      },
      never,
    );
    await until(() => heard.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(heard).toEqual([[left?.local.port, "00000000000000000000ffff7f000001"]]);
    pair.native.closeDescriptor(living);
    acceptor.close();
  });

  it("takes at most 64 connections per turn of the event loop", async () => {
    const listener = pair.netns.listen(4, 512);
    await dial(listener.port, 200);
    const { accepted } = pair.sockets.accept(4, listener);
    const turns: number[] = [];
    while (accepted.length < 200) {
      const before = accepted.length;
      await new Promise((resolve) => setImmediate(resolve));
      turns.push(accepted.length - before);
    }
    expect(Math.max(...turns)).toBe(64);
  });

  it("can be closed by its own callback", async () => {
    const { fd, port } = pair.netns.listen(4, 64);
    await dial(port, 5);
    const accepted: number[] = [];
    const acceptor = new pair.native.Acceptor(
      fd,
      (connection) => {
        accepted.push(connection);
        if (accepted.length === 2) acceptor.close();
      },
      never,
    );
    await until(() => accepted.length === 2);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(accepted).toHaveLength(2);
    for (const connection of accepted) pair.native.closeDescriptor(connection);
  });

  it("says once that it may open no more, waits without spinning, and goes on", async () => {
    const script = `
      ${inside()}
      const connect = (port) => new Promise((resolve) => {
        const [fd] = netns.sockets(4, 1);
        native.connectTcp(fd, loopback, port, 5000, (error) => resolve(error === undefined ? fd : error));
      });
      const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
      const { fd, port } = netns.listen(4, 64);
      const accepted = [], errors = [];
      const clients = [];
      for (let count = 0; count < 3; count++) clients.push(await connect(port));
      const filler = [];
      try { for (;;) filler.push(openSync("/dev/null")); } catch {}
      const before = process.cpuUsage();
      const acceptor = new native.Acceptor(fd, (it) => accepted.push(it), (error, isOver) => errors.push([error.message, isOver]));
      await pause(1000);
      const { user, system } = process.cpuUsage(before);
      const waiting = accepted.length;
      for (const it of filler) closeSync(it);
      while (accepted.length < 3) await pause(10);
      acceptor.close();
      console.log(JSON.stringify({ waiting, errors, isIdle: user + system < 200_000 }));`;
    expect(JSON.parse(await confined(60, script))).toEqual({
      waiting: 0,
      errors: [["accept connections: EMFILE", false]],
      isIdle: true,
    });
  });

  it("is over when its listening socket is destroyed, and says so", async () => {
    const { port, acceptor, errors } = pair.sockets.accept();
    pair.inside.run("ss", "-K", "state", "listening", "sport", "=", `:${port}`);
    await until(() => errors.length === 1);
    expect(errors).toEqual([["ECONNABORTED", true]]);
    acceptor.close();
  });

  it("takes only a listening TCP socket, and leaves others open", () => {
    const file = openSync("/dev/null", "r");
    const socket = pair.sockets.socket();
    const make = (fd: unknown) => codeOf(() => new pair.native.Acceptor(fd as number, () => {}, never));
    expect([99_999, file, socket, 0, -1, "4"].map(make)).toEqual([
      ...["EBADF", "ENOTSOCK", "EINVAL", "ERR_INVALID_ARG", "ERR_INVALID_ARG", "ERR_INVALID_ARG"],
    ]);
    closeSync(file);
    pair.native.closeDescriptor(socket);
    const { fd } = pair.netns.listen(4, 1);
    const first = new pair.native.Acceptor(fd, () => {}, never);
    expect(make(fd)).toBe("EEXIST"); // somebody watches it already
    first.close();
  });

  it("leaves no descriptor behind in a thousand connections and a hundred acceptors", async () => {
    const use = async (connections: number) => {
      const { fd, port } = pair.netns.listen(4, 64);
      let count = 0;
      const acceptor = new pair.native.Acceptor(
        fd,
        (it) => {
          if (count++ % 2 === 0) pair.native.closeDescriptor(it);
          else pair.native.resetSocket(it);
        },
        never,
      );
      for (let index = 0; index < connections; index++) {
        const client = socketIn(pair.netns);
        // The reset may be there before the client has looked.
        expect([undefined, "ECONNRESET"]).toContain(await pair.sockets.connect(client, "127.0.0.1", port));
        pair.native.resetSocket(client);
      }
      await until(() => count === connections);
      acceptor.close();
      const refused = socketIn(pair.netns);
      expect(await pair.sockets.connect(refused, "127.0.0.1", port)).toBe("ECONNREFUSED");
      pair.native.closeDescriptor(refused);
    };
    await use(2);
    const before = descriptorCount();
    for (let count = 0; count < 100; count++) await use(10);
    expect(descriptorCount()).toBe(before);
  });

  it("and a connect end with their worker thread", async () => {
    const script = `
      ${inside()}
      const { fd, port } = netns.listen(4, 8);
      const nobody = Buffer.from("00000000000000000000ffffc000024d", "hex"); // 192.0.2.77
      const clients = netns.sockets(4, 2);
      new native.Acceptor(fd, (it) => {
        native.closeDescriptor(it);
        native.connectTcp(clients[1], nobody, 9, 60000, () => {});
        for (const it of clients) native.closeDescriptor(it);
        over();
      }, () => {});
      native.connectTcp(clients[0], loopback, port, 60000, () => {});`;
    expect(await leftByWorkers(script)).toBe("0 0 0 0 0");
  });
});
