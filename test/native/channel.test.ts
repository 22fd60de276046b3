import {
  closeSync,
  existsSync,
  lstatSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { FdChannel } from "../../agent/dataplane/native.ts";
import { openChannels } from "./channels.ts";
import { confined, leftByWorkers } from "./confined.ts";
import { codeOf, descriptorCount, until } from "./namespace.ts";
import { obstacle, outputOf } from "./scratch.ts";

describe.skipIf(obstacle())("a channel", () => {
  const rig = openChannels();

  const never = (error: Error) => expect.fail(error.message);

  it("carries messages in order, each with its descriptors, and says who the peer is", async () => {
    const [near, far] = await rig.pair();
    const own = { pid: process.pid, uid: 0, gid: 0 };
    expect([near.peer, far.peer]).toEqual([own, own]);
    const file = join(rig.directory, "file");
    writeFileSync(file, "content");
    const opened = openSync(file, "r");
    near.send(Buffer.from("one"), [opened, opened]);
    near.send(Buffer.from("two"));
    near.send(Buffer.alloc(65536, "x"), Array(32).fill(opened));
    closeSync(opened);
    const seen = rig.collect(far);
    await until(() => seen.messages.length === 3);
    expect(seen.messages).toEqual(["one", "two", "x".repeat(65536)]);
    expect(new Set(seen.descriptors).size).toBe(34);
    for (const descriptor of seen.descriptors) {
      expect(readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8")).toMatch(/^flags:\s+02\d{6}$/m);
      const content = Buffer.alloc(7);
      expect(readSync(descriptor, content, 0, 7, 0)).toBe(7);
      expect(content.toString()).toBe("content");
      rig.native.closeDescriptor(descriptor);
    }
    near.close();
    await until(() => seen.ends.length === 1);
    expect(seen.ends).toEqual([undefined]);
    expect(codeOf(() => far.send(Buffer.from("late")))).toBe("ERR_CLOSED");
  });

  it("leaves no descriptor behind in a thousand channels with descriptors", async () => {
    const { path, channels } = rig.listen();
    let received = 0;
    const use = async () => {
      const near = rig.native.connectChannel(path);
      await until(() => channels.length === 1);
      const far = channels.pop() as FdChannel;
      const ended = new Promise((resolve) => {
        far.receive((_, descriptors) => {
          received += descriptors.length;
          for (const descriptor of descriptors) rig.native.closeDescriptor(descriptor);
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
    const path = rig.newPath();
    const listener = rig.native.listenChannel(path, never as never, never);
    expect(lstatSync(path).mode & 0o777).toBe(0o600);
    expect(codeOf(() => rig.native.listenChannel(path, () => {}, never))).toBe("EADDRINUSE");
    expect(lstatSync(path).isSocket()).toBe(true);
    listener.close();
    listener.close();
    expect(existsSync(path)).toBe(false);
    expect(codeOf(() => rig.native.connectChannel(path))).toBe("ENOENT");
  });

  it("takes the place of a listener that died, not of a file, and removes only its own file", async () => {
    const path = rig.newPath();
    await outputOf("python3", [
      "-c",
      "import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.bind(sys.argv[1]); s.listen()",
      path,
    ]);
    expect(codeOf(() => rig.native.connectChannel(path))).toBe("ECONNREFUSED");
    const first = rig.native.listenChannel(path, () => {}, never);
    rmSync(path);
    const second = rig.native.listenChannel(path, () => {}, never);
    first.close();
    expect(existsSync(path)).toBe(true);
    second.close();
    writeFileSync(path, "precious");
    expect(codeOf(() => rig.native.listenChannel(path, () => {}, never))).toBe("EADDRINUSE");
    expect(readFileSync(path, "utf8")).toBe("precious");
    expect(codeOf(() => rig.native.listenChannel(`/tmp/${"x".repeat(108)}`, () => {}, never))).toBe(
      "ENAMETOOLONG",
    );
  });

  it("says what it will not send", async () => {
    const [near, far] = await rig.pair();
    const message = Buffer.from("x");
    expect(() => near.send(Buffer.alloc(0))).toThrow("message must have 1 to 65536 bytes");
    expect(() => near.send(Buffer.alloc(65537))).toThrow("message must have 1 to 65536 bytes");
    expect(() => near.send(message, Array(33).fill(0))).toThrow("descriptors must be at most 32");
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
    const [near, far] = await rig.pair();
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

  it("goes on after a callback has thrown, which is an uncaughtException", async () => {
    const script = `
      const path = ${JSON.stringify(rig.newPath())};
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
    const script = `
      const path = ${JSON.stringify(rig.newPath())};
      native.listenChannel(path, (channel) => {
        channel.receive(() => {}, () => {});
        over();
      }, () => {});
      native.connectChannel(path).receive(() => {}, () => {});`;
    expect(await leftByWorkers(script)).toBe("0 0 0 0 0");
  });
});
