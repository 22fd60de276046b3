/** Clients that connect and then say nothing, or next to nothing, by the thousand. Trust test 44. */
import { readdirSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { NODE_IPV4 } from "../lab/addresses.ts";
import { pidsOf } from "../lab/cgroup.ts";
import { must } from "../lab/command.ts";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { both } from "./support/attempt.ts";
import { makePair } from "./support/certificates.ts";
import { denyAll, denyWhere, tlsEndpoint } from "./support/endpoints.ts";
import { METRICS_PORT, scrape } from "./support/metrics.ts";
import { guard, namespaces, pod, server } from "./support/objects.ts";
import { python, startPython } from "./support/python.ts";
import { sizes } from "./support/sizes.ts";
import { openStage, type Stage } from "./support/stage.ts";

const DESCRIPTORS = 1024;
const ATTEMPTS = 10_000;
const HANDSHAKE_MS = 2000;
const IDLE_MS = 3000;
const ATTACK_S = 6;
/** Pods, and in which ways they connect. */
const ATTACKERS = { mute: "silent,slow", dull: "quiet,drip", mixed: "silent,quiet,slow,drip" };

/**
 * Dials again and again, and keeps what it gets. silent, slow: TLS of which nothing comes, or a byte a second; quiet, drip:
 * the same of a plain connection. In the end says what became of them.
 */
const ATTACK = `
import resource, itertools
from collections import Counter
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
seconds, attempts, kinds = float(arguments[2]), int(arguments[3]), arguments[4].split(",")
hello = bytes.fromhex("1603010200010001fc0303") + bytes(200)
came, ended, longest, slowest, most = Counter(), Counter(), Counter(), 0.0, 0
held, poll = {}, select.poll()
begin = drip = time.monotonic()
def look():
    for number, event in poll.poll(0):
        made, kind, since, sent = held.pop(number)
        poll.unregister(number)
        ended[kind + " " + (sent[1] or outcome(lambda: made.recv(100) and "data") or "closed")] += 1
        longest[kind] = max(longest[kind], time.monotonic() - since)
        made.close()
def feed():
    for made, kind, since, sent in held.values():
        if kind in ("slow", "drip"):
            sent[0] += 1
            sent[1] = outcome(lambda: made.send(hello[sent[0]:sent[0] + 1]) and None)
for turn, kind in zip(itertools.count(), itertools.cycle(kinds)):
    now = time.monotonic()
    if now - begin > seconds: break
    if turn >= attempts * (now - begin) / seconds: time.sleep(0.002)
    if now - drip > 1:
        drip = now
        feed()
    if turn % 16 == 0: look()
    made = socket.socket()
    made.settimeout(5)
    start = time.monotonic()
    answer = outcome(lambda: made.connect((arguments[0 if kind in ("silent", "slow") else 1], 80)) or "connected")
    slowest = max(slowest, time.monotonic() - start)
    came[answer] += 1
    if answer == "connected":
        poll.register(made, select.POLLIN)
        held[made.fileno()] = (made, kind, start, [0, None])
    else:
        made.close()
    most = max(most, len(held))
look()
say({"came": came, "ended": ended, "longest": longest, "slowest": slowest, "most": most})`;

interface Attacked {
  readonly came: Readonly<Record<string, number>>;
  /** `kind error`, how often. */
  readonly ended: Readonly<Record<string, number>>;
  /** Of each kind, in seconds, until the other side ended it. */
  readonly longest: Readonly<Record<string, number>>;
  /** A connect(), in seconds. */
  readonly slowest: number;
  readonly most: number;
}

let stage: Stage;
const address = (name: string) => stage.service(`${name}.bank:80`).IPv4;
const container = (name: string) => stage.lab.pod("podgate-system", stage.agent).containerCgroup(name);
const pids = () => ["agent", "socket-broker"].flatMap((name) => pidsOf(container(name)));
const descriptors = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;
const counts = () => scrape(stage.lab.names.nodeNetns);
const METRICS = ["--metrics-address", `${NODE_IPV4}:${METRICS_PORT}`];

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  const { certificate, key } = makePair({ subject: "/CN=vault.bank", names: "DNS:vault.bank" });
  const config = { server_private_key: key, server_certificate: certificate };
  const vault = tlsEndpoint("bank/vault", [{ actions: [{ type: "terminate-tls", config }] }]);
  stage = await openStage("exhaustion", [
    namespaces("bank", "shop"),
    ["vault", "open", "direct", "closed"].flatMap((name) => server("bank", name)),
    [...Object.keys(ATTACKERS), "client"].map((name) => pod("shop", name)) as KubeObject[],
    [
      vault,
      guard("bank", "open", [denyWhere("conn.client_port == 1")]),
      guard("bank", "direct", [denyWhere('conn.k8s.pod.metadata.namespace == "nowhere"')]),
      guard("bank", "closed", [denyAll]),
    ] as unknown as KubeObject[],
  ]);
});

afterAll(async () => {
  await stage?.close();
});

/** From a pod that does no harm: the kernel's verdicts, and the proxy's, of plain connections and of TLS. */
async function serves(from: string): Promise<void> {
  const { said } = await python<unknown>(
    stage.pod(from),
    `
import ssl
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
start = time.monotonic()
saw = [outcome(lambda: talk(connect(address, 80))) for address in arguments[:3]]
say(saw + [outcome(lambda: talk(context.wrap_socket(connect(arguments[3], 80))))])
say(time.monotonic() - start < 3)`,
    ...["direct", "closed", "open", "vault"].map(address),
  );
  expect(said).toEqual([["bank/direct", "EPERM", "bank/open", "bank/vault"], true]);
}

describe.skipIf(obstacle() !== undefined)("44: half-open connections", () => {
  afterEach(() => stage.stopAgent(), 30_000);

  test(`in ${ATTEMPTS} attempts leave an agent and a broker of ${DESCRIPTORS} descriptors alive, and others served`, async () => {
    const timeouts = ["--tls-handshake-timeout", `${HANDSHAKE_MS}ms`, "--idle-timeout", `${IDLE_MS}ms`];
    await stage.startAgentWith(DESCRIPTORS, ...timeouts, "--drain-timeout", "0", ...METRICS);
    const all = ["client", ...Object.keys(ATTACKERS)].map((name) => `shop/${name}`);
    for (const from of all) await stage.until(from, "open.bank:80", both({ saw: "bank/open" }));
    const processes = pids();
    const before = processes.map(descriptors);
    const attacks = Object.entries(ATTACKERS).map(([name, kinds]) =>
      startPython<Attacked>(
        stage.pod(`shop/${name}`),
        ATTACK,
        address("vault"),
        address("open"),
        ATTACK_S,
        Math.ceil(ATTEMPTS / 3),
        kinds,
      ),
    );
    const most = [...before];
    const sampling = setInterval(() => {
      for (const [at, pid] of processes.entries()) most[at] = Math.max(most[at] ?? 0, descriptors(pid));
    }, 20);
    let results: Attacked[] = [];
    let rounds = 0;
    try {
      let isOver = false;
      const ended = Promise.all(attacks.map(({ next }) => next())).finally(() => {
        isOver = true;
      });
      for (; !isOver; rounds++) await serves("shop/client");
      results = await ended;
    } finally {
      clearInterval(sampling);
      for (const { end } of attacks) end();
    }
    const sum = (of: (attacked: Attacked) => Readonly<Record<string, number>>, key: RegExp) =>
      results
        .flatMap((result) => Object.entries(of(result)))
        .reduce((total, [name, count]) => total + (key.test(name) ? count : 0), 0);
    console.log(`descriptors: ${before} before, ${most} at most; ${rounds} rounds of somebody else`);
    expect(rounds).toBeGreaterThan(5);
    // Nothing but an answer at once: refused by the kernel, or accepted and then reset.
    expect(sum(({ came }) => came, /./)).toBeGreaterThan(ATTEMPTS * 0.9);
    expect(sum(({ came }) => came, /^(?!connected$|EPERM$)/)).toBe(0);
    expect(sum(({ came }) => came, /^EPERM$/)).toBeGreaterThan(ATTEMPTS / 2);
    expect(Math.max(...results.map(({ slowest }) => slowest))).toBeLessThan(1);
    expect(sum(({ ended }) => ended, / (?!ECONNRESET$)/)).toBe(0);
    // What says nothing is ended, and TLS of which a byte a second comes; a byte a second keeps what is joined.
    for (const { longest } of results) {
      for (const kind of ["silent", "slow"]) expect(longest[kind] ?? 0).toBeLessThan(HANDSHAKE_MS / 1000 + 1);
      expect(longest.quiet ?? 0).toBeLessThan(IDLE_MS / 1000 + 1);
    }
    for (const [kind, ms] of Object.entries({ silent: HANDSHAKE_MS, slow: HANDSHAKE_MS, quiet: IDLE_MS }))
      expect(Math.max(...results.map(({ longest }) => longest[kind] ?? 0))).toBeGreaterThan(ms / 1000 - 0.1);
    expect(Math.max(...most)).toBeLessThan(DESCRIPTORS);
    expect(pids()).toEqual(processes);
    const log = await stage.log();
    expect(log.match(/"msg":"fewer proxied connections than asked for[^"]*"/g)).toHaveLength(1);
    expect(log).toMatch(
      /"open_files":1024,"per_pod":64,"in_all":256,"pending_per_pod":32,"pending_in_all":128/,
    );
    expect(log).not.toMatch(/EMFILE|may open no more|socket broker is away|has no listener/);
    const now = await counts();
    expect(now('podgate_verdicts_total{verdict="deny",reason="over-limit"}')).toBeGreaterThan(ATTEMPTS / 2);
    expect(now("podgate_proxy_connections_limit")).toBe(256);
    await stage.lab.waitFor("every socket to be closed", () =>
      processes.every((pid, at) => descriptors(pid) <= (before[at] ?? 0) + 2),
    );
    for (const from of all) await serves(from);
  });

  test("when there are no descriptors all the same cost those whom the proxy decides, not its life", async () => {
    await stage.startAgent("--drain-timeout", "0");
    for (const from of ["shop/client", "shop/mixed"])
      await stage.until(from, "open.bank:80", both({ saw: "bank/open" }));
    const processes = pids();
    const [agent = 0] = processes;
    const before = descriptors(agent);
    const limit = (files: number) => must(["prlimit", `--pid=${agent}`, `--nofile=${files}:`]);
    const soft = await must(["prlimit", `--pid=${agent}`, "--nofile", "--noheadings", "--output=SOFT"]);
    await limit(before + 5);
    const attack = startPython<Attacked>(
      stage.pod("shop/mixed"),
      ATTACK,
      address("vault"),
      address("open"),
      2,
      200,
      ATTACKERS.mixed,
    );
    try {
      await stage.lab.waitFor("no descriptor to be left", () => descriptors(agent) >= before + 5);
      for (let round = 0; round < 10; round++) {
        const { said } = await python<string>(
          stage.pod("shop/client"),
          `for address in arguments: say(outcome(lambda: connect(address, 80) and "connected"))`,
          address("direct"),
          address("closed"),
        );
        expect(said).toEqual(["connected", "EPERM"]);
      }
      await attack.next();
    } finally {
      attack.end();
      await limit(Number(soft));
    }
    await stage.until("shop/client", "open.bank:80", both({ saw: "bank/open" }));
    await serves("shop/client");
    expect(pids()).toEqual(processes);
  });

  test(`${sizes.halfOpenConnections} at once end with the time for their handshake, and others are served meanwhile`, {
    timeout: 300_000,
  }, async () => {
    const many = sizes.halfOpenConnections;
    const seconds = 3 + Math.ceil(many / 200);
    const caps = ["per-pod", "pending-per-pod", "pending-in-all", "tls-per-pod", "tls-in-all"];
    await stage.startAgent(
      ...caps.flatMap((cap) => [`--proxy-${cap}`, "10000"]),
      ...["--proxy-in-all", "9700", "--tls-handshake-timeout", `${seconds}s`, "--drain-timeout", "0"],
    );
    for (const from of ["shop/client", "shop/mute"])
      await stage.until(from, "open.bank:80", both({ saw: "bank/open" }));
    const [agent = 0] = pids();
    const before = descriptors(agent);
    const held = startPython<number | Record<string, number>>(
      stage.pod("shop/mute"),
      `
import resource
from collections import Counter
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
made = [connect(arguments[0], 80) for number in range(int(arguments[1]))]
say(len(made))
say(Counter(outcome(lambda: each.recv(1) and "data" or "closed") for each in made if each.settimeout(60) is None))`,
      address("vault"),
      many,
    );
    try {
      expect(await held.next()).toBe(many);
      const patience = { timeoutMs: 1000 * seconds };
      await stage.lab.waitFor("all to be accepted", () => descriptors(agent) >= before + many, patience);
      await serves("shop/client");
      expect(await held.next()).toEqual({ ECONNRESET: many });
      await stage.lab.waitFor("every socket to be closed", () => descriptors(agent) <= before + 2);
    } finally {
      held.end();
    }
    await serves("shop/mute");
  });
});
