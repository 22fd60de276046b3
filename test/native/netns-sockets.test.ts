import { execFileSync } from "node:child_process";
import { readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import type { Netns } from "../../agent/dataplane/native.ts";
import { connectionsOf } from "./connections.ts";
import { dial, echo, only, startDialler } from "./dialler.ts";
import { type Application, bytesOf, codeOf, descriptorCount, Namespace } from "./namespace.ts";
import { neighbours } from "./neighbours.ts";
import { obstacle, outputOf, projectRoot } from "./scratch.ts";
import { socketIn } from "./sockets.ts";

describe.skipIf(obstacle())("a network namespace", () => {
  const pair = neighbours();
  let app: Application;
  beforeAll(() => {
    app = startDialler(pair.inside);
  });

  const dialled = async (port: number) =>
    (await connectionsOf(pair.netns)).filter((it) => it.remote.port === port);

  it("is opened by its path, and nothing else is", () => {
    const fifo = join(pair.inside.directory, "fifo");
    execFileSync("mkfifo", [fifo]);
    expect(codeOf(() => pair.native.Netns.open("/proc/self/ns/nothing"))).toBe("ENOENT");
    for (const path of [fifo, "/etc/passwd", "/proc/self/ns/mnt", "/"]) {
      expect(() => pair.native.Netns.open(path)).toThrow(`open network namespace ${path}: EINVAL`);
    }
    expect(() => new (pair.native.Netns as unknown as new () => Netns)()).toThrow("call Netns.open");
  });

  it("has the cookie that programs inside read, and leaves the caller in its own", async () => {
    const load = `import(${JSON.stringify(join(projectRoot, "agent/dataplane/native.ts"))})`;
    const script = `${load}.then(({ loadNative }) => console.log(String(loadNative().netnsCookie())))`;
    const [before, own] = [readlinkSync("/proc/thread-self/ns/net"), pair.native.netnsCookie()];
    expect(pair.netns.cookie).toBe(BigInt(await pair.inside.node(script)));
    await connectionsOf(pair.netns);
    expect(pair.netns.cookie).not.toBe(own);
    expect(pair.native.netnsCookie()).toBe(own);
    expect(readlinkSync("/proc/thread-self/ns/net")).toBe(before);
  });

  it("needs CAP_SYS_ADMIN to enter and CAP_NET_ADMIN to end connections", async () => {
    const load = `import(${JSON.stringify(join(projectRoot, "agent/dataplane/native.ts"))})`;
    const without = (capability: string, script: string) =>
      outputOf("setpriv", [
        ...[`--bounding-set=-${capability}`, `--inh-caps=-${capability}`, process.execPath, "-e"],
        `${load}.then(async ({ loadNative }) => ${script}).catch((error) => console.log(error.message));`,
      ]);
    const open = `loadNative().Netns.open(${JSON.stringify(pair.inside.path)})`;
    expect(await without("sys_admin", `{ ${open} }`)).toBe("enter network namespace: EPERM");
    const { localPort } = await dial(app, "127.0.0.1", echo(pair.netns, 4));
    const list = `const netns = ${open}; netns.list().next((_, all) => {`;
    const destroy = `netns.destroy(all.find((it) => it.local.port === ${localPort}));`;
    const say = `try { ${destroy} } catch (error) { console.log(error.message); }`;
    expect(await without("net_admin", `{ ${list} console.log(all.length > 0); ${say} }); }`)).toBe(
      "true\nend connection: EPERM",
    );
  });

  it.each([4, 6] as const)("has listeners of family %i that only it reaches", async (family) => {
    const loopback = family === 4 ? "127.0.0.1" : "::1";
    const address = family === 4 ? "192.0.2.1" : "2001:db8::1";
    const port = echo(pair.netns, family);
    const { id } = await dial(app, loopback, port);
    expect(await app.ask(`ping ${id}`)).toBe(`ping ${id}`);
    expect(await app.ask(`dial x ${address} ${port}`)).toBe("ECONNREFUSED");
    // Neither a neighbour on its link nor who made it.
    const script = `require("node:net").connect(${port}, process.argv[1]).on("error", (error) => console.log(error.code));`;
    const neighbour = ["nsenter", `--net=${pair.outside.path}`, process.execPath, "-e", script];
    expect(execFileSync("env", [...neighbour, address], { encoding: "utf8" }).trim()).toBe("ECONNREFUSED");
    expect(await outputOf(process.execPath, ["-e", script, loopback])).toBe("ECONNREFUSED");
  });

  it.each([
    [4, "127.0.0.1"],
    [6, "::1"],
  ] as const)("shows of its sockets of family %i whose bytes wait for an event loop", async (family, host) => {
    const { fd, port } = pair.netns.listen(family, 8);
    const table = () => connectionsOf(pair.netns, { listeners: true });
    const mine = async () =>
      (await table())
        .filter(({ local }) => local.port === port)
        .map(({ state, inode, onEventLoop }) => ({
          listens: state === 10,
          queued: inode === 0n,
          onEventLoop,
        }));
    const listener = { listens: true, queued: false, onEventLoop: true };
    expect(await mine()).toEqual([listener]);
    await dial(app, host, port);
    expect(await mine()).toHaveLength(2);
    expect(await mine()).toContainEqual({ listens: false, queued: true, onEventLoop: true });
    // An application's own, whatever its family.
    expect((await table()).filter(({ remote }) => remote.port === port)).toMatchObject([
      { onEventLoop: false },
    ]);
    const accepted = Promise.withResolvers<number>();
    const acceptor = new pair.native.Acceptor(fd, accepted.resolve, () => {});
    const client = await accepted.promise;
    expect(await mine()).toContainEqual({ listens: false, queued: false, onEventLoop: true });
    const upstream = socketIn(pair.netns, family);
    await new Promise<unknown>((resolve) => {
      pair.native.connectTcp(upstream, bytesOf(host), echo(pair.netns, family), 5000, resolve);
    });
    const held = async () => (await table()).filter(({ state, onEventLoop }) => onEventLoop && state !== 10);
    const before = (await held()).length;
    const pump = new pair.native.Pump({ threads: 1 });
    pump.start(client, upstream, { idleMs: 0 }, () => {});
    // On a thread of its own.
    await vi.waitFor(async () => expect(await held()).toHaveLength(before - 2));
    expect(await mine()).toContainEqual({ listens: false, queued: false, onEventLoop: false });
    pump.close();
    acceptor.close();
  });

  it("keeps a family 6 listener to IPv6", async () => {
    expect(await app.ask(`dial x 127.0.0.1 ${echo(pair.netns, 6)}`)).toBe("ECONNREFUSED");
    expect(await app.ask(`dial x ::ffff:127.0.0.1 ${echo(pair.netns, 6)}`)).toBe("ECONNREFUSED");
  });

  it("makes sockets that dial from its addresses", async () => {
    const script = `require("node:net").createServer((socket) => socket.end(socket.remoteAddress)).listen(7000, "::", () => console.log("up"));`;
    const server = pair.outside.start(process.execPath, "-e", script);
    expect(await server.line()).toBe("up");
    const cases = [
      [4, "192.0.2.2", "::ffff:192.0.2.1"],
      [6, "2001:db8::2", "2001:db8::1"],
      [6, "192.0.2.2", "::ffff:192.0.2.1"],
    ] as const;
    for (const [family, address, source] of cases) {
      const fd = socketIn(pair.netns, family);
      await new Promise<void>((resolve, reject) => {
        const done = (error?: Error) => (error === undefined ? resolve() : reject(error));
        pair.native.connectTcp(fd, bytesOf(address), 7000, 5000, done);
      });
      const { Socket } = await import("node:net");
      const answer = await new Promise((resolve) =>
        new Socket({ fd }).once("data", (it) => resolve(String(it))),
      );
      expect(answer).toBe(source);
    }
  });

  it("gives sockets and listeners that programs it starts do not inherit", () => {
    const { fd } = pair.netns.listen(4, 1);
    const sockets = [...pair.netns.sockets(6, 1), ...pair.netns.sockets(4, 32)];
    for (const made of [fd, ...sockets]) {
      expect(readFileSync(`/proc/self/fdinfo/${made}`, "utf8")).toMatch(/^flags:\s+02004002$/m);
      pair.native.closeDescriptor(made);
    }
  });

  it("makes as many sockets as it is asked for, and not more than a channel carries", () => {
    const before = descriptorCount();
    const made = pair.netns.sockets(6, 3);
    expect(new Set(made).size).toBe(3);
    expect(descriptorCount()).toBe(before + 3);
    for (const fd of made) pair.native.closeDescriptor(fd);
    for (const wrong of [0, 33, -1, 1.5, "2", undefined]) {
      expect(codeOf(() => Reflect.apply(pair.netns.sockets, pair.netns, [4, wrong]))).toBe("ERR_INVALID_ARG");
    }
    expect(codeOf(() => Reflect.apply(pair.netns.sockets, pair.netns, [5, 1]))).toBe("ERR_INVALID_ARG");
    expect(descriptorCount()).toBe(before);
  });

  it("says why it has no listener: no loopback, no IPv6", async () => {
    const bare = new Namespace();
    onTestFinished(() => bare.remove());
    bare.run("ip", "link", "set", "lo", "down");
    const opened = pair.native.Netns.open(bare.path);
    expect(() => opened.listen(6, 1)).toThrow("listen on IPv6 loopback: EADDRNOTAVAIL");
    bare.run("ip", "link", "set", "lo", "up");
    bare.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6");
    expect(() => opened.listen(6, 1)).toThrow("listen on IPv6 loopback: EADDRNOTAVAIL");
    pair.native.closeDescriptor(opened.listen(4, 1).fd);
    opened.close();
    opened.close();
    expect(codeOf(() => opened.listen(4, 1))).toBe("ERR_CLOSED");
  });

  it("leaves no descriptor and no thread behind", async () => {
    const port = echo(pair.netns, 4);
    await dial(app, "127.0.0.1", port);
    const gone = { ...only(await dialled(port)), cookie: 1n };
    const threads = () => Number(/^Threads:\s+(\d+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
    const use = async () => {
      const opened = pair.native.Netns.open(pair.inside.path);
      pair.native.closeDescriptor(opened.listen(4, 8).fd);
      opened.sockets(4, 32).forEach(pair.native.closeDescriptor);
      await connectionsOf(opened);
      const given = opened.list();
      given.next(() => expect.fail("it is closed"));
      given.close();
      opened.destroy(gone);
      for (const path of ["/etc/passwd", "/nonexistent"]) codeOf(() => pair.native.Netns.open(path));
      opened.close();
    };
    await use();
    const [descriptors, running] = [descriptorCount(), threads()];
    for (let count = 0; count < 1000; count++) await use();
    // What is closed ends when the thread that works on it has noticed, and so may what was closed before.
    await expect.poll(descriptorCount).toBeLessThanOrEqual(descriptors);
    await expect.poll(threads).toBeLessThanOrEqual(running);
  });
});
