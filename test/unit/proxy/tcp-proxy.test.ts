import { beforeEach, describe, expect, test } from "vitest";
import type { Pump, PumpEnd } from "../../../agent/dataplane/native.ts";
import { PrivateKey, type TlsSession, type TlsSettings } from "../../../agent/model/tls.ts";
import type { SecuredEnd } from "../../../agent/proxy/connecting.ts";
import type { Secured } from "../../../agent/proxy/handshake.ts";
import { type Outcome, type Ruling, TcpProxy, type Undecided } from "../../../agent/proxy/tcp-proxy.ts";

const place = { cgroup: "pod1", cookie: 5n, podUid: "uid-1" };
const entry: Undecided = {
  time: 0n,
  cgroup: 9n,
  pod: 1,
  guard: 2,
  pid: 3,
  comm: "curl",
  dialled: { address: "10.96.0.1", port: 80 },
};
const allow: Ruling = { action: "allow", reason: "rule", target: { address: "10.96.0.1", port: 80 } };
const SOURCE = Buffer.from("00000000000000000000ffff7f000001", "hex");
const CLIENT = 10;
const UPSTREAM = 20;

/** The kernel's side of the proxy: what was done to which descriptor. */
class World {
  readonly done: string[] = [];
  readonly outcomes: Outcome[] = [];
  readonly pumped = new Map<number, (end: PumpEnd) => void>();
  ruling: Ruling = allow;
  /** When TLS has been terminated. */
  afterwards: Ruling = { ...allow, endsTls: true };
  taken: Undecided | undefined = entry;
  bootTime = 0n;
  socket: () => Promise<number> = () => Promise.resolve(UPSTREAM);
  /** Says why not, if it does not. */
  connect: (done: (code?: string) => void) => void = (done) => done();
  bindError: string | undefined;
  pumpFails = false;
  decisions = 0;
  /** How long each takes. */
  decisionMs = 0;
  shake: (signal: AbortSignal) => Promise<Secured> = () => Promise.reject(new Error("no handshake"));

  /** `all`: of each of the three. */
  proxy(limits: { perPod?: number; pending?: number; tls?: number; all?: number } = {}): TcpProxy {
    const { perPod = 10, pending = 10, tls = 10, all = 100 } = limits;
    return new TcpProxy({
      native: {
        resetSocket: (fd) => this.done.push(`reset ${fd}`),
        closeDescriptor: (fd) => this.done.push(`close ${fd}`),
        bindSource: (fd, address) => {
          this.done.push(`bind ${fd} ${Buffer.from(address).toString("hex")}`);
          if (this.bindError !== undefined) throw new Error(this.bindError);
        },
        connectTcp: (fd, address, port, timeout, done) => {
          this.done.push(`connect ${fd} ${Buffer.from(address).toString("hex")} ${port} ${timeout}`);
          this.connect((code) =>
            done(code === undefined ? undefined : Object.assign(new Error(), { code, operation: "connect" })),
          );
          return { close: () => this.done.push(`abandon ${fd}`) };
        },
      },
      pump: this.#pump(),
      sockets: {
        socket: (_, family) => {
          this.done.push(`socket ${family}`);
          return this.socket();
        },
      },
      take: () => this.taken,
      decide: ({ tls }) => {
        this.decisions++;
        const until = performance.now() + this.decisionMs;
        while (performance.now() < until);
        return tls === undefined ? this.ruling : this.afterwards;
      },
      onOutcome: (outcome) => this.outcomes.push(outcome),
      bootTime: () => this.bootTime,
      longestWaitMs: 5000,
      shakeHands: (fd, _, options) => {
        this.done.push(`shake hands ${fd} ${options.timeoutMs}`);
        return this.shake(options.signal);
      },
      handshakeTimeoutMs: 7000,
      connectTimeoutMs: 10_000,
      idleMs: 0,
      open: { perPod, all },
      pending: { perPod: pending, all },
      tls: { perPod: tls, all },
      onFull: () => {},
    });
  }

  #pump(): Pump {
    let id = 0;
    return {
      start: (client, upstream, { connect: way }, onEnd) => {
        if (this.pumpFails || way === undefined) throw new Error("pump: EBADF");
        const { address, port, timeoutMs } = way;
        this.done.push(`connect ${upstream} ${Buffer.from(address).toString("hex")} ${port} ${timeoutMs}`);
        const own = ++id;
        this.pumped.set(own, onEnd);
        queueMicrotask(() =>
          this.connect((error) => {
            if (error === undefined) {
              this.done.push(`pump ${client} ${upstream}`);
              way.onConnected();
            } else if (this.pumped.delete(own)) onEnd({ up: 0n, down: 0n, how: "unconnected", error });
          }),
        );
        return own;
      },
      stop: (ended) => {
        const onEnd = this.pumped.get(ended);
        if (onEnd !== undefined) this.done.push(`stop ${ended}`);
        this.pumped.delete(ended);
        onEnd?.({ up: 0n, down: 0n, how: "stopped" });
      },
      size: 0,
      close: () => {},
    };
  }

  end(): void {
    for (const [id, onEnd] of this.pumped) {
      this.pumped.delete(id);
      onEnd({ up: 1n, down: 1n, how: "closed" });
    }
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
let world: World;
beforeEach(() => {
  world = new World();
});

test("an allowed connection is joined with a socket that was made in its pod", async () => {
  const proxy = world.proxy();
  proxy.accept(place, 4, CLIENT, { address: SOURCE, port: 4000 });
  await turn();
  expect(world.done).toEqual([
    "socket 4",
    "connect 20 00000000000000000000ffff0a600001 80 10000",
    "pump 10 20",
  ]);
  expect(world.outcomes).toEqual([
    { caller: { entry, podUid: "uid-1", client: { address: SOURCE, port: 4000 } }, ruling: allow },
  ]);
  expect(world.decisions).toBe(1);
  expect(proxy.open.size).toBe(1);
  world.end();
  expect(proxy.open.size).toBe(0);
});

const OWN4 = Buffer.from("00000000000000000000ffff0a010001", "hex");
const OWN6 = Buffer.from("fd770000000000000000000000000001", "hex");
const LOOPBACK6 = Buffer.from("00000000000000000000000000000001", "hex");
const OTHER_LOOPBACK4 = Buffer.from("00000000000000000000ffff7f000009", "hex");

test.each([
  ["an address of its own", 4, OWN4],
  ["one of its own in IPv6", 6, OWN6],
] as const)("a client that has chosen %s keeps it", async (_, family, source) => {
  world.proxy().accept(place, family, CLIENT, { address: source, port: 4000 });
  await turn();
  expect(world.done.slice(0, 2)).toEqual(["socket 4", `bind 20 ${source.toString("hex")}`]);
  expect(world.done.at(-1)).toBe("pump 10 20");
});

test.each([SOURCE, OTHER_LOOPBACK4, LOOPBACK6])("a client at loopback has chosen none", async (source) => {
  world.proxy().accept(place, 4, CLIENT, { address: source, port: 4000 });
  await turn();
  expect(world.done.filter((done) => done.startsWith("bind"))).toEqual([]);
});

describe("the client is reset", () => {
  const resets = async (outcome: object | undefined, proxy = world.proxy()) => {
    proxy.accept(place, 4, CLIENT, { address: SOURCE, port: 4000 });
    await turn();
    expect(world.done.at(-1)).toBe("reset 10");
    expect(world.done.filter((done) => done.startsWith("pump"))).toEqual([]);
    expect(world.outcomes).toMatchObject(outcome === undefined ? [] : [outcome]);
    expect(proxy.open.size).toBe(0);
    return proxy;
  };

  test("if the kernel had not sent it, and nobody is told", async () => {
    world.taken = undefined;
    expect((await resets(undefined)).counts.refused).toEqual(new Map([["stray", 1]]));
  });

  test("if it is denied", async () => {
    world.ruling = { action: "deny", reason: "rule", rule: 2 };
    await resets({ ruling: { action: "deny", reason: "rule", rule: 2 } });
    expect(world.done).toEqual(["reset 10"]);
  });

  test.each<[string, Ruling, object]>([
    ["nobody could decide", { action: "proxy", reason: "pending" }, { action: "deny", reason: "pending" }],
    [
      "an allow leads nowhere",
      { action: "allow", reason: "rule" },
      { action: "deny", reason: "target-not-routable" },
    ],
  ])("if %s", async (_, ruling, outcome) => {
    world.ruling = ruling;
    await resets({ ruling: outcome });
  });

  test("27: if it has waited for longer than an agent may be away", async () => {
    world.bootTime = 5_000_000_001n;
    await resets({ ruling: { action: "deny", reason: "agent-down" } });
  });

  test("if there is no socket for it, and the verdict stays what it was", async () => {
    world.socket = () => Promise.reject(new Error("ask the broker: it is not there"));
    await resets({ ruling: allow, error: "ask the broker: it is not there" });
  });

  test.each([
    ["ECONNREFUSED", "connect to 10.96.0.1:80: it refuses (ECONNREFUSED)"],
    ["ETIMEDOUT", "connect to 10.96.0.1:80: no answer in 10 s"],
    ["ENETUNREACH", "connect to 10.96.0.1:80: ENETUNREACH"],
  ])("by the pump if the upstream says %s, and its pod's room is given back", async (code, error) => {
    const proxy = world.proxy();
    world.connect = (done) => done(code);
    proxy.accept(place, 4, CLIENT, { address: SOURCE, port: 4000 });
    await turn();
    expect(world.outcomes).toMatchObject([{ ruling: allow, error }]);
    expect(proxy.open.size).toBe(0);
    expect(proxy.counts).toMatchObject({ open: { used: 0 }, pending: { used: 0 } });
  });

  test("if the address that it had is not its pod's any more", async () => {
    world.bindError = "bind to a source address: EADDRNOTAVAIL";
    const proxy = world.proxy();
    proxy.accept(place, 4, CLIENT, { address: OWN4, port: 4000 });
    await turn();
    expect(world.done.slice(-2)).toEqual(["close 20", "reset 10"]);
    expect(world.outcomes).toMatchObject([{ error: world.bindError }]);
    expect(proxy.open.size).toBe(0);
  });

  test("if the two cannot be joined", async () => {
    world.pumpFails = true;
    await resets({ error: "pump: EBADF" });
    expect(world.done).toContain("close 20");
  });

  test("if its pod has too many, and later not any more", async () => {
    const proxy = world.proxy({ perPod: 1 });
    proxy.accept(place, 4, 11, { address: SOURCE, port: 3999 });
    await turn();
    proxy.accept(place, 4, CLIENT, { address: SOURCE, port: 4000 });
    expect(world.outcomes.at(-1)).toMatchObject({ ruling: { action: "deny", reason: "over-limit" } });
    world.end();
    proxy.accept(place, 4, 12, { address: SOURCE, port: 4001 });
    await turn();
    expect(world.done.filter((done) => !done.startsWith("connect"))).toEqual([
      "socket 4",
      "pump 11 20",
      "reset 10",
      "socket 4",
      "pump 12 20",
    ]);
  });

  test("if too many of its pod wait to be connected", async () => {
    const proxy = world.proxy({ pending: 1 });
    world.connect = () => {};
    proxy.accept(place, 4, 11, { address: SOURCE, port: 3999 });
    proxy.accept(place, 4, CLIENT, { address: SOURCE, port: 4000 });
    expect(world.outcomes).toMatchObject([{ ruling: { action: "deny", reason: "over-limit" } }]);
    expect(proxy.open.size).toBe(1);
  });
});

test("room that a refused connection took is given back", async () => {
  const proxy = world.proxy({ perPod: 1, pending: 1 });
  for (const ruling of [{ action: "deny", reason: "rule" } as const, allow]) {
    world.ruling = ruling;
    world.connect = (done) => done("ECONNREFUSED");
    for (let i = 0; i < 3; i++) {
      proxy.accept(place, 4, CLIENT, { address: SOURCE, port: 4000 });
      await turn();
    }
  }
  expect(world.outcomes.map(({ ruling }) => ruling.reason)).not.toContain("over-limit");
});

test("a connection can be stopped while it is being made, and while it is open", async () => {
  const proxy = world.proxy();
  const { promise: later, resolve: socketCame } = Promise.withResolvers<number>();
  world.socket = () => later;
  proxy.accept(place, 6, CLIENT, { address: SOURCE, port: 4000 });
  const [stopped] = proxy.open;
  stopped?.stop();
  stopped?.stop();
  expect(world.done).toEqual(["socket 4", "reset 10"]);
  socketCame(UPSTREAM);
  await turn();
  expect(world.done).toEqual(["socket 4", "reset 10", "close 20"]);
  world.connect = () => {};
  proxy.accept(place, 6, CLIENT, { address: SOURCE, port: 4000 });
  await turn();
  for (const { stop } of proxy.open) stop();
  expect(world.outcomes).toMatchObject([
    { ruling: allow, error: "stopped" },
    { ruling: allow, error: "stopped" },
  ]);
  expect(proxy.counts).toMatchObject({ open: { used: 0 }, pending: { used: 0 } });
  world.connect = (done) => done();
  proxy.accept(place, 6, CLIENT, { address: SOURCE, port: 4000 });
  await turn();
  for (const { stop } of proxy.open) stop();
  expect(proxy.open.size).toBe(0);
});

test("draining waits for the last connection, and no longer than it may", async () => {
  const proxy = world.proxy();
  await proxy.drain(10_000);
  proxy.accept(place, 4, CLIENT, { address: SOURCE, port: 4000 });
  await turn();
  const drained = proxy.drain(10_000);
  world.end();
  await drained;
  proxy.accept(place, 4, CLIENT, { address: SOURCE, port: 4000 });
  await turn();
  await proxy.drain(1);
  expect(proxy.open.size).toBe(0);
});

describe("when all room is taken, a pod that has fewer takes that of the last of another", () => {
  const settings = { clients: "ignore" } as TlsSettings;
  const wanted: Ruling = { action: "proxy", reason: "pending", handshake: settings };
  const end: SecuredEnd = {
    join: () => () => {},
    reset: () => world.done.push("reset TLS"),
  };
  const session = { settings } as TlsSession;
  /** Two of one pod, the second of which is in the state that is asked about, and then one of another. */
  const displace = async (before: () => void | Promise<void>, proxy = world.proxy({ all: 2 })) => {
    proxy.accept(place, 4, 11, { address: SOURCE, port: 4001 });
    if (world.decisionMs === 0) await turn();
    proxy.accept(place, 4, 12, { address: SOURCE, port: 4002 });
    await before();
    world.ruling = allow;
    world.outcomes.length = 0;
    proxy.accept({ ...place, podUid: "uid-2", cookie: 6n }, 4, 13, { address: SOURCE, port: 4003 });
    await turn();
    await turn();
    const said = world.outcomes.map(({ caller, ruling }) => [caller.client.port, ruling]);
    expect(said.filter(([port]) => port !== 4001)).toEqual([
      [4002, { action: "deny", reason: "over-limit" }],
      [4003, allow],
    ]);
    expect(world.done.at(-1)).toBe("pump 13 20");
    expect(proxy.counts).toMatchObject({ open: { used: 2 }, pending: { used: 0 }, tls: { used: 0 } });
    expect(proxy.counts.refused).toEqual(new Map([["over-limit", 1]]));
    expect(proxy.open.size).toBe(2);
  };

  test("if it is open", async () => {
    await displace(async () => {
      await turn();
      expect(world.pumped.size).toBe(2);
    });
    expect([...world.pumped.keys()]).toEqual([1, 3]);
  });

  test("if it is being connected", async () => {
    const { connect } = world;
    await displace(async () => {
      world.connect = () => {};
      await turn();
      world.connect = connect;
    });
    // The pump resets both.
    expect(world.done).toContain("stop 2");
  });

  test("if it has not been decided", async () => {
    world.decisionMs = 15;
    await displace(() => {
      expect(world.decisions).toBe(1);
      world.decisionMs = 0;
    });
    expect(world.done).toContain("reset 12");
    expect(world.decisions).toBe(2);
  });

  test.each(["goes on", "has just been made"])("if a handshake %s", async (how) => {
    const proxy = world.proxy({ all: 2 });
    let made = (_: Secured) => {};
    world.shake = (signal) =>
      new Promise((resolve, reject) => {
        made = resolve;
        signal.addEventListener("abort", () => {
          if (how === "goes on") world.done.push("reset 12");
          reject(new Error("TLS handshake: the agent stops"));
        });
      });
    const { accept } = proxy;
    proxy.accept = (...what) => {
      world.ruling = what[2] === 12 ? wanted : allow;
      accept.apply(proxy, what);
    };
    await displace(async () => {
      await turn();
      if (how === "has just been made") made({ session, end });
    }, proxy);
    expect(world.done).toContain(how === "goes on" ? "reset 12" : "reset TLS");
  });

  test("but for none that its own pod may not have", async () => {
    const proxy = world.proxy({ all: 4, perPod: 3, pending: 1 });
    for (let i = 0; i < 3; i++) {
      proxy.accept(place, 4, 11 + i, { address: SOURCE, port: 4000 + i });
      await turn();
    }
    world.connect = () => {};
    const other = { ...place, podUid: "uid-2" };
    for (const fd of [21, 22]) proxy.accept(other, 4, fd, { address: SOURCE, port: 5000 + fd });
    await turn();
    expect(world.outcomes.slice(3)).toMatchObject([
      { caller: { podUid: "uid-2" }, ruling: { action: "deny", reason: "over-limit" } },
    ]);
    expect(proxy.open.size).toBe(4);
  });
});

describe("where TLS is to be terminated", () => {
  const settings: TlsSettings = {
    minVersion: "1.2",
    maxVersion: "1.3",
    certificate: "",
    key: new PrivateKey("hunter2"),
    authorities: [],
    clients: "ignore",
  };
  const session: TlsSession = {
    settings,
    version: "1.3",
    cipherSuite: "TLS_AES_128_GCM_SHA256",
    sni: "",
    server: Buffer.alloc(0),
  };
  const wanted: Ruling = {
    action: "proxy",
    reason: "pending",
    policy: { kind: "AgentEndpoint", namespace: "bank", name: "vault" },
    rule: 0,
    handshake: settings,
  };
  const end: SecuredEnd = {
    join: (upstream, _, onEnd) => {
      world.done.push(`join TLS ${upstream}`);
      world.pumped.set(99, () => onEnd());
      return () => onEnd();
    },
    reset: () => world.done.push("reset TLS"),
  };
  beforeEach(() => {
    world.ruling = wanted;
    world.shake = () => Promise.resolve({ session, end });
  });
  const accept = async (proxy = world.proxy()) => {
    proxy.accept(place, 4, CLIENT, { address: SOURCE, port: 4000 });
    await turn();
    return proxy;
  };

  test("it is decided again with what the handshake came to, and joined", async () => {
    const proxy = await accept();
    expect(world.done).toEqual([
      "shake hands 10 7000",
      "socket 4",
      "connect 20 00000000000000000000ffff0a600001 80 10000",
      "join TLS 20",
    ]);
    expect(world.outcomes).toMatchObject([{ caller: { tls: session }, ruling: { action: "allow" } }]);
    expect(world.decisions).toBe(2);
    expect(proxy.open.size).toBe(1);
    world.end();
    expect(proxy.open.size).toBe(0);
  });

  test.each([
    ["ECONNREFUSED", ["close 20", "reset TLS"], "connect to 10.96.0.1:80: it refuses (ECONNREFUSED)"],
    [undefined, ["abandon 20", "close 20", "reset TLS"], "stopped"],
  ])("it is reset when its server says %s, undefined: when it is stopped before, once", async (code, done, error) => {
    world.connect = (answer) => code !== undefined && answer(code);
    const proxy = await accept();
    const stops = [...proxy.open].map(({ stop }) => stop);
    for (const stop of [...stops, ...stops]) stop();
    expect(world.done.slice(3)).toEqual(done);
    expect(world.outcomes).toMatchObject([{ ruling: { action: "allow" }, error }]);
    expect(proxy.counts).toMatchObject({ open: { used: 0 }, pending: { used: 0 }, tls: { used: 0 } });
  });

  test("a later rule may deny", async () => {
    world.afterwards = { action: "deny", reason: "rule", rule: 1, endsTls: true };
    await accept();
    expect(world.done).toEqual(["shake hands 10 7000", "reset TLS"]);
    expect(world.outcomes).toMatchObject([{ ruling: { action: "deny", reason: "rule", rule: 1 } }]);
  });

  test("there is one handshake, and whoever wants another is refused", async () => {
    world.afterwards = wanted;
    await accept();
    expect(world.done).toEqual(["shake hands 10 7000", "reset TLS"]);
    expect(world.outcomes).toMatchObject([{ ruling: { action: "deny", reason: "pending" } }]);
  });

  test("plain text goes nowhere if no policy asks for it any more", async () => {
    world.afterwards = allow;
    await accept();
    expect(world.done).toEqual(["shake hands 10 7000", "reset TLS"]);
    expect(world.outcomes).toMatchObject([
      { ruling: { action: "deny", error: expect.stringMatching(/^no policy terminates TLS any more/) } },
    ]);
  });

  test("a handshake that fails is the policy's refusal, and gives its room back", async () => {
    world.shake = () => Promise.reject(new Error("TLS handshake: the client speaks HTTP, not TLS"));
    const proxy = world.proxy({ perPod: 1, pending: 1, tls: 1 });
    for (let i = 0; i < 3; i++) await accept(proxy);
    expect(world.outcomes).toHaveLength(3);
    for (const { ruling } of world.outcomes) {
      expect(ruling).toEqual({
        action: "deny",
        reason: "rule",
        policy: wanted.policy,
        rule: 0,
        error: "TLS handshake: the client speaks HTTP, not TLS",
      });
    }
  });

  test("it has a cap of its own, from the handshake to the end, which leaves room for others", async () => {
    const proxy = world.proxy({ tls: 1 });
    await accept(proxy);
    await accept(proxy);
    expect(world.outcomes).toMatchObject([
      { ruling: { action: "allow" } },
      { ruling: { action: "deny", reason: "over-limit" } },
    ]);
    expect(world.done.slice(-1)).toEqual([`reset ${CLIENT}`]);
    expect(proxy.counts).toMatchObject({
      open: { used: 1 },
      pending: { used: 0 },
      tls: { used: 1, limit: 100 },
    });
    world.ruling = allow;
    await accept(proxy);
    expect(proxy.counts).toMatchObject({ open: { used: 2 }, tls: { used: 1 } });
    world.pumped.get(99)?.({ up: 0n, down: 0n, how: "closed" });
    expect(proxy.counts).toMatchObject({ open: { used: 1 }, tls: { used: 0 } });
  });

  test("who is denied after the handshake gives its room back", async () => {
    world.afterwards = { action: "deny", reason: "rule", rule: 1, endsTls: true };
    const proxy = world.proxy({ perPod: 1, pending: 1, tls: 1 });
    for (let i = 0; i < 3; i++) await accept(proxy);
    expect(world.outcomes.map(({ ruling }) => ruling.reason)).toEqual(["rule", "rule", "rule"]);
  });

  test("a handshake counts as pending, and ends when the agent drains", async () => {
    world.shake = (signal) =>
      new Promise((_, reject) =>
        signal.addEventListener("abort", () => reject(new Error("the agent stops"))),
      );
    const proxy = world.proxy({ pending: 1 });
    await accept(proxy);
    await accept(proxy);
    expect(world.outcomes).toMatchObject([{ ruling: { reason: "over-limit" } }]);
    await proxy.drain(0);
    await turn();
    expect(world.outcomes.at(-1)).toMatchObject({ ruling: { action: "deny", error: "the agent stops" } });
  });

  test("nothing that is told can show the key", async () => {
    await accept();
    expect(world.outcomes).toHaveLength(1);
    expect(
      JSON.stringify(world.outcomes, (_, value) => (typeof value === "bigint" ? "" : value)),
    ).not.toContain("hunter2");
  });
});
