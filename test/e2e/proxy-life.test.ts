/** The proxy when its agent stops, hangs or has too much to do. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { pidsOf } from "../lab/cgroup.ts";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { allowed, both } from "./support/attempt.ts";
import { denyWhere } from "./support/endpoints.ts";
import { guard, namespaces, pod, server } from "./support/objects.ts";
import { python, startPython } from "./support/python.ts";
import { openStage, type Stage } from "./support/stage.ts";
import { lineOf, verdictLines } from "./support/verdict-lines.ts";

const AGENT_DOWN_MS = 1500;
const HOLD = `
connection = connect(arguments[0], 80)
def talk():
    connection.sendall(b"hello\\n")
    return connection.recv(200).decode()
say(talk())
while sys.stdin.readline():
    say(outcome(talk))`;

let stage: Stage;

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  stage = await openStage("proxylife", [
    namespaces("bank", "shop"),
    server("bank", "open"),
    ["client", "greedy"].map((name) => pod("shop", name)) as KubeObject[],
    [guard("bank", "open", [denyWhere("conn.client_port == 1")])] as KubeObject[],
  ]);
});

afterAll(async () => {
  await stage?.close();
});

const open = () => stage.service("open.bank:80").IPv4;
const serves = (from = "shop/client") => stage.until(from, "open.bank:80", both(allowed("bank/open", {})));
const agentPids = () => pidsOf(stage.lab.pod("podgate-system", stage.agent).containerCgroup("agent"));

/** Of whatever test: there is one at a time. */
async function endAgent(): Promise<void> {
  const agents = stage.lab.api.store
    .list("pods")
    .filter(({ metadata }) => metadata.namespace === "podgate-system");
  for (const { metadata } of agents) await stage.lab.deletePod("podgate-system", metadata.name);
}

async function hold(from = "shop/client") {
  const held = startPython<string>(stage.pod(from), HOLD, open());
  expect(await held.next()).toMatch(/^bank\/open /);
  return held;
}

describe.skipIf(obstacle() !== undefined)("an agent", () => {
  afterEach(endAgent, 30_000);

  test("that is told to stop lets open connections end, and no new ones begin", async () => {
    await stage.startAgent("--drain-timeout", "8s");
    await serves();
    const held = await hold();
    let stopped = false;
    const stopping = endAgent().then(() => {
      stopped = true;
    });
    await stage.until("shop/client", "open.bank:80", both({ saw: "EPERM" }));
    held.tell();
    expect(await held.next()).toMatch(/^bank\/open /);
    expect(stopped).toBe(false);
    const since = Date.now();
    held.end();
    await stopping;
    expect(Date.now() - since).toBeLessThan(6000);
  });

  test("does not wait longer than it may", async () => {
    await stage.startAgent("--drain-timeout", "300ms");
    await serves();
    const held = await hold();
    await endAgent();
    held.tell();
    expect(await held.next()).toMatch(/^(ECONNRESET|EPIPE|)$/);
    held.end();
  });

  test("27: that hangs is asked nothing after a while, lets nobody in, and decides again when it goes on", async () => {
    await stage.startAgent("--agent-down-after", `${AGENT_DOWN_MS}ms`);
    await serves();
    const held = await hold();
    const pids = agentPids();
    for (const pid of pids) process.kill(pid, "SIGSTOP");
    try {
      const waiting = python<{ saw: string; after: number }>(
        stage.pod("shop/client"),
        `
start = time.monotonic()
def talk():
    made = connect(arguments[0], 80)
    made.sendall(b"hello\\n")
    return made.recv(200).decode()
say({"saw": outcome(talk), "after": time.monotonic() - start})`,
        open(),
      );
      // Established connections are the pump's, whose threads are stopped too; nothing is lost of them.
      await stage.lab.waitFor("the kernel to refuse", async () => {
        const { said } = await python<string>(
          stage.pod("shop/greedy"),
          `say(outcome(lambda: (connect(arguments[0], 80), "connected")[1]))`,
          open(),
        );
        return said[0] === "EPERM";
      });
      // Until who came last has waited for too long as well.
      await sleep(AGENT_DOWN_MS);
      for (const pid of pids) process.kill(pid, "SIGCONT");
      const { comm, said } = await waiting;
      expect(said[0]).toMatchObject({ saw: "ECONNRESET" });
      expect(said[0]?.after).toBeLessThan(10);
      expect(await lineOf({ comm }, () => stage.log())).toMatchObject({
        verdict: "deny",
        reason: "agent-down",
      });
    } finally {
      for (const pid of pids) process.kill(pid, "SIGCONT");
    }
    await serves();
    held.tell();
    expect(await held.next()).toMatch(/^bank\/open /);
    held.end();
  });

  test("44: gives one pod so many connections and no more, and takes none from others", async () => {
    await stage.startAgent("--proxy-per-pod", "20");
    await serves();
    await serves("shop/greedy");
    const greedy = startPython<number[]>(
      stage.pod("shop/greedy"),
      `
held, refused = [], 0
for number in range(60):
    def talk():
        made = connect(arguments[0], 80)
        made.sendall(b"hello\\n")
        return made if made.recv(200) else "closed"
    answer = outcome(talk)
    if isinstance(answer, str): refused += 1
    else: held.append(answer)
say([len(held), refused])
sys.stdin.readline()
for each in held: each.close()
say([])
sys.stdin.readline()`,
      open(),
    );
    expect(await greedy.next()).toEqual([20, 40]);
    expect(await stage.dial("shop/client", "open.bank:80")).toMatchObject(both(allowed("bank/open", {})));
    expect(await stage.dial("shop/greedy", "open.bank:80")).toMatchObject(
      both({ saw: "ECONNRESET", line: { verdict: "deny", reason: "over-limit", layer: "proxy" } }),
    );
    greedy.tell();
    await greedy.next();
    await serves("shop/greedy");
    greedy.end();
  });

  test("without a broker says so once, and refuses what only a proxy can decide", async () => {
    const agent = await stage.lab.startAgent({ broker: false });
    const log = () => stage.lab.log("podgate-system", agent);
    const { comm, said } = await python<string>(
      stage.pod("shop/client"),
      `say(outcome(lambda: (connect(arguments[0], 80), "connected")[1]))`,
      open(),
    );
    expect(said).toEqual(["EPERM"]);
    expect(await lineOf({ comm }, log)).toMatchObject({
      verdict: "deny",
      reason: "pending",
      layer: "connect4",
    });
    const text = await log();
    expect(text.match(/there is no socket broker/g)).toHaveLength(1);
    expect(verdictLines(text).filter(({ layer }) => layer === "proxy")).toEqual([]);
  });
});
