import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { TcpConnection } from "../../../agent/dataplane/native.ts";
import { Silence, waiting } from "../../../agent/proxy/silence.ts";

const V4: Buffer = Buffer.from("00000000000000000000ffff7f000001", "hex");
const V6: Buffer = Buffer.from("00000000000000000000000000000001", "hex");
const PORT = 40_000;
const ports = new Set([PORT]);
const [established, synSent, lastAck] = [1, 2, 9];

interface Ends {
  readonly port: number;
  readonly address?: Buffer;
  readonly server?: number;
}

function half(
  local: number,
  remote: number,
  state: number,
  inode: bigint,
  address: Buffer = V4,
): TcpConnection {
  return {
    family: 4,
    state,
    local: { address, port: local },
    remote: { address, port: remote },
    interfaceIndex: 0,
    cookie: BigInt(local),
    inode,
    uid: 0,
    beyondPayload: 0,
  };
}
const client = ({ port, address, server = PORT }: Ends, state = established) =>
  half(port, server, state, 7n, address);
const server = ({ port, address, server: own = PORT }: Ends, inode: bigint, state = established) =>
  half(own, port, state, inode, address);
const portsOf = (connections: readonly TcpConnection[]) => connections.map(({ local }) => local.port);

test("who waits is who has not been accepted", () => {
  const all = [
    ...[client({ port: 1 }), server({ port: 1 }, 0n)],
    ...[client({ port: 2, address: V6 }), server({ port: 2, address: V6 }, 0n)],
    client({ port: 3 }, synSent),
    // Accepted, of both families; one with the port of somebody who waits at the other address.
    ...[client({ port: 4 }), server({ port: 4 }, 9n)],
    ...[client({ port: 1, address: V6 }), server({ port: 1, address: V6 }, 9n)],
    // Closed by the proxy, with bytes that the client has not read yet.
    ...[client({ port: 5 }), server({ port: 5 }, 0n, lastAck)],
    // Elsewhere.
    ...[client({ port: 6, server: 80 }), server({ port: 6, server: 80 }, 0n)],
    ...[
      client({ port: 7, address: Buffer.alloc(16, 5) }),
      server({ port: 7, address: Buffer.alloc(16, 5) }, 0n),
    ],
  ];
  expect(portsOf(waiting(all, ports))).toEqual([1, 2, 3]);
});

let now: number;
let ended: number[];
let open: TcpConnection[];
const place = { cgroup: "pod1", cookie: 5n };

beforeEach(() => {
  vi.useFakeTimers();
  now = 0;
  ended = [];
  open = [client({ port: 1 }), server({ port: 1 }, 0n)];
});
afterEach(() => {
  vi.useRealTimers();
});

function silence(): Silence {
  return new Silence({
    find: () => ({
      connections: () => open,
      destroy: ({ local }) => {
        open = open.filter(
          (connection) => ![connection.local.port, connection.remote.port].includes(local.port),
        );
        return true;
      },
    }),
    onEnded: () => ended.push(now),
    now: () => now,
  });
}

function pass(time: number): void {
  for (let step = 0; step < time; step += 50) {
    now += 50;
    vi.advanceTimersByTime(50);
  }
}

test("nobody waits for longer than the agent has said, and nobody is ended while it lives", () => {
  const watch = silence();
  watch.listen(place, [PORT]);
  for (let beats = 0; beats < 10; beats++) {
    watch.beat(1000);
    pass(500);
  }
  expect(ended).toEqual([]);
  pass(500);
  expect(ended).toHaveLength(1);
  expect(ended[0]).toBeLessThanOrEqual(4500 + 1000);
  // Who comes while the kernel still sends.
  open = [client({ port: 2 }), server({ port: 2 }, 0n)];
  pass(100);
  expect(ended).toHaveLength(2);
});

test("an agent that never beats, has closed its listeners or is gone has nobody ended", () => {
  const never = silence();
  never.listen(place, [PORT]);
  pass(10_000);
  never.beat(1000);
  never.unlisten(place.cookie);
  pass(10_000);
  never.listen(place, [PORT]);
  never.beat(1000);
  never.end();
  pass(10_000);
  expect(ended).toEqual([]);
});

test("what was heard while this process stood still counts", () => {
  const watch = silence();
  watch.listen(place, [PORT]);
  watch.beat(1000);
  setImmediate(() => watch.beat(1000));
  now += 5000;
  vi.advanceTimersByTime(900);
  expect(ended).toEqual([]);
  watch.end();
});
