import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Listing, Netns, TcpConnection, TcpSocket } from "../../../agent/dataplane/native.ts";
import { keepTold, recallTold, type Told } from "../../../agent/proxy/broker-record.ts";
import { Silence, waiting } from "../../../agent/proxy/silence.ts";

const V4: Buffer = Buffer.from("00000000000000000000ffff7f000001", "hex");
const V6: Buffer = Buffer.from("00000000000000000000000000000001", "hex");
const PORT = 40_000;
const NOBODY: Buffer = Buffer.alloc(16);
const [established, synSent, synReceived, finWait1, lastAck, listens] = [1, 2, 3, 4, 9, 10];

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
  onEventLoop = false,
): TcpSocket {
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
    onEventLoop,
  };
}
const client = ({ port, address, server = PORT }: Ends, state = established) =>
  half(port, server, state, 7n, address);
const server = ({ port, address, server: own = PORT }: Ends, inode: bigint, state = established) =>
  half(own, port, state, inode, address);
/** Of the agent, which says so of it. */
const its = (ends: Ends, inode: bigint, state = established) => ({
  ...server(ends, inode, state),
  onEventLoop: true,
});
const listener = (address: Buffer): TcpSocket => ({
  ...half(PORT, 0, listens, 3n, address, true),
  remote: { address: NOBODY, port: 0 },
});
const listeners = [listener(V4), listener(V6)];
const portsOf = (connections: readonly TcpConnection[]) => connections.map(({ local }) => local.port);

test("who waits is who has not been accepted", () => {
  const all = [
    ...listeners,
    ...[client({ port: 1 }), its({ port: 1 }, 0n)],
    ...[client({ port: 2, address: V6 }), its({ port: 2, address: V6 }, 0n)],
    client({ port: 3 }, synSent),
    // The kernel has no more to say of who has found the queue full.
    ...[client({ port: 4 }), server({ port: 4 }, 0n, synReceived)],
    // Accepted and pumped, of both families; one with the port of somebody who waits at the other address.
    ...[client({ port: 5 }), server({ port: 5 }, 9n)],
    ...[client({ port: 1, address: V6 }), server({ port: 1, address: V6 }, 9n)],
    // Closed by the proxy, with bytes that the client has not read yet.
    ...[client({ port: 6 }), its({ port: 6 }, 0n, lastAck)],
    ...[client({ port: 7 }), its({ port: 7 }, 0n, finWait1)],
    // Elsewhere.
    ...[client({ port: 8, server: 80 }), server({ port: 8, server: 80 }, 0n)],
    ...[
      client({ port: 9, address: Buffer.alloc(16, 5) }),
      server({ port: 9, address: Buffer.alloc(16, 5) }, 0n),
    ],
  ];
  expect(portsOf(waiting(all))).toEqual([1, 2, 3, 4]);
});

test("who waits is also whom the agent's event loop has, whatever has become of its listener", () => {
  const accepted = its({ port: 1 }, 9n);
  const halfClosed = its({ port: 2, address: V6 }, 9n, finWait1);
  const upstream = { ...half(50_000, 80, synSent, 9n, Buffer.alloc(16, 5)), onEventLoop: true };
  const pumped = server({ port: 3 }, 9n);
  const all = [client({ port: 1 }), accepted, halfClosed, upstream, client({ port: 3 }), pumped];
  expect(waiting(all)).toEqual([accepted, halfClosed, upstream]);
  expect(waiting([...listeners, ...all])).toEqual([accepted, halfClosed, upstream]);
});

let now: number;
let ended: number[];
let open: TcpSocket[];
const place = { cgroup: "pod1", cookie: 5n };

beforeEach(() => {
  vi.useFakeTimers();
  now = 0;
  ended = [];
  open = [...listeners, client({ port: 1 }), its({ port: 1 }, 0n)];
});
afterEach(() => {
  vi.useRealTimers();
});

const untold: Told = { agentDownAfter: 0, places: [] };

function silence(told = untold, onTold: (told: Told) => void = () => {}): Silence {
  return new Silence({
    told,
    onTold,
    find: () => ({
      ...tableOf(() => open),
      destroy: ({ local }) => {
        open = open.filter(
          (connection) => ![connection.local.port, connection.remote.port].includes(local.port),
        );
        return true;
      },
    }),
    onEnded: () => ended.push(now),
    onUnable: () => {},
    now: () => now,
  });
}

/** All in one piece. */
function tableOf(sockets: () => readonly TcpSocket[]): Pick<Netns, "list"> {
  const listing = {
    next: (done) => done(undefined, [...sockets()], false),
    close: () => {},
  } satisfies Listing;
  return { list: () => listing };
}

async function pass(time: number): Promise<void> {
  for (let step = 0; step < time; step += 50) {
    now += 50;
    await vi.advanceTimersByTimeAsync(50);
  }
}

test("nobody waits for longer than the agent has said, and nobody is ended while it lives", async () => {
  const watch = silence();
  watch.watch(place);
  for (let beats = 0; beats < 10; beats++) {
    watch.beat(1000);
    await pass(500);
  }
  expect(ended).toEqual([]);
  await pass(500);
  expect(ended).toHaveLength(1);
  expect(ended[0]).toBeLessThanOrEqual(4500 + 1000);
  // Who comes while the kernel still sends.
  open = [...listeners, client({ port: 2 }), its({ port: 2 }, 0n)];
  await pass(100);
  expect(ended).toHaveLength(2);
});

test("a timer that fires a little early is no reason to wait for ever", async () => {
  const watch = silence();
  watch.watch(place);
  watch.beat(1000);
  now = 899.5;
  await vi.advanceTimersByTimeAsync(901);
  expect(ended).toEqual([]);
  await pass(50);
  expect(ended).toHaveLength(1);
});

test("an agent that never beats or is gone has nobody ended, nor has a pod that is gone", async () => {
  const never = silence();
  never.watch(place);
  await pass(10_000);
  never.beat(1000);
  never.forget(place.cookie);
  await pass(10_000);
  never.watch(place);
  never.beat(1000);
  never.end();
  await pass(10_000);
  expect(ended).toEqual([]);
});

test("what an agent has told a broker that is no more, the next one knows, and gives it its time to say more", async () => {
  let told = untold;
  const first = silence(told, (now) => {
    told = now;
  });
  first.watch(place);
  first.watch({ cgroup: "pod2", cookie: 6n });
  first.beat(1000);
  first.forget(6n);
  first.close();
  await pass(10_000);
  expect(told).toEqual({ agentDownAfter: 1000, places: [place] });
  const next = silence(told);
  await pass(800);
  next.beat(1000);
  await pass(800);
  expect(ended).toEqual([]);
  await pass(200);
  expect(ended).toHaveLength(1);
  next.close();
  silence(told, (now) => {
    told = now;
  }).end();
  expect(told.places).toEqual([]);
});

test("a record is read as it was written, and one that is not there or damaged as far as it makes sense", () => {
  const directory = mkdtempSync(join(tmpdir(), "told-"));
  const path = join(directory, "socket.told");
  try {
    expect(recallTold(path)).toEqual(untold);
    const places = [place, { cgroup: "burstable/pod2", cookie: 2n ** 64n - 1n }];
    keepTold(path, { agentDownAfter: 1500, places });
    expect(recallTold(path)).toMatchObject({ agentDownAfter: 1500, places });
    keepTold(path, untold);
    expect(recallTold(path)).toEqual(untold);
    const bad = [
      '{"id":0,"op":"watch","cgroup":"../..","cookie":"5"}',
      '{"id":0,"op":"beat","agentDownAfter":0}',
    ];
    const good = '{"id":0,"op":"watch","cgroup":"pod1","cookie":"5"}';
    writeFileSync(path, [...bad, good, '{"id":0,"op":"bea'].join("\n"));
    expect(recallTold(path)).toMatchObject({ agentDownAfter: 0, places: [place] });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("a pod with very many holds nobody else up, and has all of them ended", async () => {
  const order: bigint[] = [];
  const sockets = new Map([7n, 8n].map((cookie) => [cookie, cookie === 7n ? 3000 : 1]));
  const watch = new Silence({
    told: untold,
    onTold: () => {},
    find: ({ cookie }) => ({
      ...tableOf(() => Array.from({ length: sockets.get(cookie) ?? 0 }, (_, port) => its({ port }, 9n))),
      destroy: () => {
        order.push(cookie);
        sockets.set(cookie, (sockets.get(cookie) ?? 0) - 1);
        return true;
      },
    }),
    onEnded: () => {},
    onUnable: () => {},
    now: () => now,
  });
  for (const cookie of sockets.keys()) watch.watch({ cgroup: "pod", cookie });
  watch.beat(1000);
  await pass(2000);
  expect(order.indexOf(8n)).toBe(1024);
  expect([...sockets.values()]).toEqual([0, 0]);
  watch.end();
});

test("a kernel that can end nothing is told of once", async () => {
  const said: string[] = [];
  const watch = new Silence({
    told: untold,
    onTold: () => {},
    find: () => ({
      ...tableOf(() => open),
      destroy: () => {
        throw Object.assign(new Error("it needs CONFIG_INET_DIAG_DESTROY"), { code: "EOPNOTSUPP" });
      },
    }),
    onEnded: () => ended.push(now),
    onUnable: ({ message }) => said.push(message),
    now: () => now,
  });
  for (let silences = 0; silences < 3; silences++) {
    watch.watch(place);
    watch.beat(1000);
    await pass(5000);
  }
  expect(said).toEqual(["it needs CONFIG_INET_DIAG_DESTROY"]);
  expect(ended).toEqual([]);
});

test("what was heard while this process stood still counts", async () => {
  const watch = silence();
  watch.watch(place);
  watch.beat(1000);
  setImmediate(() => watch.beat(1000));
  now += 5000;
  await vi.advanceTimersByTimeAsync(900);
  expect(ended).toEqual([]);
  watch.end();
});
