import { createHash, randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Pump } from "../../agent/dataplane/native.ts";
import { builtNative, obstacle } from "./scratch.ts";
import { loadTcp, openPipes, residentBytes, route, socketOf, textOf, until } from "./tcp.ts";

const megabyte = 1 << 20;

describe.skipIf(obstacle())("Pump under load", () => {
  let tcp: ReturnType<typeof loadTcp>;
  let pump: Pump;
  beforeAll(() => {
    pump = new (builtNative().Pump)({ threads: 2 });
    tcp = loadTcp();
  });
  afterAll(() => pump?.close());

  /** Sends `size` bytes and the end of the stream, and returns their hash. */
  const send = async (socket: Socket, size: number): Promise<string> => {
    const hash = createHash("sha256");
    const source = randomBytes(8 * megabyte);
    for (let sent = 0; sent < size; ) {
      // Windows of the source at odd places and of odd lengths, so that a lost, doubled or moved piece shows.
      const start = (sent * 31) % (7 * megabyte);
      const piece = source.subarray(start, start + Math.min(size - sent, 700_001));
      hash.update(piece);
      sent += piece.length;
      if (!socket.write(piece)) await new Promise((resolve) => socket.once("drain", resolve));
    }
    socket.end();
    return hash.digest("hex");
  };
  const receive = async (socket: Socket, pause: () => Promise<void> | undefined): Promise<string> => {
    const hash = createHash("sha256");
    for await (const chunk of socket) {
      hash.update(chunk);
      await pause();
    }
    return hash.digest("hex");
  };

  it("moves hundreds of megabytes both ways at once, byte for byte, and counts them", async () => {
    const size = Number(process.env.PODGATE_PUMP_MEGABYTES ?? 128) * megabyte + 13;
    const { application, server, end } = route(tcp, pump);
    const [near, far] = [socketOf(application), socketOf(server)];
    const never = () => undefined;
    const hashes = await Promise.all([
      send(near, size),
      receive(far, never),
      send(far, size + 1),
      receive(near, never),
    ]);
    expect(hashes[1]).toBe(hashes[0]);
    expect(hashes[3]).toBe(hashes[2]);
    expect(await end).toEqual({ up: BigInt(size), down: BigInt(size) + 1n, how: "closed" });
  });

  it("moves all bytes to readers that are slow, and gives their pipes back", async () => {
    const size = 3 * megabyte + 7;
    const slow = Array.from({ length: 30 }, async (_, i) => {
      const { application, server, end } = route(tcp, pump, { receiveBuffer: 8192 });
      const [near, far] = [socketOf(application), socketOf(server)];
      const [from, to] = i % 2 === 0 ? [near, far] : [far, near];
      const received = receive(to, () => (Math.random() < 0.02 ? sleep(5) : undefined));
      const sent = await send(from, size);
      expect(await received).toBe(sent);
      to.end();
      from.resume();
      const [up, down] = i % 2 === 0 ? [size, 0] : [0, size];
      expect(await end).toEqual({ up: BigInt(up), down: BigInt(down), how: "closed" });
    });
    await Promise.all(slow);
    expect(openPipes()).toBeLessThanOrEqual(2 * 8 + 10);
  });

  it("serves 1,000 short connections, 50 at a time, each with its own question and answer", async () => {
    let next = 0;
    const one = async (number: number) => {
      const { application, server, end } = route(tcp, pump);
      const [near, far] = [socketOf(application), socketOf(server)];
      const question = `question ${number} ${"?".repeat(number * 7)}`;
      near.end(question);
      const asked = await textOf(far);
      far.end(`answer to ${asked}`);
      expect(await textOf(near)).toBe(`answer to ${question}`);
      const up = BigInt(question.length);
      expect(await end).toEqual({ up, down: up + 10n, how: "closed" });
    };
    const worker = async () => {
      while (next < 1000) await one(next++);
    };
    await Promise.all(Array.from({ length: 50 }, worker));
    expect(pump.size).toBe(0);
  });

  it("holds no more than the sockets' buffers and one pipe for a server that never reads", async () => {
    await sleep(50);
    const [memory, pipes] = [residentBytes(), openPipes()];
    const { application, server, id, end } = route(tcp, pump, { receiveBuffer: 65_536 });
    const near = socketOf(application);
    const piece = Buffer.alloc(megabyte);
    let written = 0;
    const taken = () => near.bytesWritten - near.writableLength;
    for (let still = 0; still < 10; ) {
      while (near.writableLength === 0 && written < 1024 * megabyte) {
        near.write(piece);
        written += piece.length;
      }
      const before = taken();
      await sleep(20);
      still = taken() === before ? still + 1 : 0;
    }
    // The application's and the upstream's send buffers (4 MiB each), the client's receive buffer (32 MiB), a pipe.
    expect(taken()).toBeLessThan(64 * megabyte);
    expect(residentBytes() - memory).toBeLessThan(16 * megabyte);
    expect(openPipes() - pipes).toBeLessThanOrEqual(1);
    // The server wakes up after all.
    near.end();
    const far = socketOf(server);
    let received = 0;
    far.on("data", (chunk) => {
      received += chunk.length;
    });
    await until(() => far.readableEnded);
    expect(received).toBe(written);
    pump.stop(id);
    expect((await end).up).toBe(BigInt(written));
    near.destroy();
    far.destroy();
  });
});
