/** Open connections of hostNetwork pods, which share the node's namespace with the node and with each other. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { NODE_IPV4 } from "../lab/addresses.ts";
import type { KubeObject } from "../lab/kube-objects.ts";
import { inNetns } from "../lab/node.ts";
import { obstacle } from "./rig.ts";
import { type Dialler, type Holder, hold } from "./support/hold.ts";
import { denyOutside, guard, namespaces, pod, server, service } from "./support/objects.ts";
import { openStage, type Stage } from "./support/stage.ts";
import { revokedFrom, type VerdictLine, verdictLines } from "./support/verdict-lines.ts";

const NODE_PORT = 30_081;
const EVERYBODY = denyOutside("friends", "foes", "podgate-system", "");
/** The nameless namespace is of those that nobody knows. */
const NO_FOES = denyOutside("friends", "podgate-system", "");
const ONLY_FRIENDS = denyOutside("friends");
const ABORTED = "ECONNABORTED";
const all = (count: number, state: string) => Array.from({ length: count }, () => state);

describe.skipIf(obstacle() !== undefined)("open connections in the node's namespace", () => {
  let stage: Stage;
  const holders: Holder[] = [];

  beforeAll(async () => {
    const nodePort = { type: "NodePort", ports: [{ port: 80, targetPort: 8080, nodePort: NODE_PORT }] };
    stage = await openStage("reauthorize-node", [
      [
        ...namespaces("vault", "foes", "friends"),
        ...server("vault", "ledger", nodePort),
        ...server("vault", "lobby"),
        service("vault", "on-node", { ports: [{ port: 80, targetPort: 8088 }] }),
        pod("vault", "on-node", { hostNetwork: true, labels: { app: "on-node" }, ports: [8088] }),
        // Backends of ledger that do not listen: only somebody who dials from there has such an address and port.
        service("vault", "source", { selector: { app: "ledger" }, ports: [{ port: 80, targetPort: 8081 }] }),
        pod("foes", "host", { hostNetwork: true, ports: [9090] }),
        pod("foes", "client"),
        pod("friends", "host", { hostNetwork: true }),
        pod("friends", "client"),
      ] as KubeObject[],
    ]);
  });

  afterEach(async () => {
    await Promise.all(holders.splice(0).map((holder) => holder.end()));
  });

  afterAll(async () => {
    await stage?.close();
  });

  const keep = async (opening: Promise<Holder>) => {
    const holder = await opening;
    holders.push(holder);
    return holder;
  };
  /** `family`: "IPv4", "IPv6", or "mapped": IPv4 on an IPv6 socket. */
  const open = (from: string | Dialler, to: string, family: "IPv4" | "IPv6" | "mapped", count = 2) => {
    const at = stage.service(to);
    const address = family === "IPv6" ? at.IPv6 : family === "mapped" ? `::ffff:${at.IPv4}` : at.IPv4;
    return keep(hold(typeof from === "string" ? stage.pod(from) : from, address, at.port, count));
  };
  const openAll = (from: string | Dialler, to: string) =>
    Promise.all((["IPv4", "IPv6", "mapped"] as const).map((family) => open(from, to, family)));
  /** A program of the node: in its namespace, in no pod's cgroup unless said. */
  const onNode = (cgroup?: string): Dialler => ({
    spawn: (command): ChildProcess => {
      const enter = `echo $$ > ${join(cgroup ?? "", "cgroup.procs")}; exec "$@"`;
      const argv = cgroup === undefined ? [...command] : ["sh", "-c", enter, "sh", ...command];
      const [program = "", ...rest] = inNetns(stage.lab.names.nodeNetns, argv);
      return spawn(program, rest, { stdio: "pipe" });
    },
  });
  const talks = async (list: readonly Holder[]) =>
    (await Promise.all(list.map((each) => each.talk()))).flat();
  const revocations = async (): Promise<readonly VerdictLine[]> =>
    verdictLines(await stage.log()).filter(({ reason }) => reason === "revoked");
  /** Does it, and returns the lines of the connections that ended by it, exactly so many, none later than a second after. */
  const revokedBy = async (
    change: () => Promise<unknown>,
    count: number,
  ): Promise<readonly VerdictLine[]> => {
    const before = (await revocations()).length;
    await change();
    const since = Date.now();
    await stage.lab.waitFor(
      `${count} revoked lines`,
      async () => (await revocations()).length >= before + count,
    );
    await settle();
    const lines = (await revocations()).slice(before);
    expect(lines).toHaveLength(count);
    const took = Math.max(...lines.map(({ time }) => time - since));
    console.log(`${count} connections in the node's namespace closed ${took} ms after the change`);
    expect(took).toBeLessThan(1000);
    return lines;
  };
  /** Until verdicts that come later than now have been written, and the second look is over. */
  const settle = async () => {
    await stage.linesUntilNow(stage.pod("friends/client"));
    await new Promise((resolve) => setTimeout(resolve, 1000));
  };
  const apply = (...objects: readonly KubeObject[]) => stage.lab.apply(objects);
  const both = <T>(expected: T) => ({ IPv4: expected, IPv6: expected });

  test("are nobody's without --host-network-identity, and stay open; an agent that is told ends them", async () => {
    await stage.startAgent();
    await apply(guard("vault", "ledger", [EVERYBODY]));
    await stage.until("foes/host", "ledger.vault:80", both({ saw: "vault/ledger" }));
    const denied = await openAll("foes/host", "ledger.vault:80");
    const others = [
      ...(await openAll("friends/host", "ledger.vault:80")),
      ...(await openAll(onNode(), "ledger.vault:80")),
    ];
    await apply(guard("vault", "ledger", [ONLY_FRIENDS]));
    await stage.until("foes/host", "ledger.vault:80", both({ saw: "EPERM" }));
    await settle();
    expect(await talks([...denied, ...others])).toEqual(all(18, "ok"));
    expect(await revocations()).toEqual([]);

    await stage.restartAgent("--host-network-identity", "cgroup");
    await stage.lab.waitFor("6 revoked lines", async () => (await revocations()).length === 6);
    expect(await talks(denied)).toEqual(all(6, ABORTED));
    expect(await talks(others)).toEqual(all(12, "ok"));
    await settle();
    expect(await revocations()).toHaveLength(6);
  });

  test("end within a second of an edit that forbids them, each with its line, and those of neighbours, of the node and of Podgate flow on", async () => {
    await apply(guard("vault", "ledger", [EVERYBODY]), guard("vault", "lobby", [EVERYBODY]));
    await stage.until("foes/host", "ledger.vault:80", both({ saw: "vault/ledger" }));
    await stage.until("foes/host", "lobby.vault:80", both({ saw: "vault/lobby" }));
    const denied = await openAll("foes/host", "ledger.vault:80");
    const lasting = (
      await Promise.all([
        openAll("foes/host", "lobby.vault:80"),
        openAll("friends/host", "ledger.vault:80"),
        openAll(onNode(), "ledger.vault:80"),
        openAll(stage.pod(`podgate-system/${stage.agent}`), "ledger.vault:80"),
      ])
    ).flat();
    expect(await talks([...denied, ...lasting])).toEqual(all(30, "ok"));

    const lines = await revokedBy(() => apply(guard("vault", "ledger", [ONLY_FRIENDS])), 6);
    expect(await talks(denied)).toEqual(all(6, ABORTED));
    expect(await talks(lasting)).toEqual(all(24, "ok"));
    expect(lines.map(({ layer }) => layer).sort()).toEqual(["connect4", "connect4", ...all(4, "connect6")]);
    for (const line of lines) {
      expect(line).toMatchObject(revokedFrom(stage.pod("foes/host")));
    }
  });

  test("end at node ports and on loopback too, and whatever cgroup below its own the pod has made them in", async () => {
    await apply(guard("vault", "ledger", [EVERYBODY]), guard("vault", "on-node", [EVERYBODY]));
    await stage.until("foes/host", "ledger.vault:80", both({ saw: "vault/ledger" }));
    await stage.until("foes/host", "on-node.vault:80", both({ saw: "vault/on-node" }));
    const deep = join(stage.pod("foes/host").containerCgroup(), "made");
    mkdirSync(deep);
    try {
      const denied = await Promise.all([
        ...[NODE_IPV4, "127.0.0.1", "127.9.9.9", `::ffff:${NODE_IPV4}`].map((address) =>
          keep(hold(stage.pod("foes/host"), address, NODE_PORT, 1)),
        ),
        ...["127.0.0.1", "127.9.9.9", "::1"].map((address) =>
          keep(hold(stage.pod("foes/host"), address, 8088, 1)),
        ),
        open(onNode(deep), "ledger.vault:80", "IPv4", 1),
        open(onNode(deep), "ledger.vault:80", "IPv6", 1),
      ]);
      const lasting = await Promise.all(
        [stage.pod("friends/host"), onNode()].flatMap((from) =>
          [NODE_PORT, 8088].map((port) => keep(hold(from, "127.0.0.1", port, 1))),
        ),
      );
      expect(await talks([...denied, ...lasting])).toEqual(all(13, "ok"));
      await revokedBy(
        () => apply(guard("vault", "ledger", [NO_FOES]), guard("vault", "on-node", [NO_FOES])),
        9,
      );
      expect(await talks(denied)).toEqual(all(9, ABORTED));
      expect(await talks(lasting)).toEqual(all(4, "ok"));
    } finally {
      await Promise.all(holders.splice(0).map((holder) => holder.end()));
      rmdirSync(deep);
    }
  });

  test("that the pod accepted are not the pod's to be judged by, wherever their other side comes from", async () => {
    await apply(guard("vault", "source", [EVERYBODY]), guard("vault", "lobby", [EVERYBODY]));
    await stage.until("foes/host", "lobby.vault:80", both({ saw: "vault/lobby" }));
    const { ipv4, ipv6 } = stage.pod("foes/host");
    // From exactly the address and port that foes/host may not dial.
    const inbound = await Promise.all(
      [ipv4, ipv6].map((address) =>
        keep(hold(stage.pod("vault/ledger"), address, 9090, 1, { sourcePort: 8081 })),
      ),
    );
    const outbound = await open("foes/host", "lobby.vault:80", "IPv4");
    expect(await talks([...inbound, outbound])).toEqual(all(4, "ok"));
    await revokedBy(() => apply(guard("vault", "source", [NO_FOES]), guard("vault", "lobby", [NO_FOES])), 2);
    expect(await talks([outbound])).toEqual(all(2, ABORTED));
    expect(await talks(inbound)).toEqual(all(2, "ok"));
  });

  test("end when only a proxy could decide: there is none, and who dials now is refused", async () => {
    const { expressions = [], actions } = NO_FOES;
    await apply(guard("vault", "lobby", [EVERYBODY]));
    await stage.until("foes/host", "lobby.vault:80", both({ saw: "vault/lobby" }));
    const denied = await openAll("foes/host", "lobby.vault:80");
    const lasting = [
      ...(await openAll("friends/host", "lobby.vault:80")),
      ...(await openAll("foes/client", "lobby.vault:80")),
    ];
    const undecided = { expressions: [...expressions, "conn.client_port < 1"], actions };
    await revokedBy(() => apply(guard("vault", "lobby", [undecided])), 6);
    expect(await stage.dial("foes/host", "lobby.vault:80")).toMatchObject(both({ saw: "EPERM" }));
    expect(await talks(denied)).toEqual(all(6, ABORTED));
    expect(await talks(lasting)).toEqual(all(12, "ok"));
  });

  test("stay where the policy says that it decides at connecting alone", async () => {
    const connectOnly = (object: KubeObject): KubeObject => ({
      ...object,
      metadata: { ...object.metadata, annotations: { "podgate.dev/reauthorize": "connect-only" } },
    });
    await apply(connectOnly(guard("vault", "ledger", [EVERYBODY])), guard("vault", "lobby", [EVERYBODY]));
    await stage.until("foes/host", "ledger.vault:80", both({ saw: "vault/ledger" }));
    await stage.until("foes/host", "lobby.vault:80", both({ saw: "vault/lobby" }));
    const spared = await openAll("foes/host", "ledger.vault:80");
    await open("foes/host", "lobby.vault:80", "IPv4", 1);
    await revokedBy(
      () => apply(connectOnly(guard("vault", "ledger", [NO_FOES])), guard("vault", "lobby", [NO_FOES])),
      1,
    );
    expect(await talks(spared)).toEqual(all(6, "ok"));
  });
});
