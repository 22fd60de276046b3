/** The agent's sign of life: what the kernel does with connections that wait for an agent that is not there. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeU32, encodeU64, layouts } from "../../agent/dataplane/abi.ts";
import { cleanPins } from "../../agent/dataplane/cleanup.ts";
import { linkPin, mapPin, objectPath } from "../../agent/dataplane/kernel.ts";
import { ListenerTable } from "../../agent/dataplane/listener-table.ts";
import { loadNative } from "../../agent/dataplane/native.ts";
import { Node } from "../../agent/dataplane/node.ts";
import { ownCgroup } from "../../agent/dataplane/own-cgroup.ts";
import { pidsOf } from "../lab/cgroup.ts";
import { obstacle } from "./rig.ts";
import { dial, freshComm } from "./support/dial.ts";
import { guard, namespaces, pod, server } from "./support/objects.ts";
import { openStage, type Stage } from "./support/stage.ts";
import { lineOf } from "./support/verdict-lines.ts";

describe.skipIf(obstacle() !== undefined)("an agent", () => {
  let stage: Stage;

  beforeAll(async () => {
    const lowPort = { expressions: ["conn.client_port < 1024"], actions: [{ type: "deny" }] };
    stage = await openStage("heartbeat", [
      [
        ...namespaces("shop", "apps"),
        ...server("shop", "back"),
        guard("shop", "back", [lowPort]),
        ...server("shop", "lenient"),
        guard("shop", "lenient", [lowPort], { onAgentDown: "Allow" }),
        pod("apps", "client"),
      ],
    ]);
    await stage.startAgentAlone();
  });

  afterAll(() => stage?.close());

  const native = loadNative();

  function state(): { heartbeat: bigint; cgroup: bigint; timeout: bigint } {
    const map = native.BpfMap.open(mapPin(stage.lab.names.pinDir, "agent_state"));
    try {
      const value = map.get(encodeU32(0)) ?? Buffer.alloc(0);
      const at = layouts.agent_state;
      const read = (offset: number) => value.readBigUInt64LE(offset);
      return { heartbeat: read(at.heartbeat), cgroup: read(at.cgroup), timeout: read(at.timeout_ns) };
    } finally {
      map.close();
    }
  }

  async function dialUndecided() {
    const comm = freshComm();
    const { IPv4, port } = stage.service("back.shop:80");
    const dialled = await dial(stage.pod("apps/client"), IPv4, port, { comm });
    expect(dialled.error).toBe("EPERM");
    return dialled;
  }

  test("that runs beats every second, and is exempt by its own cgroup", async () => {
    const before = state();
    await stage.lab.waitFor("another beat", () => state().heartbeat > before.heartbeat);
    expect(native.bootTime() - state().heartbeat).toBeLessThan(before.timeout);
    expect(before.timeout).toBe(5_000_000_000n);
    const agent = stage.lab.pod("podgate-system", stage.agent);
    expect(before.cgroup).toBe(native.cgroupId(agent.containerCgroup()));
    const line = await lineOf(await dialUndecided(), () => stage.log());
    expect(line).toMatchObject({ verdict: "deny", reason: "pending", rule: { index: 0 } });
  });

  async function dialLenient() {
    const { IPv4, port } = stage.service("lenient.shop:80");
    const dialled = await dial(stage.pod("apps/client"), IPv4, port, { comm: freshComm() });
    expect(dialled.reply).toMatch(/^shop\/lenient /);
    return dialled;
  }

  test("that has ended leaves nobody waiting for it, and the next one says so", async () => {
    await stage.stopAgent();
    expect(state().heartbeat).toBe(0n);
    const refused = await dialUndecided();
    const allowed = await dialLenient();
    await stage.startAgentAlone();
    expect(await lineOf(allowed, () => stage.log())).toMatchObject({
      verdict: "allow",
      reason: "agent-down",
    });
    expect(await lineOf(refused, () => stage.log())).toMatchObject({ verdict: "deny", reason: "agent-down" });
    expect(await lineOf(await dialUndecided(), () => stage.log())).toMatchObject({ reason: "pending" });
  });

  test("that hangs counts as one that answers for five seconds, and not for longer", async () => {
    const pids = pidsOf(stage.lab.pod("podgate-system", stage.agent).containerCgroup());
    expect(pids).not.toEqual([]);
    const signal = (name: NodeJS.Signals) => {
      for (const pid of pids) process.kill(pid, name);
    };
    signal("SIGSTOP");
    try {
      const soon = await dialUndecided();
      const { heartbeat, timeout } = state();
      await stage.lab.waitFor("the heartbeat to be too old", () => native.bootTime() - heartbeat > timeout);
      const late = await dialUndecided();
      const allowed = await dialLenient();
      signal("SIGCONT");
      expect(await lineOf(soon, () => stage.log())).toMatchObject({ verdict: "deny", reason: "pending" });
      expect(await lineOf(late, () => stage.log())).toMatchObject({ verdict: "deny", reason: "agent-down" });
      expect(await lineOf(allowed, () => stage.log())).toMatchObject({
        verdict: "allow",
        reason: "agent-down",
      });
    } finally {
      signal("SIGCONT");
    }
  });

  test("whose kernel cannot follow sockets runs without a proxy, and says so", async () => {
    const { cgroupRoot, names } = stage.lab;
    const pinPath = join(names.pinDir, "crippled");
    const missing: string[] = [];
    mkdirSync(join(pinPath, "links"), { recursive: true });
    // What is pinned where the link should be is none.
    const object = new native.BpfObject(objectPath("connect"));
    object.load();
    object.program("connect4").pin(linkPin(pinPath, "sock_ops"));
    object.close();
    const node = new Node({
      pinPath,
      cgroupRoot,
      eventsPerSecond: 10,
      agentDownAfter: 5000,
      onMissing: (operation, why) => missing.push(`${operation}: ${why}`),
    });
    try {
      const { listeners } = node.kernel.maps;
      new ListenerTable(node.kernel.maps).put(1n, { port4: 1 });
      expect(node.attach()).toBe(false);
      expect(missing).toEqual([expect.stringMatching(/^send connections to the proxy: open link .*EINVAL/)]);
      expect(listeners.get(encodeU64(1n))).toBeUndefined();
      for (const name of ["connect4", "connect6"]) native.BpfLink.open(linkPin(pinPath, name)).close();
    } finally {
      node.close();
      rmSync(linkPin(pinPath, "sock_ops"));
      cleanPins(native, pinPath);
    }
  });

  test("finds the cgroup it runs in below the pods' root, and none where it does not", () => {
    const { cgroupRoot } = stage.lab;
    expect(ownCgroup(cgroupRoot)).toBeUndefined();
    expect(ownCgroup(join(cgroupRoot, "gone"))).toBeUndefined();
  });
});
