/** What the agent says about verdicts: one JSON line each, complete, safe to look at, and never in the way. */
import { readlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { leftovers } from "../lab/cleanup.ts";
import { type Lab, startLab } from "../lab/lab.ts";
import { obstacle } from "./rig.ts";
import { type AgentFlags, AgentProcess, podgate } from "./support/agent-process.ts";
import { lostEvents, verdictCount } from "./support/counters.ts";
import { dial, freshComm } from "./support/dial.ts";
import { dialMany, startFlood } from "./support/flood.ts";
import { denyOutside, forwardTo, guard, namespaces, pod, server, service } from "./support/objects.ts";
import { program } from "./support/programs.ts";
import { lineOf, logLines, verdictLines } from "./support/verdict-lines.ts";

const PORT = 8080;
const OUTSIDERS = '!(conn.k8s.pod.metadata.namespace in ["friends"])';

/** The kernel counts processes from there; elsewhere a test cannot know the number. */
const seesKernelPids = readlinkSync("/proc/self/ns/pid") === "pid:[4026531836]";

describe.skipIf(obstacle() !== undefined)("the verdict log", () => {
  let lab: Lab;
  let agent: AgentProcess | undefined;

  beforeAll(async () => {
    lab = await startLab({ name: `verdict-log-${process.pid}` });
    await lab.apply([
      ...namespaces("vault", "friends", "foes"),
      ...server("vault", "ledger"),
      guard("vault", "ledger", [{ name: "friends only", ...denyOutside("friends") }]),
      ...server("vault", "audited"),
      guard("vault", "audited", [denyOutside("friends")], { mode: "Audit" }),
      ...server("vault", "labelled"),
      guard("vault", "labelled", [
        {
          expressions: ['conn.k8s.pod.metadata.annotations["k8s.ngrok.com/tier"] != "gold"'],
          actions: [{ type: "deny" }],
        },
      ]),
      service("vault", "entrance", { selector: undefined }),
      guard("vault", "entrance", [forwardTo("http://ledger.vault.internal")]),
      pod("friends", "client"),
      pod("foes", "client"),
      pod("foes", "other"),
      pod("foes", "node-program", { hostNetwork: true }),
      pod("foes", "oversized", { annotations: { "k8s.ngrok.com/notes": "n".repeat(1025) } }),
    ]);
    await lab.settled();
  });

  afterEach(async () => {
    await agent?.end("SIGKILL");
    agent = undefined;
    // Counters and limits are pinned: each test has its own.
    const paths = ["--pin-path", lab.names.pinDir, "--state-dir", lab.names.stateDir];
    expect(await podgate(lab, "cleanup", ...paths)).toMatchObject({ status: 0, stderr: "" });
  });

  afterAll(async () => {
    await lab?.stop();
    if (lab !== undefined) expect(leftovers(lab.names)).toEqual([]);
  });

  const start = async (flags: AgentFlags = {}) => {
    agent = new AgentProcess(lab, flags);
    if (flags.unread !== true) await agent.ready();
    return agent;
  };
  const address = (name: string) => lab.pod("vault", name).ipv4;
  const foe = () => lab.pod("foes", "client");

  describe("has a line", () => {
    /** The whole line, with what varies from run to run checked and taken out. */
    async function lineFrom(namespace: string, name: string, to: string, port = PORT) {
      const from = lab.pod(namespace, name);
      const comm = freshComm();
      const hex = Buffer.from(comm).toString("hex");
      const before = Date.now();
      const child = from.spawn([program("dial"), hex, "connect", to, String(port)]);
      await new Promise((resolve) => child.once("exit", resolve));
      const after = Date.now();
      const { time, level, process, msg, ...rest } = await lineOf({ comm }, () => agent?.stdout ?? "");
      // The kernel's clock is read to 10 ms.
      expect(time).toBeGreaterThanOrEqual(before - 15);
      expect(time).toBeLessThanOrEqual(after + 15);
      expect({ level, msg }).toEqual({ level: 30, msg: "verdict" });
      if (seesKernelPids) expect(process?.pid).toBe(child.pid);
      const { uid } = from;
      if (rest.pod !== undefined) expect(rest.pod).toEqual({ namespace, name, uid });
      return { ...rest, pod: rest.pod && `${rest.pod.namespace}/${rest.pod.name}` };
    }

    test("for each verdict, with every field it should have and no other", async () => {
      await start();
      const policy = (name: string) => ({ kind: "ConnectionPolicy", namespace: "vault", name });
      const destination = (name: string) => ({
        address: address(name),
        port: PORT,
        service: `vault/${name}`,
      });
      const common = { enforced: true, layer: "connect4", error_code: "" };

      expect(await lineFrom("foes", "client", address("ledger")), "denied").toEqual({
        ...common,
        pod: "foes/client",
        verdict: "deny",
        reason: "rule",
        destination: destination("ledger"),
        policy: policy("ledger"),
        rule: { index: 0, name: "friends only", expression: OUTSIDERS },
      });
      expect(await lineFrom("friends", "client", address("ledger")), "allowed").toEqual({
        ...common,
        pod: "friends/client",
        verdict: "allow",
        reason: "fell-through",
        destination: destination("ledger"),
      });
      expect(await lineFrom("foes", "client", address("audited")), "audited").toEqual({
        ...common,
        pod: "foes/client",
        verdict: "allow",
        reason: "fell-through",
        destination: destination("audited"),
        audited: {
          verdict: "deny",
          enforced: false,
          reason: "rule",
          policy: policy("audited"),
          rule: { index: 0, expression: OUTSIDERS },
        },
      });
      expect(await lineFrom("friends", "client", address("audited")), "audited, and agreed").toEqual({
        ...common,
        pod: "friends/client",
        verdict: "allow",
        reason: "fell-through",
        destination: destination("audited"),
      });
      expect(await lineFrom("foes", "client", address("labelled")), "expression error").toEqual({
        ...common,
        pod: "foes/client",
        verdict: "deny",
        reason: "expression-error",
        destination: destination("labelled"),
        policy: policy("labelled"),
        rule: { index: 0, expression: 'conn.k8s.pod.metadata.annotations["k8s.ngrok.com/tier"] != "gold"' },
        error: expect.stringContaining("k8s.ngrok.com/tier"),
      });
      expect(await lineFrom("foes", "node-program", address("ledger")), "unresolved").toEqual({
        ...common,
        pod: undefined,
        verdict: "deny",
        reason: "rule",
        destination: destination("ledger"),
        policy: policy("ledger"),
        rule: { index: 0, name: "friends only", expression: OUTSIDERS },
        error_code: "ERR_NGROK_28001",
      });
      expect(await lineFrom("foes", "oversized", address("ledger")), "over 1024 bytes").toMatchObject({
        pod: "foes/oversized",
        verdict: "deny",
        error_code: "ERR_NGROK_28000",
      });
      const entrance = lab.api.store.get("services", "vault", "entrance") as unknown as {
        spec: { clusterIPs: string[] };
      };
      const ledger = lab.api.store.get("services", "vault", "ledger") as unknown as typeof entrance;
      const [, dialled = ""] = entrance.spec.clusterIPs;
      expect(await lineFrom("friends", "client", dialled, 80), "forwarded").toEqual({
        ...common,
        layer: "connect6",
        pod: "friends/client",
        verdict: "forward",
        reason: "rule",
        destination: { address: dialled, port: 80, service: "vault/entrance" },
        forwarded_to: { address: ledger.spec.clusterIPs[1], port: 80, service: "vault/ledger" },
        policy: policy("entrance"),
        rule: { index: 0 },
      });
    });

    test("for a process name of any bytes: one line, and nothing in it that moves a cursor or hides", async () => {
      await start({ args: ["--events-per-second", "1000"] });
      const names: readonly [bytes: string | Buffer, shown: string][] = [
        ["two\nlines", "two\\u{a}lines"],
        ["\x1b[2Jcleared", "\\u{1b}[2Jcleared"],
        ["exe\u202egpj.x", "exe\\u{202e}gpj.x"],
        ["c1\u009b31m", "c1\\u{9b}31m"],
        ["del\x7f\ttab", "del\\u{7f}\\u{9}tab"],
        ["zero\u200bwidth", "zero\\u{200b}width"],
        [Buffer.from([0x9b, 0xff, 0xfe, 0x41]), "\ufffd\ufffd\ufffdA"],
        // The kernel cuts at 15 bytes, here in the middle of a character.
        ["fourteen-bytes\u20ac", "fourteen-bytes\ufffd"],
        ['","verdict":"a', '","verdict":"a'],
        ["\\u{a}\\n", "\\\\u{a}\\\\n"],
        ["<script>", "<script>"],
      ];
      for (const [bytes, shown] of names) {
        const before = verdictLines(agent?.stdout ?? "").length;
        expect((await dial(foe(), address("ledger"), PORT, { comm: bytes })).error).toBe("EPERM");
        const added = await lab.waitFor(`the line of ${JSON.stringify(shown)}`, () => {
          const lines = verdictLines(agent?.stdout ?? "").slice(before);
          return lines.length > 0 && lines;
        });
        expect(added.map(({ process, verdict }) => [process?.comm, verdict])).toEqual([[shown, "deny"]]);
      }
      // As a terminal would get it: no control character but the end of a line, no reordering, nothing invisible.
      expect(agent?.stdout.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    });
  });

  test("has as many lines a second of one caller and guard as it is told, and the rest adds up exactly", async () => {
    const counted = () => verdictCount(lab.names.pinDir, "deny", "rule");
    await start({ args: ["--events-per-second", "10"] });
    const before = counted();
    const started = Date.now();
    const flood = await startFlood(foe(), address("ledger"), PORT, 2000);
    await sleep(2_500);
    const { refused, connected, other } = await flood.stop();
    const seconds = (Date.now() - started) / 1000;
    expect({ connected, other }).toEqual({ connected: 0, other: 0 });
    expect(refused).toBeGreaterThan(500);

    // Another caller and another guard have a limit of their own: their lines are there at once.
    const neighbour = await lineOf(
      await dial(lab.pod("foes", "other"), address("ledger"), PORT),
      () => agent?.stdout ?? "",
    );
    expect(neighbour.suppressed).toBeUndefined();
    const otherGuard = await lineOf(await dial(foe(), address("audited"), PORT), () => agent?.stdout ?? "");
    expect(otherGuard.suppressed).toBeUndefined();

    // In a second without lines the next one says how many were left out.
    await sleep(1_100);
    const last = await lineOf(await dial(foe(), address("ledger"), PORT), () => agent?.stdout ?? "");
    expect(last.suppressed).toBeGreaterThan(0);
    const mine = verdictLines(agent?.stdout ?? "").filter(
      ({ pod, destination }) => pod?.name === "client" && destination.address === address("ledger"),
    );
    expect(mine.length).toBeGreaterThanOrEqual(20);
    expect(mine.length).toBeLessThanOrEqual(10 * (Math.ceil(seconds) + 1) + 1);
    const said = mine.reduce((sum, { suppressed = 0 }) => sum + 1 + suppressed, 0);
    expect(said).toBe(refused + 1);
    expect(counted() - before).toBe(refused + 2);
  });

  test("has no line of a pod that talks to itself, and counts it", async () => {
    await start();
    const before = verdictCount(lab.names.pinDir, "allow", "self");
    const ledger = lab.pod("vault", "ledger");
    expect((await dial(ledger, ledger.ipv4, PORT)).reply).toMatch(/^vault\/ledger /);
    await lineOf(await dial(foe(), address("ledger"), PORT), () => agent?.stdout ?? "");
    expect(verdictCount(lab.names.pinDir, "allow", "self") - before).toBe(1);
    expect(verdictLines(agent?.stdout ?? "").filter(({ pod }) => pod?.name === "ledger")).toEqual([]);
  });

  test("that nobody reads delays no verdict, takes bounded memory, and is whole when somebody reads again", async () => {
    const flags = { unread: true, heapLimit: 100, args: ["--events-per-second", "999999"] };
    const mute = await start(flags);
    const lost = () => lostEvents(lab.names.pinDir);
    await lab.waitFor("enforcement", async () => {
      return (await dial(foe(), address("ledger"), PORT)).error === "EPERM";
    });

    // Lines of some 500 bytes: kept, they would take more than twice the heap that the agent has here.
    let events = 0;
    let slowest = 0;
    while (events < 450_000) {
      const lostBefore = lost();
      const started = performance.now();
      const count = await dialMany(foe(), address("ledger"), PORT, 8_000);
      slowest = Math.max(slowest, performance.now() - started);
      expect(count).toEqual({ connected: 0, refused: 8_000, other: 0, last: "" });
      // Events that find the ring buffer full cost the agent nothing: they do not count.
      events += 8_000 - (lost() - lostBefore);
      await sleep(60);
      expect(mute.isRunning, mute.stderr.slice(0, 2000)).toBe(true);
    }
    expect(slowest).toBeLessThan(2_000);
    // It works on all the while: a pod that comes is known.
    await lab.apply([pod("friends", "witness")]);
    await lab.settled();
    await lab.waitFor("the new pod to be known", async () => {
      return (await dial(lab.pod("friends", "witness"), address("ledger"), PORT)).error === undefined;
    });

    mute.read();
    await lab.waitFor("some of what waited", () => mute.stdout.length > 4 << 20);
    const line = await lineOf(await dial(foe(), address("ledger"), PORT), () => mute.stdout);
    expect(line.verdict).toBe("deny");
    expect(await mute.end()).toBe(0);
    const { length } = logLines(mute.stdout);
    expect(mute.stdout.endsWith("\n")).toBe(true);
    expect(length).toBeGreaterThan(1_000);
    expect(length).toBeLessThan(100_000);
  });
});
