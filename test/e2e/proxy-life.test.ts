/** The proxy when its agent stops, hangs or has too much to do. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { AGENT_MAIN } from "../lab/agent.ts";
import { pidsOf } from "../lab/cgroup.ts";
import { must } from "../lab/command.ts";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { allowed, both, denied } from "./support/attempt.ts";
import { denyAll, denyWhere } from "./support/endpoints.ts";
import { guard, namespaces, pod, server } from "./support/objects.ts";
import { HOLD, HOLD_ALL, python, startPython } from "./support/python.ts";
import { openStage, type Stage } from "./support/stage.ts";
import { lineOf, verdictLines } from "./support/verdict-lines.ts";

const AGENT_DOWN_MS = 1500;

/** A thread for each, 50 ms apart, until the time is over and a bit more. Each dials, and waits to be answered. */
const WAITERS = `
import threading
from collections import Counter
answers, longest = Counter(), 0.0
def attempt(address):
    global longest
    start = time.monotonic()
    def talk():
        made = connect(address, 80)
        made.sendall(b"hello\\n")
        return "answered " + made.recv(200).decode()
    saw = outcome(talk)
    answers[saw] += 1
    longest = max(longest, time.monotonic() - start)
end = time.monotonic() + float(arguments[2]) + 0.5
threads = []
while time.monotonic() < end:
    threads.append(threading.Thread(target=attempt, args=(arguments[len(threads) % 2],)))
    threads[-1].start()
    time.sleep(0.05)
for each in threads: each.join()
say({"saw": answers, "longest": longest})`;
/** On SIGUSR2 the event loop does nothing else for a while. */
const BLOCKABLE = encodeURIComponent(
  `process.on("SIGUSR2", () => { const end = Date.now() + ${4 * AGENT_DOWN_MS}; while (Date.now() < end); });`,
);

const undecided = denyWhere("conn.client_port == 1");

let stage: Stage;

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  stage = await openStage("proxylife", [
    namespaces("bank", "shop"),
    ["open", "hole", "lenient"].flatMap((name) => server("bank", name)),
    ["client", "greedy"].map((name) => pod("shop", name)) as KubeObject[],
    ["open", "hole"].map((name) => guard("bank", name, [undecided])),
    [guard("bank", "lenient", [undecided], { onAgentDown: "Allow" })],
  ]);
  const lost = "table inet lost { chain input { type filter hook input priority 0; tcp flags syn drop; }; }";
  await must(["nsenter", `--net=${stage.pod("bank/hole").netns}`, "nft", lost]);
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

async function hold(from = "shop/client", to = "open") {
  const held = startPython<string>(stage.pod(from), HOLD, stage.service(`${to}.bank:80`).IPv4);
  expect(await held.next()).toMatch(`bank/${to} `);
  return held;
}

describe.skipIf(obstacle() !== undefined)("an agent", () => {
  afterEach(endAgent, 30_000);

  test("that is told to stop lets open connections end, and is not waited for by new ones", async () => {
    await stage.startAgent("--drain-timeout", "8s");
    await serves();
    const held = await hold();
    const later = await hold("shop/client", "lenient");
    let stopped = false;
    const stopping = endAgent().then(() => {
      stopped = true;
    });
    await stage.until("shop/client", "open.bank:80", both(denied({ reason: "agent-down" })));
    const passed = both(allowed("bank/lenient", { reason: "agent-down" }));
    expect(await stage.dial("shop/client", "lenient.bank:80")).toMatchObject(passed);
    // What is forbidden meanwhile ends at once.
    await stage.lab.apply([guard("bank", "lenient", [denyAll], { onAgentDown: "Allow" })]);
    await stage.until("shop/client", "lenient.bank:80", both(denied()));
    await stage.lab.waitFor("its end", async () =>
      verdictLines(await stage.log()).some(({ reason, layer }) => reason === "revoked" && layer === "proxy"),
    );
    later.tell();
    expect(await later.next()).toBe("ECONNRESET");
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

  test.each<[string, (hang: () => Promise<void>) => Promise<void>]>([
    [
      "is stopped",
      async (during) => {
        await stage.startAgent("--agent-down-after", `${AGENT_DOWN_MS}ms`);
        await during();
      },
    ],
    [
      "blocks its event loop",
      async (during) => {
        const main = [process.execPath, "--import", `data:text/javascript,${BLOCKABLE}`, AGENT_MAIN, "agent"];
        await stage.startAgentAs(main, "--agent-down-after", `${AGENT_DOWN_MS}ms`);
        await during();
      },
    ],
  ])("27: that %s lets nobody in, keeps nobody waiting, and decides again when it goes on", async (how, run) => {
    await run(async () => {
      await serves();
      const held = await hold();
      const pids = agentPids();
      const signal = (name: NodeJS.Signals) => {
        for (const pid of pids) process.kill(pid, name);
      };
      const isStopped = how === "is stopped";
      signal(isStopped ? "SIGSTOP" : "SIGUSR2");
      try {
        const { said } = await python<{ saw: Record<string, number>; longest: number }>(
          stage.pod("shop/client"),
          WAITERS,
          open(),
          stage.service("open.bank:80").IPv6,
          AGENT_DOWN_MS / 1000,
        );
        // Those in the backlog were ended, those that came later refused: nobody got an answer.
        const [{ saw = {}, longest = 99 } = {}] = said;
        expect(Object.keys(saw).sort()).toEqual(["ECONNABORTED", "EPERM"]);
        expect(saw.ECONNABORTED).toBeGreaterThan(2);
        expect(longest).toBeLessThan(AGENT_DOWN_MS / 1000 + 1);
        expect(await stage.lab.log("podgate-system", stage.agent, "socket-broker")).toMatch(
          /the agent is silent/,
        );
        if (!isStopped) {
          // The pump's threads go on.
          held.tell();
          expect(await held.next()).toMatch(/^bank\/open /);
        }
      } finally {
        signal("SIGCONT");
      }
      await serves();
      held.tell();
      expect(await held.next()).toMatch(/^bank\/open /);
      held.end();
    });
  });

  test("44: gives one pod so many connections and no more, and takes none from others", async () => {
    await stage.startAgent("--proxy-per-pod", "20");
    await serves();
    await serves("shop/greedy");
    const greedy = startPython<number[]>(
      stage.pod("shop/greedy"),
      `${HOLD_ALL}
held, refused = hold_all(arguments[0], 60)
say([len(held), refused])
sys.stdin.readline()
for each in held: each.close()
say([])
sys.stdin.readline()`,
      open(),
    );
    expect(await greedy.next()).toEqual([20, 40]);
    expect(await stage.dial("shop/client", "open.bank:80")).toMatchObject(both(allowed("bank/open", {})));
    // By the kernel, at connect().
    const line = { verdict: "deny", reason: "over-limit", layer: expect.stringMatching(/^connect/) };
    expect(await stage.dial("shop/greedy", "open.bank:80")).toMatchObject(both({ saw: "EPERM", line }));
    greedy.tell();
    await greedy.next();
    await serves("shop/greedy");
    greedy.end();
  });

  test("44: is not kept busy by connects that never arrive, nor are other pods", async () => {
    await stage.startAgent("--proxy-per-pod", "20");
    await serves();
    await serves("shop/greedy");
    const netns = stage.pod("shop/greedy").netns;
    const nft = (rules: string) => must(["nsenter", `--net=${netns}`, "nft", rules]);
    await nft(
      "table inet lost { chain input { type filter hook input priority 0; iif lo tcp flags syn drop; }; }",
    );
    const greedy = startPython<number>(
      stage.pod("shop/greedy"),
      `
made = []
for number in range(40):
    each = socket.socket()
    each.setblocking(False)
    each.connect_ex((arguments[0], 80))
    made.append(each)
say(len(made))
sys.stdin.readline()`,
      open(),
    );
    await greedy.next();
    const refused = { verdict: "deny", reason: "over-limit", layer: expect.stringMatching(/^connect/) };
    await stage.lab.waitFor("the kernel to refuse", async () => {
      const { said } = await python<string>(
        stage.pod("shop/greedy"),
        `
each = socket.socket()
each.settimeout(0.1)
say(outcome(lambda: each.connect((arguments[0], 80))))`,
        open(),
      );
      return said[0] === "EPERM";
    });
    expect(await stage.dial("shop/greedy", "open.bank:80")).toMatchObject(
      both({ saw: "EPERM", line: refused }),
    );
    expect(await stage.dial("shop/client", "open.bank:80")).toMatchObject(both(allowed("bank/open", {})));
    greedy.end();
    await nft("delete table inet lost");
    await serves("shop/greedy");
  });

  test("44: lets so many wait for a server that does not answer, of one pod and of all, and no more", async () => {
    await stage.startAgent(
      ...["--proxy-pending-per-pod", "4", "--proxy-pending-in-all", "6"],
      ...["--connect-timeout", "60s", "--drain-timeout", "0"],
    );
    await serves();
    await serves("shop/greedy");
    const wait = (from: string, attempts: number) =>
      startPython<[number, number]>(
        stage.pod(from),
        `
made = []
for number in range(int(arguments[1])):
    each = outcome(lambda: connect(arguments[0], 80))
    if not isinstance(each, str): made.append(each)
    time.sleep(0.05)
def waits(each):
    each.settimeout(0.05)
    return outcome(lambda: each.recv(1)) == "timed out"
say([len(made), sum(waits(each) for each in made)])
sys.stdin.readline()`,
        stage.service("hole.bank:80").IPv4,
        attempts,
      );
    const line = { verdict: "deny", reason: "over-limit", layer: expect.stringMatching(/^connect/) };
    const overLimit = both({ saw: "EPERM", line });
    const greedy = wait("shop/greedy", 20);
    expect((await greedy.next())[1]).toBe(4);
    expect(await stage.dial("shop/greedy", "open.bank:80")).toMatchObject(overLimit);
    expect(await stage.dial("shop/client", "open.bank:80")).toMatchObject(both(allowed("bank/open", {})));
    // The third takes the place of the last of who has most.
    const other = wait("shop/client", 3);
    expect(await other.next()).toEqual([3, 3]);
    expect(await stage.dial("shop/client", "open.bank:80")).toMatchObject(overLimit);
    greedy.end();
    other.end();
  });

  test("ends proxied connections that are idle for as long as it is told, and no others", async () => {
    await stage.startAgent("--idle-timeout", "1s", "--drain-timeout", "0");
    await serves();
    const { said } = await python<[string, number]>(
      stage.pod("shop/client"),
      `
quiet, busy = connect(arguments[0], 80), connect(arguments[0], 80)
talk(quiet)
start = time.monotonic()
while time.monotonic() - start < 2.5 and not select.select([quiet], [], [], 0.2)[0]: talk(busy)
after = time.monotonic() - start
quiet.settimeout(0)
say([outcome(lambda: quiet.recv(1).decode()), after])
time.sleep(0.7)
say([outcome(lambda: talk(busy)), 0])`,
      open(),
    );
    expect(said.map(([saw]) => saw)).toEqual(["ECONNRESET", "bank/open"]);
    expect(said[0]?.[1]).toBeGreaterThan(0.9);
  });

  test("44: has room for so many connections of all pods together, which they share, and again when they end", async () => {
    await stage.startAgent("--proxy-in-all", "16");
    await serves();
    await serves("shop/greedy");
    const hold = (from: string, attempts: number) =>
      startPython<number[]>(
        stage.pod(from),
        `${HOLD_ALL}
held, refused = hold_all(arguments[0], ${attempts})
say([len(held), refused])
sys.stdin.readline()
for each in held: each.settimeout(0.01)
say([sum(outcome(lambda: each.recv(1)) == "timed out" for each in held)])
sys.stdin.readline()`,
        open(),
      );
    const first = hold("shop/greedy", 16);
    expect(await first.next()).toEqual([16, 0]);
    const line = { verdict: "deny", reason: "over-limit", layer: expect.stringMatching(/^connect/) };
    expect(await stage.dial("shop/greedy", "open.bank:80")).toMatchObject(both({ saw: "EPERM", line }));
    const second = hold("shop/client", 20);
    expect(await second.next()).toEqual([8, 12]);
    expect(await stage.dial("shop/client", "open.bank:80")).toMatchObject(both({ saw: "EPERM", line }));
    first.tell();
    expect(await first.next()).toEqual([8]);
    first.end();
    second.end();
    await serves();
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
