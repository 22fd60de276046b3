/** What is ended in a look at all connections. The broker and the kernel behind it are a table in memory here. */
import { describe, expect, test } from "vitest";
import type { TcpConnection } from "../../../agent/dataplane/native.ts";
import { identityReader } from "../../../agent/identity/pod-identity.ts";
import { systemClock } from "../../../agent/model/clock.ts";
import type { Revoked } from "../../../agent/reauthorize/judge.ts";
import { type ProxiedConnection, Reauthorizer } from "../../../agent/reauthorize/reauthorizer.ts";
import type { Forwarded } from "../../../agent/reauthorize/tables.ts";
import { connectionPolicy, denyNamespace, service } from "../guard/builders.ts";
import { localPod, runs } from "./run.ts";
import { socketTo } from "./sockets.ts";

const LEDGER = ["192.0.2.10", 80] as const;
const sandbox = localPod("sandbox/web");
const payments = localPod("payments/web");
const connectionPolicies = [connectionPolicy("payments/p", ["ledger"], denyNamespace("sandbox"))];
const parts = { connectionPolicies, localPods: [sandbox, payments] };

const PIECE = 10;

interface World {
  readonly open?: Readonly<Record<string, readonly TcpConnection[]>>;
  /** Are in the table's answers and have ended when they are to be ended. */
  readonly ended?: Readonly<Record<string, readonly TcpConnection[]>>;
  readonly forwarded?: ReadonlyMap<bigint, Forwarded>;
  readonly own?: readonly bigint[];
  readonly proxied?: readonly ProxiedConnection[];
  readonly now?: () => number;
  readonly nodeNetnsCookie?: bigint;
  /** Before each reading of a table. */
  readonly onRead?: (cookie: bigint, open: Map<bigint, TcpConnection[]>) => void;
}

/** `open`: by the cookie of the namespace. */
function rig({
  open = {},
  ended = {},
  forwarded = new Map(),
  own = [],
  proxied = [],
  now = Date.now,
  nodeNetnsCookie = 0n,
  onRead,
}: World) {
  const tables = new Map(Object.entries(open).map(([key, sockets]) => [BigInt(key), [...sockets]]));
  const revoked: Revoked[] = [];
  const asked: string[] = [];
  const reauthorizer = new Reauthorizer({
    clock: { ...systemClock, now },
    table: {
      connections: async function* ({ cgroup, cookie }) {
        asked.push(`${cgroup} ${cookie}`);
        onRead?.(cookie, tables);
        const all = [...(tables.get(cookie) ?? []), ...(ended[String(cookie)] ?? [])];
        for (let at = 0; at < all.length || at === 0; at += PIECE) {
          yield all.slice(at, at + PIECE);
          // As the kernel may where others are gone from before it.
          if (tables.get(cookie)?.includes(all[at] as TcpConnection) === false) at++;
        }
      },
      destroy: async ({ cookie }, sockets) => {
        const before = tables.get(cookie) ?? [];
        const after = before.filter((socket) => !sockets.some((each) => each.cookie === socket.cookie));
        tables.set(cookie, after);
        return before.length - after.length;
      },
    },
    identityOf: identityReader(),
    nodeNetnsCookie,
    cgroupOf: (path) => path.replace("/kubepods/", ""),
    forwarded: () => forwarded,
    ownSockets: () => new Set(own),
    proxied: () => proxied,
    onRevoked: (each) => revoked.push(each),
  });
  const left = () => [...tables.values()].flat();
  return { reauthorizer, revoked, asked, left };
}

/** Of `sandbox`, to port 80; `order` has those that were ended, by where they led. */
function proxied(address: string, order: string[]): ProxiedConnection {
  const [place, client] = [
    { address, port: 80 },
    { address: "192.0.2.1", port: 1 },
  ];
  const end = () => order.push(address) > 0;
  return { podUid: sandbox.uid, client, dialled: place, remote: place, end };
}

describe("a look", () => {
  test("ends what is denied in the pods that are denied, and says what it was", async () => {
    const bad = [socketTo(...LEDGER), socketTo("2001:db8::10", 80)];
    const good = [socketTo("192.0.2.99", 80), socketTo(...LEDGER)];
    const { reauthorizer, revoked, left, asked } = rig({
      open: { 1: [...bad, ...good.slice(0, 1)], 2: good.slice(1) },
    });
    expect(reauthorizer.learn(runs()(parts))).toBe(true);
    await reauthorizer.look();
    expect(left()).toEqual(good);
    expect(asked).toEqual(["poduid-of-sandbox/web 1", "poduid-of-payments/web 2"]);
    expect(revoked).toMatchObject([
      {
        pod: { name: "web", namespace: "sandbox" },
        layer: "connect4",
        decision: { reason: "rule", rule: 0 },
      },
      { layer: "connect6", connection: { remote: { address: "2001:db8::10", port: 80 } } },
    ]);
  });

  test("is no longer for a pod with one proxied connection because another has a hundred that take long", async () => {
    const other = localPod("sandbox/other");
    const order: string[] = [];
    const proxiedOf = ({ uid: podUid }: { readonly uid: string }): ProxiedConnection => {
      const place = { address: LEDGER[0], port: LEDGER[1] };
      const end = () => order.push(podUid) > 0;
      return { podUid, client: { address: "192.0.2.1", port: 1 }, dialled: place, remote: place, end };
    };
    let time = 0;
    const { reauthorizer } = rig({
      proxied: [...Array.from({ length: 100 }, () => proxiedOf(sandbox)), proxiedOf(other)],
      now: () => (time += 20),
    });
    reauthorizer.learn(runs()({ ...parts, localPods: [sandbox, other] }));
    await reauthorizer.look();
    expect(order).toContain(other.uid);
    expect(order.indexOf(other.uid)).toBeLessThan(5);
    // Nobody else's next change waits for the rest, nor does it wait for a look.
    expect(order.length).toBeLessThan(20);
    await expect.poll(() => order.length).toBeGreaterThan(100);
  });

  describe("at a pod whose own namespace's policies take long", () => {
    const safe = "192.0.2.20";
    const services = [service("payments/ledger", [LEDGER[0]], [80]), service("vault/safe", [safe], [80])];
    const denying = (vaults: string) => ({
      services,
      connectionPolicies: [
        ...connectionPolicies,
        connectionPolicy("vault/p", ["safe"], denyNamespace(vaults)),
      ],
      localPods: [sandbox],
    });

    test("asks those of other namespaces before it has asked all of them", async () => {
      const many = 300;
      const order: string[] = [];
      const through = [...Array(many).fill(LEDGER[0]), safe].map((address) => ({
        ...proxied(address, order),
        end(): boolean {
          through.splice(through.indexOf(this), 1);
          return order.push(address) > 0;
        },
      }));
      const slow = Array.from({ length: many }, () => socketTo(...LEDGER));
      let time = 0;
      const { reauthorizer, revoked } = rig({
        open: { 1: [...slow, socketTo(safe, 80)] },
        proxied: through,
        now: () => (time += 20),
      });
      reauthorizer.learn(runs()(denying("sandbox")));
      await reauthorizer.look();
      await expect.poll(() => revoked.length, { timeout: 5000 }).toBe(2 * many + 2);
      const direct = revoked.filter(({ layer }) => layer !== "proxy");
      expect(direct.findIndex(({ connection }) => connection.remote.address === safe)).toBeLessThan(20);
      expect(order.indexOf(safe)).toBeLessThan(20);
    });

    test("goes on after a failure, and is done when there is nothing left to ask about", async () => {
      let [reads, time] = [0, 0];
      const { reauthorizer } = rig({
        open: { 1: Array.from({ length: 100 }, () => socketTo(...LEDGER)) },
        now: () => (time += 20),
        onRead: (cookie, open) => {
          reads++;
          if (reads === 2) throw new Error("ask the broker: it is not there");
          if (reads > 2) open.set(cookie, []);
        },
      });
      const harmless = [connectionPolicy("payments/p", ["ledger"], denyNamespace("others"))];
      reauthorizer.learn(runs()({ connectionPolicies: harmless, localPods: [sandbox] }));
      await reauthorizer.look();
      await expect.poll(() => reads).toBe(2);
      await expect.poll(() => reauthorizer.look()).toBeUndefined();
    });

    test("asks those of others also when they change while these are asked", async () => {
      const many = 1000;
      const order: string[] = [];
      const run = runs();
      let time = 0;
      let change = () => {};
      const one = proxied(LEDGER[0], order);
      const slow: ProxiedConnection = {
        ...one,
        // Asked for where policies are.
        get client() {
          time += 20;
          return one.client;
        },
        end: () => {
          if (order.length === many / 10) change();
          return one.end();
        },
      };
      const through = [...Array.from({ length: many }, () => slow), proxied(safe, order)];
      const { reauthorizer } = rig({ proxied: through, now: () => time });
      change = () => {
        reauthorizer.learn(run(denying("sandbox"), 1));
        void reauthorizer.look();
      };
      reauthorizer.learn(run(denying("others")));
      await reauthorizer.look();
      await expect.poll(() => order, { timeout: 5000 }).toContain(safe);
      expect(order.indexOf(safe)).toBeGreaterThan(many / 10);
      expect(order.indexOf(safe)).toBeLessThan(many / 5);
    });
  });

  test("ends all of a pod with very many, a piece at a time, and meanwhile those of all other pods", async () => {
    const pods = Array.from({ length: 20 }, (_, number) => localPod(`sandbox/${number}`));
    const many = 500;
    // More pods with very many than are looked at at a time.
    const open = pods.map((_, at) => Array.from({ length: at < 12 ? many : 1 }, () => socketTo(...LEDGER)));
    const { reauthorizer, revoked, left } = rig({
      open: Object.fromEntries(open.map((sockets, at) => [at + 1, sockets])),
      // Turns by the clock come on top of those by pieces.
      now: () => 0,
    });
    reauthorizer.learn(runs()({ ...parts, localPods: pods }));
    await reauthorizer.look();
    for (const { name } of pods.slice(12))
      expect(revoked.findIndex(({ pod }) => pod.name === name)).toBeGreaterThanOrEqual(0);
    // The look did not wait for them; some were passed over at first, since others had been ended.
    expect(left().length).toBeGreaterThan(12 * many * 0.9);
    await expect.poll(left, { timeout: 5000 }).toEqual([]);
    expect(revoked).toHaveLength(12 * many + 8);
  });

  test("takes a v4-mapped address for the IPv4 address, on a socket of the other family", async () => {
    const { reauthorizer, revoked } = rig({ open: { 1: [socketTo(...LEDGER, { family: 6 })] } });
    reauthorizer.learn(runs()(parts));
    await reauthorizer.look();
    expect(revoked).toMatchObject([{ layer: "connect6", connection: { remote: { address: "192.0.2.10" } } }]);
  });

  test("leaves alone what the pod accepted, what the agent has, and what has ended by itself", async () => {
    const accepted = socketTo(...LEDGER, { beyondPayload: 0 });
    const proxys = socketTo(...LEDGER, { inode: 77n });
    const { reauthorizer, revoked, left } = rig({
      open: { 1: [accepted, proxys] },
      ended: { 1: [socketTo(...LEDGER)] },
      own: [77n],
    });
    reauthorizer.learn(runs()(parts));
    await reauthorizer.look();
    expect(revoked).toEqual([]);
    expect(left()).toEqual([accepted, proxys]);
  });

  test("asks again who dialled what was sending, and ends what never pauses or was accepted but once", async () => {
    const settles = socketTo(...LEDGER, { beyondPayload: -1448 });
    const sends = socketTo(...LEDGER, { beyondPayload: 2896 });
    const doubtful = socketTo(...LEDGER, { beyondPayload: 0 });
    let reads = 0;
    const { reauthorizer, left } = rig({
      open: { 1: [settles, sends, doubtful] },
      onRead: (cookie, tables) => {
        if (cookie === 1n && ++reads === 2) {
          tables.set(1n, [{ ...settles, beyondPayload: 0 }, sends, { ...doubtful, beyondPayload: 1 }]);
        }
      },
    });
    reauthorizer.learn(runs()(parts));
    await reauthorizer.look();
    await expect.poll(() => left().map(({ cookie }) => cookie)).toEqual([settles.cookie]);
    expect(reads).toBe(4);
  });

  test("judges a forwarded socket by what was dialled", async () => {
    const socket = socketTo("192.0.2.99", 81);
    const dialled = { address: "192.0.2.10", port: 80 };
    const target = { address: "192.0.2.99", port: 81 };
    const { reauthorizer, revoked } = rig({
      open: { 1: [socket] },
      forwarded: new Map([[socket.cookie, { dialled, target }]]),
    });
    reauthorizer.learn(runs()(parts));
    await reauthorizer.look();
    expect(revoked).toMatchObject([{ connection: { dialled, remote: { address: "192.0.2.99", port: 81 } } }]);
  });

  test("ends connections of the proxy, which had not ended by themselves", async () => {
    const at = { address: "192.0.2.10", port: 80 };
    const client = { address: "203.0.113.5", port: 40_000 };
    const ends: string[] = [];
    const through = (podUid: string, there: boolean): ProxiedConnection => ({
      podUid,
      client,
      dialled: at,
      remote: at,
      end: () => {
        ends.push(podUid);
        return there;
      },
    });
    const { reauthorizer, revoked } = rig({
      proxied: [
        through(sandbox.uid, true),
        through(sandbox.uid, false),
        through(payments.uid, true),
        through("nobody's", true),
      ],
    });
    reauthorizer.learn(runs()(parts));
    await reauthorizer.look();
    expect(ends).toEqual([sandbox.uid, sandbox.uid]);
    expect(revoked).toMatchObject([{ layer: "proxy", decision: { reason: "rule" } }]);
  });
});

describe("looks", () => {
  test("come twice after a change, and not without one", async () => {
    const { reauthorizer, asked } = rig({});
    const run = runs();
    expect(await reauthorizer.look()).toBeUndefined();
    reauthorizer.learn(run(parts));
    expect(await reauthorizer.look()).toBeGreaterThan(0);
    expect(await reauthorizer.look()).toBeUndefined();
    expect(await reauthorizer.look()).toBeUndefined();
    expect(asked).toHaveLength(4);
    expect(reauthorizer.learn(run(parts))).toBe(false);
    expect(reauthorizer.learn(run(parts, 1))).toBe(true);
  });

  test("come to pods that cannot be read until they can, without keeping the others waiting", async () => {
    const socket = socketTo(...LEDGER);
    let broken = true;
    const { reauthorizer, revoked } = rig({
      open: { 1: [socketTo(...LEDGER)], 3: [socket] },
      onRead: (cookie) => {
        if (cookie === 1n && broken) throw new Error("ask the broker: it is not there");
      },
    });
    reauthorizer.learn(runs()({ ...parts, localPods: [sandbox, payments, localPod("sandbox/other")] }));
    expect(await reauthorizer.look()).toBeGreaterThan(0);
    expect(revoked).toMatchObject([{ pod: { name: "other" } }]);
    await expect(reauthorizer.look()).rejects.toThrow("of 1 pods: ask the broker: it is not there");
    await expect(reauthorizer.look()).rejects.toThrow();
    broken = false;
    await reauthorizer.look();
    expect(revoked).toHaveLength(2);
    expect(await reauthorizer.look()).toBeUndefined();
  });

  test("come again to a pod with very many that could not be read to the end, when none waited for it", async () => {
    let reads = 0;
    const { reauthorizer, left } = rig({
      open: { 1: Array.from({ length: 500 }, () => socketTo(...LEDGER)) },
      // The first reading ends some, so it is read again; and once more for the second look.
      onRead: () => {
        reads++;
        if (reads === 2 || reads === 3) throw new Error("ask the broker: it is not there");
      },
    });
    reauthorizer.learn(runs()({ ...parts, localPods: [sandbox] }));
    await reauthorizer.look();
    await reauthorizer.look();
    await expect.poll(() => reads, { timeout: 5000 }).toBe(3);
    expect(left().length).toBeGreaterThan(0);
    await expect(reauthorizer.look()).rejects.toThrow("of 1 pods: ask the broker: it is not there");
    await expect.poll(left, { timeout: 5000 }).toEqual([]);
  });

  test("come again and again where a policy reads the time, to pods that have undecided verdicts, until none reads it", async () => {
    const [sandboxs, payments1] = [socketTo(...LEDGER), socketTo(...LEDGER)];
    let now = Date.parse("2026-11-21T17:59:58Z");
    const { reauthorizer, revoked, asked, left } = rig({
      open: { 1: [sandboxs], 2: [payments1] },
      now: () => now,
    });
    const closing = 'conn.k8s.pod.metadata.namespace == "sandbox" && time.now >= "2026-11-21T18"';
    const rules = [{ expressions: [closing], actions: [{ type: "deny" }] }];
    const run = runs();
    const timed = run({ ...parts, connectionPolicies: [connectionPolicy("payments/p", ["ledger"], rules)] });
    reauthorizer.learn({ ...timed, undecided: { pods: new Set(), namespaces: new Set(["sandbox"]) } });
    await reauthorizer.look();
    expect(await reauthorizer.look()).toBe(2000);
    expect(asked.splice(0)).toHaveLength(4);
    expect(await reauthorizer.look()).toBe(2000);
    expect(asked).toEqual(["poduid-of-sandbox/web 1"]);
    expect(revoked).toEqual([]);
    now += 2000;
    expect(await reauthorizer.look()).toBe(2000);
    expect(revoked).toMatchObject([{ pod: { namespace: "sandbox" }, decision: { reason: "rule" } }]);
    expect(left()).toEqual([payments1]);
    reauthorizer.learn(run({ ...parts, connectionPolicies: [] }));
    await reauthorizer.look();
    await reauthorizer.look();
    expect(await reauthorizer.look()).toBeUndefined();
  });

  describe("at a pod on the node's network", () => {
    const localPods = [localPod("sandbox/host", { hostNetwork: true })];

    test("ask for what each of its directories has made in the node's namespace", async () => {
      const { reauthorizer, asked, revoked, left } = rig({
        open: { 7: [socketTo(...LEDGER), socketTo("192.0.2.99", 80)] },
        nodeNetnsCookie: 7n,
      });
      const { registration, ...run } = runs()({ ...parts, localPods });
      const registered = registration.registered.map((pod) => ({
        ...pod,
        cgroupPaths: [...pod.cgroupPaths, "/kubepods/burstable/other"],
      }));
      reauthorizer.learn({ ...run, registration: { ...registration, registered } });
      await reauthorizer.look();
      expect(asked).toEqual(["poduid-of-sandbox/host 7", "burstable/other 7"]);
      expect(revoked).toMatchObject([{ pod: { name: "host" }, decision: { reason: "rule" } }]);
      expect(left()).toHaveLength(1);
    });

    test("do not come where nobody knows which namespace that is", async () => {
      const { reauthorizer, asked } = rig({ open: { 1: [socketTo(...LEDGER)] } });
      reauthorizer.learn(runs()({ ...parts, localPods }));
      await reauthorizer.look();
      expect(asked).toEqual([]);
    });

    test("do not come again for time alone: what hangs on it is refused there at any", async () => {
      const { reauthorizer, asked } = rig({ nodeNetnsCookie: 7n });
      const timed = connectionPolicy(
        "payments/p",
        ["ledger"],
        [
          {
            expressions: ['timestamp(time.now) > timestamp("2001-01-01T00:00:00Z")'],
            actions: [{ type: "deny" }],
          },
        ],
      );
      const run = runs()({ connectionPolicies: [timed], localPods });
      reauthorizer.learn({ ...run, undecided: { pods: new Set(), namespaces: new Set(["sandbox"]) } });
      for (let look = 0; look < 4; look++) await reauthorizer.look();
      expect(asked).toHaveLength(2);
    });
  });
});
