import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { FdChannel, Native } from "../../agent/dataplane/native.ts";
import { codeOf, descriptorCount, until } from "./namespace.ts";
import { builtNative, obstacle, outputOf, projectRoot } from "./scratch.ts";

describe.skipIf(obstacle())("a channel", () => {
  let native: Native;
  let directory: string;
  beforeAll(() => {
    native = builtNative();
    directory = mkdtempSync(join(tmpdir(), "podgate-channel-"));
    chmodSync(directory, 0o755);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  let paths = 0;
  const newPath = () => join(directory, `socket${paths++}`);
  const never = (error: Error) => expect.fail(error.message);

  /** Listens until the test ends. Everybody who connects is in `channels`. */
  function listen(path = newPath()): { path: string; channels: FdChannel[] } {
    const channels: FdChannel[] = [];
    const listener = native.listenChannel(path, (channel) => channels.push(channel), never);
    onTestFinished(() => {
      listener.close();
      for (const channel of channels) channel.close();
    });
    return { path, channels };
  }

  /** Both ends of a channel. */
  async function pair(): Promise<[FdChannel, FdChannel]> {
    const { path, channels } = listen();
    const near = native.connectChannel(path);
    onTestFinished(() => near.close());
    await until(() => channels.length === 1);
    return [near, channels[0] as FdChannel];
  }

  /** Collects what arrives. */
  function collect(channel: FdChannel) {
    const seen = {
      messages: [] as string[],
      descriptors: [] as number[],
      ends: [] as (string | undefined)[],
    };
    channel.receive(
      (message, descriptors) => {
        seen.messages.push(message.toString());
        seen.descriptors.push(...descriptors);
      },
      (error) => seen.ends.push(error?.code),
    );
    return seen;
  }

  /** A peer that is not ours: `script` (Python) has the connected socket `s`. */
  const stranger = (path: string, script: string) =>
    outputOf("python3", [
      "-c",
      `import array, os, socket, sys\ns = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\ns.connect(sys.argv[1])\n${script}`,
      path,
    ]);

  /** Runs `script` in a Node.js that may have only `limit` descriptors open. */
  const confined = (limit: number, script: string) =>
    outputOf("prlimit", [
      ...[`--nofile=${limit}:${limit}`, process.execPath, "--input-type=module", "-e"],
      `import { loadNative } from ${JSON.stringify(join(projectRoot, "agent/dataplane/native.ts"))};
       import { closeSync, openSync, readdirSync } from "node:fs";
       const native = loadNative();
       const count = () => readdirSync("/proc/self/fd").length;
       ${script}`,
    ]);

  it("carries messages in order, each with its descriptors, and says who the peer is", async () => {
    const [near, far] = await pair();
    const own = { pid: process.pid, uid: 0, gid: 0 };
    expect([near.peer, far.peer]).toEqual([own, own]);
    const file = join(directory, "file");
    writeFileSync(file, "content");
    const opened = openSync(file, "r");
    near.send(Buffer.from("one"), [opened, opened]);
    near.send(Buffer.from("two"));
    near.send(Buffer.alloc(65536, "x"), Array(16).fill(opened));
    closeSync(opened);
    const seen = collect(far);
    await until(() => seen.messages.length === 3);
    expect(seen.messages).toEqual(["one", "two", "x".repeat(65536)]);
    expect(new Set(seen.descriptors).size).toBe(18);
    for (const descriptor of seen.descriptors) {
      expect(readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8")).toMatch(/^flags:\s+02\d{6}$/m);
      const content = Buffer.alloc(7);
      expect(readSync(descriptor, content, 0, 7, 0)).toBe(7);
      expect(content.toString()).toBe("content");
      native.closeDescriptor(descriptor);
    }
    near.close();
    await until(() => seen.ends.length === 1);
    expect(seen.ends).toEqual([undefined]);
    expect(codeOf(() => far.send(Buffer.from("late")))).toBe("ERR_CLOSED");
  });

  it("leaves no descriptor behind in a thousand channels with descriptors", async () => {
    const { path, channels } = listen();
    let received = 0;
    const use = async () => {
      const near = native.connectChannel(path);
      await until(() => channels.length === 1);
      const far = channels.pop() as FdChannel;
      const ended = new Promise((resolve) => {
        far.receive((_, descriptors) => {
          received += descriptors.length;
          for (const descriptor of descriptors) native.closeDescriptor(descriptor);
        }, resolve);
      });
      near.send(Buffer.from("a"), [0, 1, 2]);
      near.close();
      await ended;
    };
    await use();
    const before = descriptorCount();
    for (let count = 0; count < 1000; count++) await use();
    expect(received).toBe(3003);
    expect(descriptorCount()).toBe(before);
  });

  it("is for its owner alone, and the listener's file comes and goes with it", () => {
    const path = newPath();
    const listener = native.listenChannel(path, never as never, never);
    expect(lstatSync(path).mode & 0o777).toBe(0o600);
    expect(codeOf(() => native.listenChannel(path, () => {}, never))).toBe("EADDRINUSE");
    expect(lstatSync(path).isSocket()).toBe(true);
    listener.close();
    listener.close();
    expect(existsSync(path)).toBe(false);
    expect(codeOf(() => native.connectChannel(path))).toBe("ENOENT");
  });

  it("takes the place of a listener that died, not of a file, and removes only its own file", async () => {
    const path = newPath();
    await outputOf("python3", [
      "-c",
      "import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.bind(sys.argv[1]); s.listen()",
      path,
    ]);
    expect(codeOf(() => native.connectChannel(path))).toBe("ECONNREFUSED");
    const first = native.listenChannel(path, () => {}, never);
    rmSync(path);
    const second = native.listenChannel(path, () => {}, never);
    first.close();
    expect(existsSync(path)).toBe(true);
    second.close();
    writeFileSync(path, "precious");
    expect(codeOf(() => native.listenChannel(path, () => {}, never))).toBe("EADDRINUSE");
    expect(readFileSync(path, "utf8")).toBe("precious");
    expect(codeOf(() => native.listenChannel(`/tmp/${"x".repeat(108)}`, () => {}, never))).toBe(
      "ENAMETOOLONG",
    );
  });

  it("refuses another user, and names one whom the file's mode lets in", async () => {
    const { path, channels } = listen();
    const other = ["setpriv", "--reuid=65534", "--regid=65533", "--clear-groups", "/usr/bin/python3", "-c"];
    const script = `import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
try: s.connect(sys.argv[1]); print("connected")
except OSError as error: print(error.errno)`;
    const dial = () => execFileSync("env", [...other, script, path], { encoding: "utf8" }).trim();
    expect(dial()).toBe("13"); // EACCES
    chmodSync(path, 0o666);
    expect(dial()).toBe("connected");
    await until(() => channels.length === 1);
    expect(channels[0]?.peer).toMatchObject({ uid: 65534, gid: 65533 });
  });

  it.each([
    ["a message longer than 64 KiB", `s.send(b"x" * 65537)`, "EMSGSIZE"],
    [
      "17 descriptors",
      `s.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 17))])`,
      "EBADMSG",
    ],
    [
      "17 descriptors in two parts",
      `part = lambda n: (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * n))\ns.sendmsg([b"x"], [part(9), part(8)])`,
      "EBADMSG",
    ],
    [
      "250 descriptors and too much",
      `s.sendmsg([b"x" * 70000], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 250))])`,
      "EBADMSG",
    ],
    [
      "an empty message with descriptors",
      `s.sendmsg([b""], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 0]))])`,
      undefined,
    ],
  ])("ends at %s, and closes what came with it", async (_, script, code) => {
    const { path, channels } = listen();
    const before = descriptorCount();
    await stranger(path, `s.send(b"good")\n${script}\ns.send(b"never seen")`);
    await until(() => channels.length === 1);
    const seen = collect(channels[0] as FdChannel);
    await until(() => seen.ends.length === 1);
    expect(seen).toEqual({ messages: ["good"], descriptors: [], ends: [code] });
    expect(descriptorCount()).toBe(before);
  });

  it("delivers what a peer sent before it closed without reading", async () => {
    const { path, channels } = listen();
    const peer = stranger(path, `s.recv(4)\ns.send(b"last words")`);
    await until(() => channels.length === 1);
    const channel = channels[0] as FdChannel;
    channel.send(Buffer.from("read"));
    channel.send(Buffer.from("not read"));
    await peer;
    const seen = collect(channel);
    await until(() => seen.ends.length === 1);
    expect(seen.messages).toEqual(["last words"]);
    expect(seen.ends).toEqual(["ECONNRESET"]);
  });

  it("tells the sender when the peer does not read, and loses nothing", async () => {
    const [near, far] = await pair();
    let sent = 0;
    const fill = () =>
      codeOf(() => {
        for (;;) {
          near.send(Buffer.from(String(sent)));
          sent++;
        }
      });
    expect(fill()).toBe("EAGAIN");
    expect(sent).toBeGreaterThan(100);
    const seen = collect(far);
    await until(() => seen.messages.length === sent);
    expect(fill()).toBe("EAGAIN");
    await until(() => seen.messages.length === sent);
    expect(seen.messages).toEqual(Array.from({ length: sent }, (_, index) => String(index)));
    far.close();
    expect(codeOf(() => near.send(Buffer.from("x")))).toBe("EPIPE");
  });

  it("leaves others their turn while a peer floods", async () => {
    const { path, channels } = listen();
    const peer = stranger(path, `for _ in range(20000): s.send(b"flood")`);
    await until(() => channels.length === 1);
    const turns: number[] = [];
    let count = 0;
    let total = 0;
    const ended = new Promise((resolve) => {
      (channels[0] as FdChannel).receive(() => {
        count++;
      }, resolve);
    });
    const turn = () => {
      turns.push(count);
      total += count;
      count = 0;
      if (total < 20000) setImmediate(turn);
    };
    turn();
    await ended;
    await peer;
    await until(() => total === 20000);
    expect(Math.max(...turns)).toBeLessThanOrEqual(16);
  });

  it("says what it will not send", async () => {
    const [near, far] = await pair();
    const message = Buffer.from("x");
    expect(() => near.send(Buffer.alloc(0))).toThrow("message must have 1 to 65536 bytes");
    expect(() => near.send(Buffer.alloc(65537))).toThrow("message must have 1 to 65536 bytes");
    expect(() => near.send(message, Array(17).fill(0))).toThrow("descriptors must be at most 16");
    expect(() => near.send(message, [-1])).toThrow("descriptor must be an integer");
    expect(codeOf(() => near.send(message, [99_999]))).toBe("EBADF");
    const treacherous = Object.defineProperty([0], 0, { get: () => near.close() ?? 1 });
    expect(codeOf(() => near.send(message, treacherous))).toBe("ERR_CLOSED");
    far.receive(
      () => {},
      () => {},
    );
    expect(codeOf(() => far.receive(() => {}, never as never))).toBe("EALREADY");
  });

  it("can be closed by its own callback, and is silent afterwards", async () => {
    const [near, far] = await pair();
    let calls = 0;
    for (let count = 0; count < 10; count++) near.send(Buffer.from("x"));
    far.receive(
      () => {
        calls++;
        far.close();
        far.close();
      },
      () => calls++,
    );
    await until(() => calls > 0);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(calls).toBe(1);
  });

  it("tells of descriptors it may not open, and keeps none of them", async () => {
    const { path, channels } = listen();
    const script = `
      const channel = native.connectChannel(${JSON.stringify(path)});
      const answer = new Promise((resolve) => channel.receive((_, fds) => resolve(fds), (error) => resolve(error.message)));
      const filler = [];
      try { for (;;) filler.push(openSync("/dev/null")); } catch {}
      closeSync(filler.pop());
      closeSync(filler.pop());
      channel.send(Buffer.from("full"));
      const text = await answer;
      for (const fd of filler) closeSync(fd);
      console.log(count() + filler.length < 60, text);`;
    const output = confined(60, script);
    await until(() => channels.length === 1);
    (channels[0] as FdChannel).receive(
      () => channels[0]?.send(Buffer.from("take these"), [0, 1, 2, 0, 1, 2]),
      () => {},
    );
    expect(await output).toContain(
      "true receive from channel: EBADMSG: descriptors were lost: more than 16, or this process may open no more",
    );
  });

  it("goes on after a callback has thrown, which is an uncaughtException", async () => {
    const script = `
      const path = ${JSON.stringify(newPath())};
      const caught = [];
      process.on("uncaughtException", (error) => caught.push(error.message));
      const listener = native.listenChannel(path, (channel) => {
        channel.receive((message) => { throw new Error(String(message)); }, () => {
          console.log(JSON.stringify(caught));
          listener.close();
        });
        throw new Error("channel");
      }, console.log);
      const near = native.connectChannel(path);
      near.send(Buffer.from("one"));
      near.send(Buffer.from("two"));
      near.close();`;
    expect(await confined(100, script)).toBe('["channel","one","two"]');
  });

  it("ends with its worker thread, listening, receiving and connecting", async () => {
    const addon = join(projectRoot, "build/Release/podgate.node");
    const script = `
      const { Worker } = await import("node:worker_threads");
      // The first worker makes Node.js open a descriptor that it keeps.
      const counts = [];
      for (const last of ["", "process.exit(7);", "", "process.exit(7);", ""]) {
        const worker = new Worker(\`
          const native = require(${JSON.stringify(addon)});
          const path = ${JSON.stringify(newPath())};
          native.listenChannel(path, (channel) => {
            channel.receive(() => {}, () => {});
            require("node:worker_threads").parentPort.postMessage("open");
            \${last}
          }, () => {});
          native.connectChannel(path).receive(() => {}, () => {});\`, { eval: true, execArgv: [] });
        await new Promise((resolve) => worker.once("message", resolve));
        await worker.terminate();
        counts.push(count());
      }
      console.log(counts.map((it) => it - counts[0]).join(" "));`;
    expect(await confined(200, script)).toBe("0 0 0 0 0");
  });
});
