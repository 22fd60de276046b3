/** What somebody tries who owns a pod, or a namespace: to get past a guard, to fill the log, to hold up the agent. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { must } from "../lab/command.ts";
import type { KubeObject } from "../lab/kube-objects.ts";
import type { PodHandle } from "../lab/pod-handle.ts";
import { obstacle } from "./rig.ts";
import { dial } from "./support/dial.ts";
import { agentEndpoint, trafficPolicy } from "./support/endpoints.ts";
import { denyOutside, guard, namespaces, pod, server, service } from "./support/objects.ts";
import { program } from "./support/programs.ts";
import { openStage, type Stage } from "./support/stage.ts";
import { logLines, type VerdictLine, verdictLines } from "./support/verdict-lines.ts";

const NODE_PORT = 30080;
/** Services that the tenant has guarded for itself. */
const DECOYS = 60;
const PER_SECOND = 10;

const decoys = Array.from({ length: DECOYS }, (_, i) => `decoy-${i}`);

describe.skipIf(obstacle() !== undefined)("an attacker", () => {
  let stage: Stage;

  beforeAll(async () => {
    stage = await openStage("attacks", [
      [
        ...namespaces("vault", "friends", "foes"),
        ...server("vault", "ledger", {
          type: "NodePort",
          ports: [{ port: 80, targetPort: 8080, nodePort: NODE_PORT }],
        }),
        pod("friends", "client"),
        pod("foes", "client"),
        pod("foes", "on-node", { hostNetwork: true }),
        guard("vault", "ledger", [denyOutside("friends", "vault")]),
        ...decoys.flatMap((name) => [service("foes", name), guard("foes", name, [denyOutside("friends")])]),
      ],
    ]);
    // No link, so it is down; it keeps its address, and the node answers there.
    const inNode = (...argv: string[]) => must(stage.lab.inNode(argv));
    await inNode("ip", "link", "add", "idle0", "type", "bridge");
    await inNode("ip", "addr", "add", "203.0.113.77/24", "dev", "idle0");
    stage = await started(stage);
  });

  afterAll(async () => {
    await stage?.lab.stop();
  });

  /** With the limit that ships: these tests are about it. */
  async function started(stage: Stage): Promise<Stage> {
    await stage.startAgent("--events-per-second", String(PER_SECOND));
    return stage;
  }

  describe("who owns a pod", () => {
    test("finds no odd socket or address that connects", async () => {
      const ledger = stage.pod("vault/ledger");
      for (const address of [ledger.ipv4, ledger.ipv6]) {
        const { stdout } = await stage.pod("foes/client").exec([program("contort"), address, "8080"]);
        const outcomes = Object.entries(JSON.parse(stdout) as Record<string, string>);
        expect(outcomes.length).toBeGreaterThan(15);
        for (const [way, outcome] of outcomes) {
          expect([way, outcome]).toEqual([way, expect.stringMatching(/^(EPERM|unsupported)$/)]);
        }
        const friend = await stage.pod("friends/client").exec([program("contort"), address, "8080"]);
        expect(JSON.parse(friend.stdout)).toMatchObject({ plain: "connected", of_a_child: "connected" });
      }
    });

    test("is refused at a node port also where the node answers on an interface that is down", async () => {
      const curl = ["curl", "-sS", "-m", "5", `http://203.0.113.77:${NODE_PORT}/`];
      expect((await stage.pod("friends/client").exec(curl)).stdout).toContain("vault/ledger");
      expect((await stage.pod("foes/client").exec(curl)).status).toBe(7);
      expect((await stage.pod("foes/on-node").exec(curl)).status).toBe(7);
    });

    test("has no more lines at sixty guards than at ten", async () => {
      const foe = stage.pod("foes/client");
      const addresses = decoys.map((name) => stage.service(`${name}.foes:80`).IPv4);
      const connects = await flood(foe, addresses, 2);
      const lines = await settledLines(() => true);
      const mine = lines.filter((line) => line.pod?.uid === foe.uid && isDecoy(line));
      expect(connects).toBeGreaterThan(DECOYS * PER_SECOND * 2);
      expect(mine.length).toBeGreaterThan(PER_SECOND);
      // Three seconds may be touched by two.
      expect(mine.length).toBeLessThanOrEqual(3 * 10 * PER_SECOND);
    });

    test("does not multiply its lines by cgroups that it makes below its own, though nobody knows who it is", async () => {
      const onNode = stage.pod("foes/on-node");
      const { IPv4 } = stage.service("decoy-0.foes:80");
      const before = (await settledLines(isAnonymous)).length;
      const script = `import os, socket, sys
base = sys.argv[1]
for i in range(100):
    cgroup = f"{base}/made-{i}"
    os.mkdir(cgroup)
    open(cgroup + "/cgroup.procs", "w").write("0")
    for _ in range(20):
        try: socket.create_connection((sys.argv[2], 80), 1)
        except OSError: pass
open(base + "/cgroup.procs", "w").write("0")
for i in range(100): os.rmdir(f"{base}/made-{i}")
print("done")`;
      const { stdout } = await onNode.exec(["python3", "-c", script, onNode.containerCgroup(), IPv4], {
        timeoutMs: 60_000,
      });
      expect(stdout).toBe("done\n");
      const after = (await settledLines(isAnonymous)).length;
      expect(after - before).toBeGreaterThan(0);
      expect(after - before).toBeLessThan(10 * PER_SECOND);
    });
  });

  describe("who owns a namespace", () => {
    test("does not hold up others with policies that all refer to each other", async () => {
      const all = Array.from({ length: 300 }, (_, i) => i);
      const rules = all.map((i) => ({
        expressions: [`conn.k8s.pod.metadata.namespace == "x${i}"`],
        actions: [{ type: "forward-internal", config: { url: `http://e${i}.internal` } }],
      }));
      await stage.lab.apply([
        trafficPolicy("foes/ring", [...rules, denyOutside("nobody")]),
        ...all.map((i) => service("foes", `ring-${i}`)),
        ...all.map((i) => ringEndpoint(i)),
      ]);
      await untilRefused("ring-299.foes:80");
      const began = performance.now();
      await stage.lab.apply([guard("vault", "ledger", [denyOutside("vault")])]);
      await untilRefused("ledger.vault:80");
      expect(performance.now() - began).toBeLessThan(8_000);
      await stage.lab.apply([guard("vault", "ledger", [denyOutside("friends", "vault")])]);
    });

    test("writes nothing into the log that moves a reader's cursor, or more than a line holds", async () => {
      const name = `\u009b2J\u202e${"long ".repeat(20_000)}`;
      await stage.lab.apply([guard("foes", "decoy-1", [{ ...denyOutside("friends"), name }])]);
      const named = async () => {
        const { line } = (await stage.dial("foes/client", "decoy-1.foes:80")).IPv4;
        return line?.rule?.name === undefined ? undefined : line;
      };
      // Slower than the limit: every dial has its line.
      const line = await stage.lab.waitFor("a line with the rule's name", named, { intervalMs: 300 });
      expect(line.rule?.name).toMatch(/^\\u\{9b\}2J\\u\{202e\}long .*\.\.\.$/);
      expect(JSON.stringify(line).length).toBeLessThan(4096);
      expect(await stage.log()).not.toMatch(/[\u009b\u202e]/);
    });
  });

  test("never made a reconcile fail", async () => {
    const failures = logLines(await stage.log()).filter(({ msg }) =>
      String(msg).startsWith("reconcile failed"),
    );
    expect(failures).toEqual([]);
  });

  /** Without a binding: its policy is about pods, so it guards its upstream. */
  function ringEndpoint(i: number): KubeObject {
    const spec = {
      url: `http://e${i}.internal`,
      upstream: { url: `http://ring-${i}.foes:80` },
      trafficPolicy: { targetRef: { name: "ring" } },
    };
    return { ...agentEndpoint(`foes/ring-${i}`, "", "", []), spec } as KubeObject;
  }

  /** By what the caller sees: lines of one caller are few. */
  async function untilRefused(service: string): Promise<void> {
    const { IPv4, port } = stage.service(service);
    const client = stage.pod("friends/client");
    const refused = async () => (await dial(client, IPv4, port)).error === "EPERM";
    await stage.lab.waitFor(`${service} to refuse`, refused, { timeoutMs: 60_000, intervalMs: 20 });
  }

  /** Dials every address in turn for so many seconds. Returns how often. */
  async function flood(from: PodHandle, addresses: readonly string[], seconds: number): Promise<number> {
    const script = `import socket, sys, time
end, count = time.time() + float(sys.argv[1]), 0
while time.time() < end:
    for address in sys.argv[2:]:
        caller = socket.socket()
        caller.connect_ex((address, 80))
        caller.close()
        count += 1
print(count)`;
    const { stdout } = await from.exec(["python3", "-c", script, String(seconds), ...addresses]);
    return Number(stdout);
  }

  /** The verdict lines that `isMeant`, once those of all connects before are written. */
  async function settledLines(isMeant: (line: VerdictLine) => boolean): Promise<VerdictLine[]> {
    await stage.linesUntilNow(stage.pod("friends/client"));
    return verdictLines(await stage.log()).filter(isMeant);
  }

  const isDecoy = ({ destination }: VerdictLine) => destination.service?.startsWith("foes/decoy-") === true;
  const isAnonymous = (line: VerdictLine) => line.pod === undefined && isDecoy(line);
});
