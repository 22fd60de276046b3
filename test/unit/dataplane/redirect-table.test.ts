import { beforeEach, describe, expect, test } from "vitest";
import { encodeAddress, encodeU32, encodeU64, layouts } from "../../../agent/dataplane/abi.ts";
import { AgentState } from "../../../agent/dataplane/agent-state.ts";
import { ListenerTable } from "../../../agent/dataplane/listener-table.ts";
import { decodeRedirect, encodeRedirectKey, RedirectTable } from "../../../agent/dataplane/redirect-table.ts";
import { MemoryArray, MemoryMap } from "./memory-map.ts";

const COOKIE = 0xfedc_ba98_7654_3210n;
const SOCKET = 42n;

/** As the kernel writes it: of a connection to 192.0.2.10:443 that was forwarded to [2001:db8::7]:80. */
function written(action: number, family = 4): Buffer {
  const at = layouts.redirect;
  const value = Buffer.alloc(at.size);
  value.writeBigUInt64LE(5_000_000_000n, at.time);
  value.writeBigUInt64LE(77n, at.cgroup);
  value.writeBigUInt64LE(COOKIE, at.netns_cookie);
  value.writeBigUInt64LE(SOCKET, at.socket);
  value.set(encodeAddress("192.0.2.10"), at.dialled);
  value.set(encodeAddress("2001:db8::7"), at.target);
  value.set(encodeAddress("127.0.0.1"), at.source);
  value.writeUInt32LE(34, at.pod);
  value.writeUInt32LE(12, at.guard);
  value.writeUInt32LE(4711, at.pid);
  value.writeUInt16BE(443, at.dialled_port);
  value.writeUInt16BE(80, at.target_port);
  value.writeUInt8(action, at.action);
  value.writeUInt8(2, at.layer);
  value.writeUInt8(family, at.family);
  value.write("fifteen letters", at.comm);
  return value;
}

const SOURCE = encodeAddress("127.0.0.1");

const decoded = {
  time: 5_000_000_000n,
  cgroup: 77n,
  netnsCookie: COOKIE,
  socket: SOCKET,
  pod: 34,
  guard: 12,
  pid: 4711,
  comm: "fifteen letters",
  layer: "connect6",
  family: 4,
  dialled: { address: "192.0.2.10", port: 443 },
  target: { address: "2001:db8::7", port: 80 },
  source: "127.0.0.1",
};

describe("redirects", () => {
  let redirects: MemoryMap;
  let forwarded: MemoryMap;
  let table: RedirectTable;
  let taken: bigint[];

  beforeEach(() => {
    redirects = new MemoryMap("redirects", layouts.redirect_key.size, layouts.redirect.size);
    forwarded = new MemoryMap("forwarded_sockets", 8, layouts.redirect.size);
    taken = [];
    table = new RedirectTable({ redirects, forwarded_sockets: forwarded }, (cookie) => taken.push(cookie));
  });

  test("are taken once, by whom they are for", () => {
    redirects.put(encodeRedirectKey(COOKIE, 40_000, 4, SOURCE), written(4));
    expect(table.take(COOKIE, 40_000, 6, SOURCE)).toBeUndefined();
    expect(table.take(COOKIE, 40_001, 4, SOURCE)).toBeUndefined();
    expect(table.take(COOKIE + 1n, 40_000, 4, SOURCE)).toBeUndefined();
    // Another client's, with the same port at an address of its own: it stays for that one.
    expect(table.take(COOKIE, 40_000, 4, encodeAddress("127.0.0.2"))).toBeUndefined();
    expect(taken).toEqual([]);
    expect(table.take(COOKIE, 40_000, 4, SOURCE)).toEqual({ action: "proxy", ...decoded });
    expect(table.take(COOKIE, 40_000, 4, SOURCE)).toBeUndefined();
    expect(taken).toEqual([COOKIE]);
  });

  test("of a policy are known by their socket, and none that wait for the proxy", () => {
    redirects.put(encodeRedirectKey(COOKIE, 40_000, 4, SOURCE), written(4));
    forwarded.put(encodeU64(SOCKET), written(3));
    forwarded.put(encodeU64(SOCKET + 1n), written(0));
    expect(table.forwarded()).toEqual(new Map([[SOCKET, { action: "forward", ...decoded }]]));
  });

  test.each([
    ["of no action that redirects", written(1)],
    ["of no action at all", written(0)],
    ["of no family", written(4, 0)],
    ["too short", written(4).subarray(1)],
  ])("that no program wrote are nobody's: %s", (_, value) => {
    expect(decodeRedirect(value)).toBeUndefined();
  });
});

describe("listeners", () => {
  let maps: { listeners: MemoryMap; redirects: MemoryMap; note_counts: MemoryArray };
  let listeners: ListenerTable;

  beforeEach(() => {
    maps = {
      listeners: new MemoryMap("listeners", 8, layouts.listener.size),
      redirects: new MemoryMap("redirects", layouts.redirect_key.size, layouts.redirect.size),
      note_counts: new MemoryArray("note_counts", 4, 8),
    };
    listeners = new ListenerTable(maps, 5);
  });

  const at = (cookie: bigint) => maps.listeners.get(encodeU64(cookie))?.toString("hex");
  /** How many notes the kernel has made of each slot's namespace, and the most that it may. */
  const counts = () =>
    Array.from({ length: 8 }, (_, index) => maps.note_counts.get(encodeU32(index))?.readUInt32LE());

  test("have their ports in network order, and none where there is none", () => {
    listeners.put(COOKIE, { port4: 0x1234 });
    expect(at(COOKIE)).toBe("1234000000000000");
    listeners.put(7n, { port4: 0x1234, port6: 0x5678 });
    expect(at(7n)).toBe("1234567801000000");
    expect([listeners.delete(COOKIE), listeners.delete(COOKIE)]).toEqual([true, false]);
    listeners.put(8n, { port6: 0x5678 });
    expect(at(8n)).toBe("0000567800000000");
    expect(() => listeners.put(COOKIE, { port4: 65_536 })).toThrow(RangeError);
  });

  test("may have so many connects wait, as many again as are taken, and none while they are over their limit", () => {
    for (const cookie of [COOKIE, 7n]) listeners.put(cookie, { port4: 1 });
    expect(counts().slice(0, 4)).toEqual([0, 5, 0, 5]);
    for (const cookie of [7n, 7n, 9n]) listeners.take(cookie);
    expect(counts().slice(0, 4)).toEqual([0, 5, 0, 7]);
    listeners.put(7n, { port4: 1, overLimit: true });
    expect(counts().slice(0, 4)).toEqual([0, 5, 0, 2]);
    listeners.take(7n);
    expect(counts().slice(0, 4)).toEqual([0, 5, 0, 3]);
    listeners.put(7n, { port4: 1 });
    expect(counts().slice(0, 4)).toEqual([0, 5, 0, 8]);
  });

  test("are written once: the kernel may be reading", () => {
    listeners.put(COOKIE, { port4: 1 });
    let writes = 0;
    maps.listeners.afterWrite = () => writes++;
    listeners.put(COOKIE, { port4: 1, overLimit: true });
    listeners.take(COOKIE);
    expect(writes).toBe(0);
  });

  test("begin with no notes of those that were there before, and count none", () => {
    listeners.put(COOKIE, { port4: 1 });
    listeners.take(COOKIE);
    maps.note_counts.put(encodeU32(0), encodeU32(3));
    for (const cookie of [COOKIE, 7n])
      maps.redirects.put(encodeRedirectKey(cookie, 40_000, 4, SOURCE), written(4));
    listeners.delete(COOKIE);
    listeners.put(COOKIE, { port4: 1 });
    expect(counts().slice(0, 2)).toEqual([0, 5]);
    expect([...maps.redirects.content.keys()]).toEqual([
      encodeRedirectKey(7n, 40_000, 4, SOURCE).toString("latin1"),
    ]);
  });

  test("are forgotten together, with what waited there", () => {
    listeners.clear();
    for (const cookie of [1n, 2n]) listeners.put(cookie, { port4: 1 });
    maps.redirects.put(encodeRedirectKey(1n, 40_000, 4, SOURCE), written(4));
    listeners.clear();
    expect([maps.listeners.content.size, maps.redirects.content.size]).toEqual([0, 0]);
    listeners.put(3n, { port4: 1 });
    expect(at(3n)).toBe("0001000000000000");
  });
});

describe("the agent's state", () => {
  const at = layouts.agent_state;

  test("has the moment of the last beat, and none after the end", () => {
    const map = new MemoryArray("agent_state", at.size, 1);
    let now = 7n;
    const state = new AgentState(map, { cgroup: 99n, timeoutMs: 5000 }, () => now);
    const read = (offset: number) => map.get(encodeU32(0))?.readBigUInt64LE(offset);
    state.beat();
    expect(read(at.heartbeat)).toBe(7n);
    now = 8n;
    state.beat();
    expect([read(at.heartbeat), read(at.cgroup), read(at.timeout_ns)]).toEqual([8n, 99n, 5_000_000_000n]);
    state.end();
    expect([read(at.heartbeat), read(at.cgroup)]).toEqual([0n, 99n]);
  });
});
