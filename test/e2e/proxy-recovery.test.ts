/** How soon undecided connections are decided again after the broker or the agent was killed, and what becomes of open ones. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pidsOf } from "../lab/cgroup.ts";
import type { KubeObject } from "../lab/kube-objects.ts";
import { until } from "../lab/until.ts";
import { obstacle } from "./rig.ts";
import { allowed, both } from "./support/attempt.ts";
import { denyWhere } from "./support/endpoints.ts";
import { guard, namespaces, pod, server } from "./support/objects.ts";
import { HOLD, startPython } from "./support/python.ts";
import { openStage, type Stage } from "./support/stage.ts";

const RECOVERY_MS = 2000;
/** Dials again and again, and says when what comes of it changes, in ms of the machine's clock. */
const DIALLER = `
before = None
while True:
    def talk():
        made = connect(arguments[0], 80)
        try:
            made.sendall(b"hello\\n")
            return "answered" if made.recv(200) else "closed"
        finally:
            made.close()
    now = outcome(talk)
    if now != before: say([now, time.time() * 1000])
    before = now
    time.sleep(0.01)`;

describe.skipIf(obstacle() !== undefined)("the proxy is there again within two seconds", () => {
  let stage: Stage;

  beforeAll(async () => {
    stage = await openStage("recovery", [
      [
        ...namespaces("bank", "shop"),
        ...server("bank", "open"),
        pod("shop", "client"),
        guard("bank", "open", [denyWhere("conn.client_port == 1")]),
      ] as KubeObject[],
    ]);
    await stage.startAgent();
    await stage.until("shop/client", "open.bank:80", both(allowed("bank/open", {})));
  });

  afterAll(async () => {
    await stage?.close();
  });

  const open = () => stage.service("open.bank:80").IPv4;
  const pids = (container: string) => {
    try {
      return pidsOf(stage.lab.pod("podgate-system", stage.agent).containerCgroup(container));
    } catch {
      return []; // Between two runs it has no cgroup.
    }
  };

  /** Kills it; returns how long it took from the restart to the first decided connection, in ms. */
  async function recovery(container: string): Promise<number> {
    const dialler = startPython<[string, number]>(stage.pod("shop/client"), DIALLER, open());
    try {
      expect((await dialler.next())[0]).toBe("answered");
      const before = pids(container);
      expect(before).not.toEqual([]);
      for (const pid of before) process.kill(pid, "SIGKILL");
      await until("it to run again", () => pids(container).some((pid) => !before.includes(pid)), {
        intervalMs: 2,
      });
      const restarted = Date.now();
      const failed = await dialler.next();
      expect(failed[0]).toMatch(/^(ECONNRESET|ECONNREFUSED|EPERM|ECONNABORTED|closed)$/);
      for (;;) {
        const [outcome, at] = await dialler.next();
        if (outcome === "answered") return at - restarted;
      }
    } finally {
      dialler.end();
    }
  }

  test("of the broker's restart, and open connections go on", async () => {
    const held = startPython<string>(stage.pod("shop/client"), HOLD, open());
    expect(await held.next()).toMatch(/^bank\/open /);
    const took = await recovery("socket-broker");
    expect(took).toBeLessThan(RECOVERY_MS);
    held.tell();
    expect(await held.next()).toMatch(/^bank\/open /);
    held.end();
  });

  test("of the agent's restart, and open connections have ended", async () => {
    const held = startPython<string>(stage.pod("shop/client"), HOLD, open());
    expect(await held.next()).toMatch(/^bank\/open /);
    const took = await recovery("agent");
    expect(took).toBeLessThan(RECOVERY_MS);
    held.tell();
    expect(await held.next()).toBe("ECONNRESET");
    held.end();
  });
});
