import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import {
  actionOf,
  encodeDestination,
  encodeNodePort,
  encodeU32,
  encodeU64,
  layouts,
  ON_AGENT_DOWN_ALLOW,
  reasonOf,
  SUBJECT_NAMESPACE,
  SUBJECT_POD,
  SUBJECT_UNRESOLVED,
} from "../../../agent/dataplane/abi.ts";
import { Dataplane, type Maps } from "../../../agent/dataplane/dataplane.ts";
import type { WantGuard, WantPod } from "../../../agent/dataplane/want.ts";
import type { Clock } from "../../../agent/model/clock.ts";
import type { Identity } from "../../../agent/model/identity.ts";
import type { Verdict } from "../../../agent/model/verdict.ts";
import { MemoryArray, MemoryMap } from "./memory-map.ts";

const allow: Verdict = { action: "allow", reason: "fell-through" };
const deny: Verdict = { action: "deny", reason: "rule", rule: 1 };
const ADDRESS = "192.0.2.10";
const OTHER = "2001:db8::10";

let now: number;
type MemoryMaps = Record<Exclude<keyof Maps, "guards">, MemoryMap> & { readonly guards: MemoryArray };

let maps: MemoryMaps;
let dataplane: Dataplane;

function kernelMaps(sizes: Partial<Record<keyof Maps, number>> = {}): MemoryMaps {
  const map = (name: keyof Maps, key: number, value: number) => new MemoryMap(name, key, value, sizes[name]);
  return {
    destinations: map("destinations", layouts.destination_key.size, 4),
    node_addresses: map("node_addresses", 16, 4),
    node_ports: map("node_ports", layouts.node_port_key.size, 4),
    guards: new MemoryArray("guards", layouts.guard.size, sizes.guards ?? 40),
    verdicts: map("verdicts", layouts.verdict_key.size, layouts.verdict.size),
    pods: map("pods", 4, layouts.pod.size),
    pods_by_cgroup: map("pods_by_cgroup", 8, layouts.pod_ref.size),
    pods_by_netns: map("pods_by_netns", 8, 4),
    forwards: map("forwards", layouts.forward_key.size, layouts.forward.size),
  };
}

const clock: Clock = { now: () => now, sleep: () => Promise.resolve() };

beforeEach(() => {
  now = 1_000_000;
  maps = kernelMaps();
  dataplane = new Dataplane(maps, clock);
});

function pod(uid: string, namespace = "payments", errorCode: "" | "ERR_NGROK_28000" = ""): WantPod {
  const identity = {
    id: uid,
    name: uid,
    namespace,
    annotations: new Map(),
    labels: new Map(),
    serviceAccount: "default",
    nodeName: "node-1",
    namespaceLabels: new Map(),
    addresses: [],
    errorCode,
    errorMessage: "",
  };
  const cgroup = BigInt(1000 + [...uid].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7));
  return { identity, cgroupIds: [cgroup], netnsCookies: [cgroup + 1n], addresses: [] };
}

const NODE_PORTS = [4, 6].map((family) => ({ port: 30443, family: family as 4 | 6 }));

function guard(key: string, decide: WantGuard["decide"], more: Partial<WantGuard> = {}): WantGuard {
  return {
    key,
    destinations: [{ address: ADDRESS, port: 443 }],
    nodePorts: [],
    scope: "pod",
    decide,
    ...more,
  };
}

/** What the connect program would answer, by the same look-ups as bpf/decide.h. */
function kernelVerdict(address: string, port: number, caller?: WantPod): string {
  const number = maps.destinations.get(encodeDestination(address, port));
  if (number === undefined) return "unguarded";
  const current = guardAt(number);
  if (current.readUInt32LE(layouts.guard.number) !== number.readUInt32LE(0)) return "pending";
  const version = current.readUInt32LE(layouts.guard.version);
  const perPod = current.readUInt32LE(layouts.guard.flags) === 1;
  const ref =
    caller?.cgroupIds[0] === undefined ? undefined : maps.pods_by_cgroup.get(encodeU64(caller.cgroupIds[0]));
  let subject = SUBJECT_UNRESOLVED;
  if (ref !== undefined) {
    expect(encodeU32(ref.readUInt32LE(layouts.pod_ref.cgroup))).toEqual(
      encodeU64(caller?.cgroupIds[0] ?? 0n).subarray(0, 4),
    );
    const byPod = perPod || ref.readUInt32LE(layouts.pod_ref.flags) === 1;
    subject = byPod ? SUBJECT_POD : SUBJECT_NAMESPACE;
    subject += ref.readUInt32LE(byPod ? layouts.pod_ref.pod : layouts.pod_ref.namespace_number);
  }
  const verdict = maps.verdicts.get(encodeU32(version, subject));
  if (verdict === undefined) return "pending";
  const at = layouts.verdict;
  expect(verdict.subarray(at.guard, at.policy)).toEqual(Buffer.concat([number, encodeU32(version, subject)]));
  return `${actionOf(verdict.readUInt8(at.action))} ${reasonOf(verdict.readUInt8(at.reason))}`;
}

function guardAt(number: Buffer): Buffer {
  const slot = encodeU32(number.readUInt32LE(0) % maps.guards.maxEntries);
  return maps.guards.get(slot) ?? Buffer.alloc(layouts.guard.size);
}

function versionOf(address = ADDRESS, port = 443): number {
  const number = maps.destinations.get(encodeDestination(address, port));
  return number === undefined ? -1 : guardAt(number).readUInt32LE(layouts.guard.version);
}

const byName = (allowed: string) => (identity: Identity) =>
  identity.kind === "pod" && (identity.pod.name === allowed || identity.pod.namespace === `ns-${allowed}`)
    ? allow
    : deny;

describe("what is wanted reaches the kernel", () => {
  test("a pod's verdict is found by its cgroup", async () => {
    const [a, b] = [pod("a"), pod("b")];
    await dataplane.apply({ nodeAddresses: [], guards: [guard("g", byName("a"))], pods: [a, b] });
    expect(kernelVerdict(ADDRESS, 443, a)).toBe("allow fell-through");
    expect(kernelVerdict(ADDRESS, 443, b)).toBe("deny rule");
    expect(kernelVerdict(ADDRESS, 443)).toBe("deny rule");
    expect(kernelVerdict(ADDRESS, 80, a)).toBe("unguarded");
  });

  test("a guard per namespace has one verdict for all pods of a namespace, and oversized pods their own", async () => {
    const big = pod("big", "payments", "ERR_NGROK_28000");
    const pods = [pod("a"), pod("b"), big, pod("c", "sandbox")];
    const decide = (identity: Identity) =>
      identity.kind === "pod" && identity.pod.namespace === "payments" && identity.pod.id !== "big"
        ? allow
        : deny;
    await dataplane.apply({ nodeAddresses: [], guards: [guard("g", decide, { scope: "namespace" })], pods });
    expect(pods.map((caller) => kernelVerdict(ADDRESS, 443, caller))).toEqual([
      "allow fell-through",
      "allow fell-through",
      "deny rule",
      "deny rule",
    ]);
    expect(maps.verdicts.content.size).toBe(4); // unresolved, two namespaces, one oversized pod
  });

  test("node ports and node addresses are written beside destinations", async () => {
    await dataplane.apply({
      nodeAddresses: ["192.0.2.1", "2001:db8::1"],
      guards: [guard("g", () => deny, { nodePorts: NODE_PORTS })],
      pods: [],
    });
    expect(maps.node_addresses.content.size).toBe(2);
    for (const place of NODE_PORTS) {
      expect(maps.node_ports.get(encodeNodePort(place))).toEqual(
        maps.destinations.get(encodeDestination(ADDRESS, 443)),
      );
    }
  });

  test("what is no longer wanted goes: addresses at once, the rest after the grace period", async () => {
    await dataplane.apply({
      nodeAddresses: ["192.0.2.1"],
      guards: [guard("g", () => deny, { nodePorts: NODE_PORTS })],
      pods: [pod("a")],
    });
    await dataplane.apply({ nodeAddresses: [], guards: [], pods: [] });
    expect(
      maps.destinations.content.size + maps.node_ports.content.size + maps.node_addresses.content.size,
    ).toBe(0);
    expect(maps.pods_by_cgroup.content.size + maps.pods_by_netns.content.size).toBe(0);
    expect(maps.guards.used).toHaveLength(1);
    now += 2000;
    dataplane.sweep();
    const { guards, ...hashes } = maps;
    expect(guards.used).toEqual([]);
    expect(Object.values(hashes).map((map) => map.content.size)).toEqual(new Array(8).fill(0));
  });

  test("applying the same again changes nothing", async () => {
    const want = {
      nodeAddresses: ["192.0.2.1"],
      guards: [guard("g", byName("a"))],
      pods: [pod("a"), pod("b")],
    };
    await dataplane.apply(want);
    const applied = await dataplane.apply(want);
    expect(applied.changes).toBe(0);
  });
});

describe("a change never tears", () => {
  test("a policy edit writes a whole new version before any address uses it", async () => {
    const pods = [pod("a"), pod("b"), pod("c")];
    const destinations = [
      { address: ADDRESS, port: 443 },
      { address: OTHER, port: 8443 },
    ];
    const wanted = (allowed: string) => ({
      nodeAddresses: [],
      guards: [
        guard("g", (identity) => (identity.kind === "pod" && identity.pod.name !== allowed ? allow : deny), {
          destinations,
        }),
      ],
      pods,
    });
    await dataplane.apply(wanted("a"));
    // "c" is allowed by both versions, a caller without identity by neither: at no moment may that differ.
    for (const map of Object.values(maps)) {
      map.afterWrite = () => {
        expect(kernelVerdict(ADDRESS, 443, pods[2])).toBe("allow fell-through");
        expect(kernelVerdict(OTHER, 8443)).toBe("deny rule");
        expect(kernelVerdict(ADDRESS, 443, pods[0])).toBe(kernelVerdict(OTHER, 8443, pods[0]));
      };
    }
    const before = versionOf();
    await dataplane.apply(wanted("b"));
    expect(versionOf()).toBeGreaterThan(before);
    now += 2000;
    dataplane.sweep();
    expect(kernelVerdict(ADDRESS, 443, pods[1])).toBe("deny rule");
    expect(maps.verdicts.content.size).toBe(4);
  });

  test("the old version stays for the grace period", async () => {
    await dataplane.apply({ nodeAddresses: [], guards: [guard("g", () => deny)], pods: [pod("a")] });
    const old = versionOf();
    await dataplane.apply({ nodeAddresses: [], guards: [guard("g", () => allow)], pods: [pod("a")] });
    now += 1999;
    dataplane.sweep();
    expect(maps.verdicts.get(encodeU32(old, SUBJECT_UNRESOLVED))).toBeDefined();
    now += 1;
    dataplane.sweep();
    expect(maps.verdicts.get(encodeU32(old, SUBJECT_UNRESOLVED))).toBeUndefined();
  });

  test("one pod's change is one entry in the same version", async () => {
    const pods = [pod("a"), pod("b"), pod("c")];
    await dataplane.apply({ nodeAddresses: [], guards: [guard("g", byName("a"))], pods });
    const version = versionOf();
    await dataplane.apply({
      nodeAddresses: [],
      guards: [
        guard("g", (identity) =>
          identity.kind === "pod" && identity.pod.name !== "b" ? byName("a")(identity) : deny,
        ),
      ],
      pods: [pods[0] as WantPod, pods[1] as WantPod, pod("d")],
    });
    expect(versionOf()).toBe(version);
    expect(kernelVerdict(ADDRESS, 443, pod("d"))).toBe("deny rule");
  });

  test("a new pod is found only when its verdicts are there", async () => {
    await dataplane.apply({ nodeAddresses: [], guards: [guard("g", byName("b"))], pods: [pod("a")] });
    const seen = new Set<string>();
    for (const map of Object.values(maps))
      map.afterWrite = () => seen.add(kernelVerdict(ADDRESS, 443, pod("b")));
    await dataplane.apply({
      nodeAddresses: [],
      guards: [guard("g", byName("b"))],
      pods: [pod("a"), pod("b")],
    });
    expect([...seen]).toEqual(["deny rule", "allow fell-through"]);
  });

  test("a new guard's addresses go from unguarded to decided, never through pending", async () => {
    const seen = new Set<string>();
    for (const map of Object.values(maps))
      map.afterWrite = () => seen.add(kernelVerdict(ADDRESS, 443, pod("a")));
    await dataplane.apply({ nodeAddresses: [], guards: [guard("g", () => allow)], pods: [pod("a")] });
    expect([...seen]).toEqual(["unguarded", "allow fell-through"]);
  });

  test("a policy object added to an address keeps the guard's number", async () => {
    await dataplane.apply({ nodeAddresses: [], guards: [guard("one", () => allow)], pods: [] });
    const number = maps.destinations.get(encodeDestination(ADDRESS, 443));
    await dataplane.apply({ nodeAddresses: [], guards: [guard("one+two", () => deny)], pods: [] });
    expect(maps.destinations.get(encodeDestination(ADDRESS, 443))).toEqual(number);
    expect(kernelVerdict(ADDRESS, 443)).toBe("deny rule");
  });
});

describe("a guard that is divided", () => {
  const [one, two] = [
    { address: ADDRESS, port: 443 },
    { address: OTHER, port: 443 },
  ];

  test("never shows one part's verdict at the other part's address", async () => {
    const whole = guard("g", () => deny, { destinations: [one, two] });
    await dataplane.apply({ nodeAddresses: [], guards: [whole], pods: [pod("a")] });
    const parts = [
      guard("g@4", () => allow, { destinations: [one] }),
      guard("g@6", () => deny, { destinations: [two] }),
    ];
    for (const map of Object.values(maps)) {
      map.afterWrite = () => expect(kernelVerdict(OTHER, 443, pod("a"))).toBe("deny rule");
    }
    await dataplane.apply({ nodeAddresses: [], guards: parts, pods: [pod("a")] });
    expect(kernelVerdict(ADDRESS, 443, pod("a"))).toBe("allow fell-through");
    now += 2000;
    dataplane.sweep();
    expect(maps.guards.used).toHaveLength(2);
  });

  test("keeps its parts' numbers after a restart", async () => {
    const parts = [
      guard("g@4", () => allow, { destinations: [one] }),
      guard("g@6", () => deny, { destinations: [two] }),
    ];
    const want = { nodeAddresses: [], guards: parts, pods: [pod("a")] };
    await dataplane.apply(want);
    expect((await new Dataplane(maps, clock).apply(want)).changes).toBe(0);
  });
});

describe("after a restart", () => {
  test("an unchanged cluster changes nothing in the kernel", async () => {
    const want = {
      nodeAddresses: ["192.0.2.1"],
      guards: [
        guard("g", byName("a"), { nodePorts: NODE_PORTS }),
        guard(
          "h",
          () => ({
            action: "forward",
            reason: "rule",
            rule: 0,
            forward: { service: "x/y", port: 80, ipv4: "192.0.2.80" },
          }),
          {
            destinations: [{ address: OTHER, port: 1 }],
            scope: "namespace",
          },
        ),
      ],
      pods: [pod("a"), pod("b", "sandbox")],
    };
    await dataplane.apply(want);
    const before = Object.values(maps).map((map) => new Map(map.content));
    const applied = await new Dataplane(maps, clock).apply(want);
    expect(applied.changes).toBe(0);
    expect(Object.values(maps).map((map) => new Map(map.content))).toEqual(before);
  });

  test("numbers continue, so that nothing that is deleted late speaks for somebody else", async () => {
    await dataplane.apply({ nodeAddresses: [], guards: [guard("g", byName("a"))], pods: [pod("a")] });
    const oldVersion = versionOf();
    const oldPod = maps.pods_by_cgroup.get(encodeU64(pod("a").cgroupIds[0] as bigint))?.readUInt32LE(0) ?? 0;
    const fresh = new Dataplane(maps, clock);
    await fresh.apply({
      nodeAddresses: [],
      guards: [guard("other", () => deny, { destinations: [{ address: OTHER, port: 1 }] })],
      pods: [pod("b")],
    });
    expect(versionOf(OTHER, 1)).toBeGreaterThan(oldVersion);
    const newPod = maps.pods_by_cgroup.get(encodeU64(pod("b").cgroupIds[0] as bigint))?.readUInt32LE(0) ?? 0;
    expect(newPod).toBeGreaterThan(oldPod);
  });

  test("a guard's number is never one whose slot another guard has, however often the others come and go", async () => {
    maps = kernelMaps({ guards: 8 });
    dataplane = new Dataplane(maps, clock);
    const at = (key: string, port: number, decide = deny) =>
      guard(key, () => decide, { destinations: [{ address: ADDRESS, port }] });
    for (let round = 0; round < 20; round++) {
      if (round === 10) dataplane = new Dataplane(maps, clock);
      const guards = [at("stays", 1), at(`comes-${round}`, 2 + round, allow)];
      expect((await dataplane.apply({ nodeAddresses: [], guards, pods: [] })).refused).toEqual([]);
      expect(kernelVerdict(ADDRESS, 1)).toBe("deny rule");
      expect(kernelVerdict(ADDRESS, 2 + round)).toBe("allow fell-through");
      now += 2000;
      dataplane.sweep();
    }
    expect(maps.guards.used).toHaveLength(2);
  });

  test("verdicts of a version that no guard names are cleared away", async () => {
    await dataplane.apply({ nodeAddresses: [], guards: [guard("g", () => deny)], pods: [] });
    maps.verdicts.put(encodeU32(99, SUBJECT_UNRESOLVED), Buffer.alloc(layouts.verdict.size));
    const fresh = new Dataplane(maps, clock);
    await fresh.apply({ nodeAddresses: [], guards: [guard("g", () => deny)], pods: [] });
    now += 2000;
    fresh.sweep();
    expect(maps.verdicts.get(encodeU32(99, SUBJECT_UNRESOLVED))).toBeUndefined();
    expect(kernelVerdict(ADDRESS, 443)).toBe("deny rule");
  });
});

describe("when the maps fill up", () => {
  test("past 90 % a new guard is refused, its addresses refuse everyone, and those that exist stay", async () => {
    maps = kernelMaps({ verdicts: 20 });
    dataplane = new Dataplane(maps, clock);
    const pods = [pod("a"), pod("b"), pod("c")];
    const first = [1, 2, 3].map((n) =>
      guard(`g${n}`, () => allow, { destinations: [{ address: ADDRESS, port: n }] }),
    );
    await dataplane.apply({ nodeAddresses: [], guards: first, pods });
    const late = [4, 5].map((n) =>
      guard(`g${n}`, () => allow, { destinations: [{ address: ADDRESS, port: n }] }),
    );
    const applied = await dataplane.apply({ nodeAddresses: [], guards: [...first, ...late], pods });
    expect(applied.refused).toEqual(["g5"]);
    expect(applied.pressure.map(({ map }) => map)).toEqual(["verdicts"]);
    expect(kernelVerdict(ADDRESS, 5, pods[0])).toBe("deny over-limit");
    expect(kernelVerdict(ADDRESS, 1, pods[0])).toBe("allow fell-through");
    // Room again: the refused guard comes in once what made room is really gone.
    await dataplane.apply({ nodeAddresses: [], guards: [...first.slice(1), ...late], pods });
    now += 2000;
    const later = await dataplane.apply({ nodeAddresses: [], guards: [...first.slice(1), ...late], pods });
    now += 2000;
    dataplane.sweep();
    expect(later.refused).toEqual([]);
    expect(kernelVerdict(ADDRESS, 5, pods[0])).toBe("allow fell-through");
  });

  test("a write that fails is an error, and the next apply starts from what the kernel really holds", async () => {
    maps = kernelMaps({ pods_by_cgroup: 1 });
    dataplane = new Dataplane(maps, clock);
    const guards = [guard("g", byName("a"))];
    await expect(dataplane.apply({ nodeAddresses: [], guards, pods: [pod("a"), pod("b")] })).rejects.toThrow(
      "E2BIG",
    );
    await dataplane.apply({ nodeAddresses: [], guards, pods: [pod("a")] });
    expect(kernelVerdict(ADDRESS, 443, pod("a"))).toBe("allow fell-through");
  });
});

const names = ["a", "b", "c", "d"];
const wishes = fc.record({
  uids: fc.uniqueArray(fc.constantFrom(...names)),
  allowed: fc.constantFrom(...names),
  scope: fc.constantFrom("pod" as const, "namespace" as const),
  ports: fc.uniqueArray(fc.integer({ min: 1, max: 4 }), { minLength: 1 }),
  restart: fc.boolean(),
  wait: fc.boolean(),
});

/** What the kernel says to every pod, known or not, and to nobody, at every port that a wish may name. */
function expectKernelToSay({
  uids,
  allowed,
  ports,
}: {
  uids: string[];
  allowed: string;
  ports: number[];
}): void {
  for (const port of [1, 2, 3, 4]) {
    for (const name of [undefined, ...names]) {
      const mayPass = name === allowed && uids.includes(name);
      const wanted = mayPass ? "allow fell-through" : "deny rule";
      const caller = name === undefined ? undefined : pod(name);
      expect(kernelVerdict(ADDRESS, port, caller)).toBe(ports.includes(port) ? wanted : "unguarded");
    }
  }
}

test("any sequence of wishes ends with the kernel saying what the deciders say", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(wishes, { minLength: 1, maxLength: 8 }), async (steps) => {
      maps = kernelMaps();
      let current = new Dataplane(maps, clock);
      for (const step of steps) {
        if (step.restart) current = new Dataplane(maps, clock);
        const decide = byName(step.allowed);
        const guards = step.ports.map((port) =>
          guard(`g${port % 3}-${port}`, decide, {
            scope: step.scope,
            destinations: [{ address: ADDRESS, port }],
          }),
        );
        const pods = step.uids.map((uid) => pod(uid, `ns-${uid}`));
        await current.apply({ nodeAddresses: [], guards, pods });
        if (step.wait) now += 2000;
        current.sweep();
        expectKernelToSay(step);
      }
    }),
    { numRuns: 200 },
  );
});

describe("more addresses than the map holds", () => {
  const many = (from: number, length: number) =>
    Array.from({ length }, (_, i) => ({ address: `10.0.${(from + i) >> 8}.${(from + i) & 255}`, port: 80 }));
  const caller = pod("a");

  test("of new guards do not keep another guard's change out of the kernel", async () => {
    maps = kernelMaps({ destinations: 100 });
    dataplane = new Dataplane(maps, clock);
    await dataplane.apply({ nodeAddresses: [], guards: [guard("old", () => allow)], pods: [caller] });
    const greedy = guard("greedy", () => allow, { destinations: many(0, 500) });
    const { refused, unguarded } = await dataplane.apply({
      nodeAddresses: [],
      guards: [greedy, guard("old", () => deny)],
      pods: [caller],
    });
    expect(kernelVerdict(ADDRESS, 443, caller)).toBe("deny rule");
    expect(refused).toEqual(["greedy"]);
    expect(unguarded).toBe(500 - (95 - 1));
    expect(kernelVerdict("10.0.0.0", 80, caller)).toBe("deny over-limit");
  });

  test("of a guard that has grown refuse that guard and nobody else", async () => {
    maps = kernelMaps({ destinations: 100 });
    dataplane = new Dataplane(maps, clock);
    const growing = (length: number) => guard("growing", () => allow, { destinations: many(0, length) });
    const apply = (length: number, answer: () => Verdict) =>
      dataplane.apply({
        nodeAddresses: [],
        guards: [growing(length), guard("other", answer)],
        pods: [caller],
      });
    await apply(10, () => allow);
    expect((await apply(90, () => allow)).refused).toEqual([]);
    expect(kernelVerdict("10.0.0.0", 80, caller)).toBe("allow fell-through");
    expect((await apply(500, () => deny)).refused).toEqual(["growing"]);
    expect(kernelVerdict(ADDRESS, 443, caller)).toBe("deny rule");
    expect(kernelVerdict("10.0.0.0", 80, caller)).toBe("deny over-limit");
    await apply(10, () => allow);
    now += 60_000;
    expect((await apply(10, () => allow)).refused).toEqual([]);
    expect(kernelVerdict("10.0.0.0", 80, caller)).toBe("allow fell-through");
    expect(kernelVerdict("10.0.0.50", 80, caller)).toBe("unguarded");
  });
});

test("decisions that take long leave everybody else on the thread a turn", async () => {
  const ticking: Clock = { now: () => Date.now(), sleep: () => Promise.resolve() };
  const slow = () => {
    for (const until = performance.now() + 2; performance.now() < until; );
    return deny;
  };
  const pods = Array.from({ length: 300 }, (_, i) => pod(`p${i}`));
  let longest = 0;
  let before = performance.now();
  const heartbeat = setInterval(() => {
    longest = Math.max(longest, performance.now() - before);
    before = performance.now();
  }, 1);
  try {
    await new Dataplane(maps, ticking).apply({ nodeAddresses: [], guards: [guard("slow", slow)], pods });
  } finally {
    clearInterval(heartbeat);
  }
  expect(longest).toBeGreaterThan(0);
  expect(longest).toBeLessThan(200);
});

test("what is left to the proxy says what holds without an agent, and names no forward", async () => {
  const entries = new Map<string, Buffer>();
  for (const onAgentDown of [undefined, "allow"] as const) {
    maps = kernelMaps();
    dataplane = new Dataplane(maps, clock);
    const verdict: Verdict = { action: "proxy", reason: "pending", ...(onAgentDown && { onAgentDown }) };
    await dataplane.apply({ nodeAddresses: [], pods: [], guards: [guard("g", () => verdict)] });
    const [value] = maps.verdicts.content.values();
    entries.set(String(onAgentDown), value ?? Buffer.alloc(0));
  }
  const { action, forward } = layouts.verdict;
  const read = (name: string) => entries.get(name)?.readUInt32LE(forward);
  expect(actionOf(entries.get("allow")?.readUInt8(action) ?? 0)).toBe("proxy");
  expect([read("undefined"), read("allow")]).toEqual([0, ON_AGENT_DOWN_ALLOW]);
});
