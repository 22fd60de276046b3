import { execFileSync } from "node:child_process";
import { chmodSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { FdChannel } from "../../agent/dataplane/native.ts";
import { openChannels } from "./channels.ts";
import { confined } from "./confined.ts";
import { codeOf, descriptorCount, until } from "./namespace.ts";
import { obstacle } from "./scratch.ts";

describe.skipIf(obstacle())("a channel whose peer misbehaves", () => {
  const rig = openChannels();

  it("refuses another user, and names one whom the file's mode lets in", async () => {
    const { path, channels } = rig.listen();
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
      "33 descriptors",
      `s.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 33))])`,
      "EBADMSG",
    ],
    [
      "33 descriptors in two parts",
      `part = lambda n: (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * n))\ns.sendmsg([b"x"], [part(17), part(16)])`,
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
    const { path, channels } = rig.listen();
    const before = descriptorCount();
    await rig.stranger(path, `s.send(b"good")\n${script}\ns.send(b"never seen")`);
    await until(() => channels.length === 1);
    const seen = rig.collect(channels[0] as FdChannel);
    await until(() => seen.ends.length === 1);
    expect(seen).toEqual({ messages: ["good"], descriptors: [], ends: [code] });
    expect(descriptorCount()).toBe(before);
  });

  it("delivers what a peer sent before it closed without reading", async () => {
    const { path, channels } = rig.listen();
    const peer = rig.stranger(path, `import select; select.select([s], [], [])\ns.send(b"last words")`);
    await until(() => channels.length === 1);
    const channel = channels[0] as FdChannel;
    channel.send(Buffer.from("not read"));
    await peer;
    const seen = rig.collect(channel);
    await until(() => seen.ends.length === 1);
    expect(seen.messages).toEqual(["last words"]);
    expect(seen.ends).toEqual(["ECONNRESET"]);
  });

  it("tells the sender when the peer does not read, and loses nothing", async () => {
    const [near, far] = await rig.pair();
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
    const seen = rig.collect(far);
    await until(() => seen.messages.length === sent);
    expect(fill()).toBe("EAGAIN");
    await until(() => seen.messages.length === sent);
    expect(seen.messages).toEqual(Array.from({ length: sent }, (_, index) => String(index)));
    far.close();
    expect(codeOf(() => near.send(Buffer.from("x")))).toBe("EPIPE");
  });

  it("leaves others their turn while a peer floods", async () => {
    const { path, channels } = rig.listen();
    const peer = rig.stranger(path, `for _ in range(20000): s.send(b"flood")`);
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

  it("tells of descriptors it may not open, and keeps none of them", async () => {
    const { path, channels } = rig.listen();
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
      "true receive from channel: EBADMSG: descriptors were lost: more than 32, or this process may open no more",
    );
  });
});
