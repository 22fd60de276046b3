/** How soon undecided connections are decided again after the broker or the agent was killed, and what becomes of open ones. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pidsOf } from "../lab/cgroup.ts";
import type { KubeObject } from "../lab/kube-objects.ts";
import { until } from "../lab/until.ts";
import { obstacle } from "./rig.ts";
import { allowed, both } from "./support/attempt.ts";
import { denyAll, denyWhere } from "./support/endpoints.ts";
import { guard, namespaces, pod, server, service } from "./support/objects.ts";
import { HOLD, type Running, startPython } from "./support/python.ts";
import { openStage, type Stage } from "./support/stage.ts";
import { ECHO } from "./support/traffic-scripts.ts";

const RECOVERY_MS = 2000;
/** Dials again and again, and says when what comes of it changes, in ms of the machine's clock. */
const DIALLER = `
before = None
while True:
    def attempt():
        with connect(arguments[0], 80) as made: return "answered" if talk(made) else "closed"
    now = outcome(attempt)
    if now != before: say([now, time.time() * 1000])
    before = now
    time.sleep(0.02)`;

/** Sends some 50 MB a second, which come back, until told to stop; then says how that ended. */
const STREAM = `
import threading
made = connect(arguments[0], 80)
made.settimeout(60)
block = os.urandom(1 << 20)
twice, sent, got, same, stop = block + block, 0, 0, True, threading.Event()
def send():
    global sent
    while not stop.is_set():
        made.sendall(block)
        sent += len(block)
        time.sleep(0.02)
    made.shutdown(socket.SHUT_WR)
def read():
    global got, same
    while True:
        piece = made.recv(1 << 18)
        if not piece: return "end"
        at = got % len(block)
        same = same and piece == twice[at:at + len(piece)]
        if got >> 24 == 0 and (got + len(piece)) >> 24: say("begun")
        got += len(piece)
ended = []
sender = threading.Thread(target=lambda: ended.append(outcome(send)), daemon=True)
sender.start()
threading.Thread(target=lambda: sys.stdin.readline() and stop.set(), daemon=True).start()
ended.append(outcome(read))
sender.join()
# The kernel tells of a reset once: whoever asks first.
say({"isReset": "ECONNRESET" in ended, "same": same, "whole": got == sent})`;
/** Dials what the kernel refuses and what it allows, in turn, until told to stop; then says what came of it. */
const DECIDED = `
from collections import Counter
came = Counter()
say("begun")
while not select.select([sys.stdin], [], [], 0.02)[0]:
    for name, address in zip(["closed", "direct"], arguments):
        def talk():
            with connect(address, 80) as made:
                made.sendall(b"hello\\n")
                return made.recv(200).decode().split(" ")[0]
        came[name + " " + outcome(talk)] += 1
say(came)`;

describe.skipIf(obstacle() !== undefined)("the proxy is there again within two seconds", () => {
  let stage: Stage;

  beforeAll(async () => {
    stage = await openStage("recovery", [
      [
        ...namespaces("bank", "shop"),
        ...["open", "closed", "direct"].flatMap((name) => server("bank", name)),
        service("bank", "wire"),
        pod("bank", "wire", { labels: { app: "wire" } }),
        pod("shop", "client"),
        ...["open", "wire"].map((name) => guard("bank", name, [denyWhere("conn.client_port == 1")])),
        guard("bank", "closed", [denyAll]),
        guard("bank", "direct", [denyWhere("false")]),
      ] as KubeObject[],
    ]);
    await stage.startAgent();
    await stage.until("shop/client", "open.bank:80", both(allowed("bank/open", {})));
  });

  afterAll(async () => {
    await stage?.close();
  });

  const at = (name: string) => stage.service(`${name}.bank:80`);
  const pids = (container: string) => {
    try {
      return pidsOf(stage.lab.pod("podgate-system", stage.agent).containerCgroup(container));
    } catch {
      return []; // Between two runs it has no cgroup.
    }
  };

  const start = <T>(script: string, ...args: readonly string[]): Running<T> =>
    startPython(stage.pod("shop/client"), script, ...args);

  /** Kills it in the middle of traffic, and waits until a dialler of each family is answered again. */
  async function recover(container: "agent" | "socket-broker"): Promise<void> {
    const diallers = [at("open").IPv4, at("open").IPv6].map((address) =>
      start<[string, number]>(DIALLER, address),
    );
    const decided = start<unknown>(DECIDED, at("closed").IPv6, at("direct").IPv4);
    try {
      expect(await decided.next()).toBe("begun");
      for (const { next } of diallers) expect((await next())[0]).toBe("answered");
      const before = pids(container);
      expect(before).not.toEqual([]);
      for (const pid of before) process.kill(pid, "SIGKILL");
      await until("it to run again", () => pids(container).some((pid) => !before.includes(pid)), {
        intervalMs: 2,
      });
      const restarted = Date.now();
      for (const { next } of diallers) {
        expect((await next())[0]).toMatch(/^(ECONNRESET|ECONNREFUSED|EPERM|ECONNABORTED|closed)$/);
        let [outcome, when] = await next();
        while (outcome !== "answered") [outcome, when] = await next();
        expect(when - restarted).toBeLessThan(RECOVERY_MS);
        // Sockets that were made ahead serve a few more; without an agent nobody is served.
        if (container === "agent") expect(when).toBeGreaterThan(restarted);
      }
      // What the kernel decides it has decided all the time.
      decided.tell();
      const came = (await decided.next()) as Record<string, number>;
      expect(Object.keys(came).sort()).toEqual(["closed EPERM", "direct bank/direct"]);
      expect(came["closed EPERM"]).toBeGreaterThan(10);
    } finally {
      for (const { end } of [...diallers, decided]) end();
    }
  }

  /** One that says nothing, and one of each family in the middle of much. */
  async function meanwhile(
    container: "agent" | "socket-broker",
    check: (held: Running<string>, streams: readonly Running<unknown>[]) => Promise<void>,
  ): Promise<void> {
    const echo = startPython<string>(stage.pod("bank/wire"), ECHO);
    const held = start<string>(HOLD, at("open").IPv4);
    const streams: Running<unknown>[] = [];
    try {
      expect(await echo.next()).toBe("ready");
      expect(await held.next()).toMatch(/^bank\/open /);
      for (const address of [at("wire").IPv4, at("wire").IPv6]) streams.push(start(STREAM, address));
      for (const { next } of streams) expect(await next()).toBe("begun");
      await recover(container);
      await check(held, streams);
    } finally {
      for (const { end } of [held, ...streams, echo]) end();
    }
  }

  test("of the broker's restart, and open connections go on, whole", async () => {
    await meanwhile("socket-broker", async (held, streams) => {
      held.tell();
      expect(await held.next()).toMatch(/^bank\/open /);
      for (const { tell } of streams) tell();
      for (const { next } of streams)
        expect(await next()).toEqual({ isReset: false, same: true, whole: true });
    });
  });

  test("of the agent's restart, and open connections have ended, none as if it were whole", async () => {
    await meanwhile("agent", async (held, streams) => {
      held.tell();
      expect(await held.next()).toBe("ECONNRESET");
      for (const { next } of streams) expect(await next()).toMatchObject({ isReset: true, same: true });
    });
  });
});
