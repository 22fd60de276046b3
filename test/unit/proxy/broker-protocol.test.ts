import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { TcpConnection } from "../../../agent/dataplane/native.ts";
import { makeSieve } from "../../../agent/dataplane/sieve.ts";
import {
  type Answer,
  CONNECTIONS_PER_MESSAGE,
  decodeAnswer,
  decodeRequest,
  encodeAnswer,
  encodeRequest,
  isPathBelow,
  type Request,
} from "../../../agent/proxy/broker-protocol.ts";

const place = { cgroup: "kubepods-burstable.slice/kubepods-burstable-pod1.slice", cookie: (1n << 64n) - 1n };
const longest: TcpConnection = {
  family: 6,
  state: 255,
  local: { address: Buffer.alloc(16, 0xff), port: 65535 },
  remote: { address: Buffer.alloc(16, 0xfe), port: 0 },
  interfaceIndex: 0x7fffffff,
  beyondPayload: -(2 ** 40),
  cookie: (1n << 64n) - 1n,
  inode: 0xffffffffn,
  uid: 0xffffffff,
};
const many = Array.from({ length: CONNECTIONS_PER_MESSAGE }, () => longest);
const json = (value: unknown) => Buffer.from(JSON.stringify(value));

describe("what one side writes the other reads", () => {
  const requests: Request[] = [
    { id: 0, op: "listen", ...place },
    { id: 1, op: "sockets", ...place, family: 6, count: 32 },
    { id: Number.MAX_SAFE_INTEGER, op: "connections", ...place },
    { id: 5, op: "connections", ...place, remote: Buffer.alloc(4 + 2 ** 15, 0xab) },
    { id: 6, op: "more", of: 5 },
    { id: 2, op: "destroy", ...place, connections: many },
    { id: 3, op: "watch", ...place },
    { id: 4, op: "beat", agentDownAfter: 5000 },
  ];
  test.each(requests)("$op", (request) => {
    expect(decodeRequest(encodeRequest(request))).toEqual(request);
  });

  test("a place that says more of itself", () => {
    const told = { ...place, podUid: "uid" };
    expect(decodeRequest(encodeRequest({ id: 1, op: "listen", ...told }))).toEqual({
      id: 1,
      op: "listen",
      ...place,
    });
  });

  const answers: Answer[] = [
    { id: 1, error: "there is none" },
    { id: 1, port4: 1, port6: 65535 },
    { id: 1, port4: 1 },
    { id: 1, sockets: true },
    { id: 1, connections: many, more: true },
    { id: 1, connections: [], more: false },
    { id: 1, destroyed: 0 },
    { id: 1, heard: true },
  ];
  test("answers", () => {
    for (const answer of answers) expect(decodeAnswer(encodeAnswer(answer))).toEqual(answer);
  });

  test("as many connections as go together fit a message, and the largest sieve", () => {
    expect(encodeRequest({ id: 1, op: "destroy", ...place, connections: many }).length).toBeLessThan(
      64 << 10,
    );
    expect(encodeAnswer({ id: 1, connections: many, more: true }).length).toBeLessThan(64 << 10);
    const longestPlace = { ...place, cgroup: "a".repeat(1024) };
    const remote = makeSieve(1e6);
    expect(encodeRequest({ id: 1, op: "connections", ...longestPlace, remote }).length).toBeLessThan(
      64 << 10,
    );
  });
});

describe("a request is refused", () => {
  const request = { id: 7, op: "listen", cgroup: "pod1", cookie: "5" };
  test.each<[string, Record<string, unknown>]>([
    ["that leads out of the pods' cgroup", { cgroup: "pod1/../../system.slice" }],
    ["that names the pods' cgroup itself", { cgroup: "" }],
    ["with an absolute path", { cgroup: "/pod1" }],
    ["with a path that ends in a slash", { cgroup: "pod1/" }],
    ["with a zero byte in its path", { cgroup: "pod1\0" }],
    ["with a path that is no text", { cgroup: 5 }],
    ["with a path that is too long", { cgroup: "a".repeat(2000) }],
    ["with a cookie of 0", { cookie: "0" }],
    ["with a cookie that is no number", { cookie: "0x5" }],
    ["with a cookie of 65 bits", { cookie: String(1n << 64n) }],
    ["with a cookie as a number", { cookie: 5 }],
    ["for something else", { op: "exec" }],
    ["for nothing", { op: undefined }],
    ["with a field too many", { path: "/proc/1/ns/net" }],
    ["with a family that has none", { family: 4 }],
    ["with a number that has none", { count: 1 }],
    ["for sockets without family", { op: "sockets", count: 1 }],
    ["for sockets of a third family", { op: "sockets", family: 10, count: 1 }],
    ["for any number of sockets", { op: "sockets", family: 4 }],
    ["for no sockets", { op: "sockets", family: 4, count: 0 }],
    ["for more sockets than a message carries", { op: "sockets", family: 4, count: 33 }],
    ["for connections by what is no sieve", { op: "connections", remote: 5 }],
    ["for connections by a sieve that is too long", { op: "connections", remote: "A".repeat(50_000) }],
    ["with a sieve that has none", { remote: "AAAA" }],
    ["for more in a place", { op: "more", of: 5 }],
    ["that beats in a place", { op: "beat", agentDownAfter: 5000 }],
    ["for no connections to destroy", { op: "destroy" }],
    ["for too many connections", { op: "destroy", connections: Array(CONNECTIONS_PER_MESSAGE + 1).fill([]) }],
    [
      "for connections that are none",
      { op: "destroy", connections: [[4, 1, "00", 1, "00", 1, "1", "1", 1]] },
    ],
  ])("%s", (_, change) => {
    expect(decodeRequest(json({ ...request, ...change }))).toEqual({
      id: 7,
      error: expect.stringMatching(/^read a request: /),
    });
  });

  test.each([
    ["[]"],
    ["null"],
    ["{}"],
    ['{"id":-1}'],
    ['{"id":1.5}'],
    ['{"id":"1"}'],
    ["{"],
    [""],
  ])("that nobody can be answered: %s", (text) => {
    expect(decodeRequest(Buffer.from(text))).toMatchObject({ id: undefined, error: expect.any(String) });
  });
});

test("nothing that is read throws", () => {
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    fc.json().map((text) => Buffer.from(text)),
    fc
      .record({
        id: fc.nat(),
        op: fc.constantFrom("listen", "destroy"),
        cgroup: fc.string(),
        connections: fc.jsonValue(),
      })
      .map(json),
  );
  fc.assert(
    fc.property(anything, (message) => {
      decodeRequest(message);
      decodeAnswer(message);
    }),
  );
});

test.each([
  ["port4", 0],
  ["port4", 65536],
  ["port6", "1"],
  ["connections", [1]],
  ["destroyed", -1],
])("an answer with %s %j is none", (field, value) => {
  expect(
    decodeAnswer(json({ id: 1, ...(field === "port6" && { port4: 1 }), [field]: value })),
  ).toBeUndefined();
});

test("a path is below a directory if each step goes down", () => {
  expect(isPathBelow("burstable/pod1")).toBe(true);
  for (const path of ["", ".", "..", "a/./b", "a//b", "a/..", "../a"]) expect(isPathBelow(path)).toBe(false);
});
