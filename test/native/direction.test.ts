/** Who dialled, as the kernel's table of real connections tells. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadNative, type Netns } from "../../agent/dataplane/native.ts";
import { isDialled } from "../../agent/reauthorize/direction.ts";
import { obstacle } from "../e2e/rig.ts";
import { connectionsOf } from "./connections.ts";

describe.skipIf(obstacle() !== undefined)("who dialled a connection", () => {
  let netns: Netns;
  let server: Server;
  let client: Socket;
  let accepted: Socket;

  beforeEach(async () => {
    netns = loadNative().Netns.open("/proc/self/ns/net");
    server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
    await new Promise<void>((resolve) => server.listen(0, "::1", resolve));
    client = connect({ port: portOf(server), host: "::1", allowHalfOpen: true });
    client.on("error", () => {});
    [accepted] = (await once(server, "connection")) as [Socket];
    accepted.on("error", () => {});
  });

  afterEach(() => {
    client.destroy();
    accepted.destroy();
    server.close();
    netns.close();
  });

  const portOf = (listener: Server) => (listener.address() as { port: number }).port;
  const now = async () => {
    const table = await connectionsOf(netns);
    const find = (localPort: number | undefined, remotePort: number | undefined) =>
      table.find(({ local, remote }) => local.port === localPort && remote.port === remotePort);
    const [ours, theirs] = [client.localPort, portOf(server)];
    const [dialler, listener] = [find(ours, theirs), find(theirs, ours)];
    return {
      states: [dialler?.state, listener?.state],
      dialled: [dialler && isDialled(dialler), listener && isDialled(listener)],
    };
  };
  const untilIs = (wanted: object) => expect.poll(now, { timeout: 5000, interval: 10 }).toEqual(wanted);

  test("is told of a fresh one, and of one that has carried bytes both ways", async () => {
    await untilIs({ states: [1, 1], dialled: [true, false] });
    client.write("x".repeat(70_000));
    accepted.write("y".repeat(50_000));
    accepted.resume();
    client.resume();
    await untilIs({ states: [1, 1], dialled: [true, false] });
  });

  test("is told where each side has closed its half, in both orders", async () => {
    accepted.resume();
    client.end("bye");
    await untilIs({ states: [5, 8], dialled: [true, false] });
    accepted.write("more");
    await untilIs({ states: [5, 8], dialled: [true, false] });
  });

  test("is told where the accepting side closes first", async () => {
    client.resume();
    accepted.end("bye");
    await untilIs({ states: [8, 5], dialled: [true, false] });
  });

  test("is told of a sender whose peer does not read", async () => {
    client.write("x".repeat(16 << 20));
    accepted.write("y".repeat(16 << 20));
    await untilIs({ states: [1, 1], dialled: [true, false] });
  });

  test("is told, mostly, of one that sends all the time", async () => {
    const program =
      "const s = require('net').connect(+process.argv[1], '::1'); const b = Buffer.alloc(100003);\n" +
      "const pour = () => { while (s.write(b)); }; s.on('connect', pour).on('drain', pour).on('error', () => process.exit());";
    const child = spawn(process.execPath, ["-e", program, String(portOf(server))], { stdio: "ignore" });
    try {
      const [socket] = (await once(server, "connection")) as [Socket];
      socket.on("error", () => {});
      socket.resume();
      const answers = { right: 0, wrong: 0 };
      for (let round = 0; round < 300; round++) {
        await sleep(0);
        const dialler = (await connectionsOf(netns)).find(({ local }) => local.port === socket.remotePort);
        const answer = dialler && isDialled(dialler);
        if (answer === true) answers.right++;
        if (answer === false) answers.wrong++;
      }
      socket.destroy();
      expect(answers.wrong).toBeLessThan(3);
      expect(answers.right).toBeGreaterThan(100);
    } finally {
      child.kill("SIGKILL");
    }
  });
});
