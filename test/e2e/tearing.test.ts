/**
 * Whatever is edited, a pod that every version denies never gets through, and one that every version allows is never
 * refused: while both dial as fast as they can, at every address of the guarded Service.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { layouts } from "../../agent/dataplane/abi.ts";
import { mapPin } from "../../agent/dataplane/kernel.ts";
import { loadNative } from "../../agent/dataplane/native.ts";
import { type Entry, readEntries } from "../../agent/dataplane/table.ts";
import { NODE_IPV4, NODE_IPV6 } from "../lab/addresses.ts";
import { must } from "../lab/command.ts";
import type { KubeObject, Service } from "../lab/kube-objects.ts";
import { type Lab, startLab } from "../lab/lab.ts";
import { obstacle } from "./rig.ts";
import { type Barrage, barrage, type Report, type Target } from "./support/barrage.ts";
import { denyOutside, guard, namespaces, pod, type RuleWish, service } from "./support/objects.ts";
import { program } from "./support/programs.ts";

const NODE_PORT = 30_080;
const EDITS = 200;
const TEAM = "k8s.ngrok.com/team";

/** Deny who is not named so: a verdict of each pod's own. */
function denyUnlessNamed(...names: readonly string[]): RuleWish {
  const list = names.map((name) => JSON.stringify(name)).join(", ");
  return { expressions: [`!(conn.k8s.pod.metadata.name in [${list}])`], actions: [{ type: "deny" }] };
}

/**
 * What lets watchers through or not, once by namespace and once by pod; always the friend, never the foe. There are
 * two watchers: a change of one verdict alone would be made in place, without a new version.
 */
const versions: readonly { readonly rules: readonly RuleWish[]; readonly watcher: "ok" | "EPERM" }[] = [
  { rules: [denyOutside("friends", "watchers", "onlookers")], watcher: "ok" },
  { rules: [denyOutside("friends")], watcher: "EPERM" },
  { rules: [denyUnlessNamed("friend", "watcher", "onlooker")], watcher: "ok" },
  { rules: [denyUnlessNamed("friend"), denyOutside("friends")], watcher: "EPERM" },
];

describe.skipIf(obstacle() !== undefined)("under a flood of connects", () => {
  let lab: Lab;
  let targets: readonly Target[];
  let friend: Barrage;
  let foe: Barrage;
  let watcher: Barrage;

  beforeAll(async () => {
    lab = await startLab({ name: `tearing-${process.pid}` });
    await lab.apply([
      ...namespaces("vault", "friends", "foes", "watchers", "onlookers"),
      service("vault", "ledger", {
        type: "NodePort",
        ports: [{ port: 80, targetPort: 8080, nodePort: NODE_PORT }],
      }),
      sink(),
      pod("friends", "friend"),
      pod("foes", "foe"),
      pod("watchers", "watcher", { annotations: { [TEAM]: "in" } }),
      pod("onlookers", "onlooker"),
      edit(0),
    ] as KubeObject[]);
    await lab.settled();
    // A translated connection is remembered for 10 s after its reset; a flood would fill the node's table.
    const forget = "echo 1 > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close";
    await must(lab.inNode(["sh", "-c", forget]));
    targets = await everyAddress();
    await lab.startAgent();
    friend = barrage(lab.pod("friends", "friend"), targets, { pause: 100 });
    foe = barrage(lab.pod("foes", "foe"), targets, { pause: 20 });
    watcher = barrage(lab.pod("watchers", "watcher"), targets.slice(0, 1), { pause: 300 });
    await lab.waitFor("first results", () =>
      [friend, foe, watcher].every(({ now }) => now.every((result) => result !== undefined)),
    );
  });

  afterAll(() => lab?.stop());

  function sink(): KubeObject {
    const object = pod("vault", "ledger", { labels: { app: "ledger" } });
    const [container] = object.spec.containers;
    Object.assign(container ?? {}, {
      command: [program("sink"), "8080"],
      readinessProbe: { tcpSocket: { port: 8080 } },
    });
    return object;
  }

  /** ClusterIP, backend and node port, IPv4 and IPv6. */
  async function everyAddress(): Promise<Target[]> {
    const { spec } = await lab.client.get<Service>("/api/v1/namespaces/vault/services/ledger");
    const { ipv4, ipv6 } = lab.pod("vault", "ledger");
    return [
      ...(spec.clusterIPs ?? []).map((address) => ({ address, port: 80 })),
      ...[ipv4, ipv6].map((address) => ({ address, port: 8080 })),
      ...[NODE_IPV4, NODE_IPV6].map((address) => ({ address, port: NODE_PORT })),
    ];
  }

  function edit(index: number): KubeObject {
    return guard("vault", "ledger", versions[index % versions.length]?.rules ?? []);
  }

  const watcherSees = (result: "ok" | "EPERM") =>
    lab.waitFor(`the watcher to see ${result}`, () => watcher.now[0] === result, { intervalMs: 1 });

  /** Nothing but the expected, so far. A changed result of either pod is a connection that an edit tore. */
  function expectNoTear(): void {
    const outcomes = ({ changes }: Barrage) => new Set(changes.map(({ result }) => result));
    expect(outcomes(friend), "results of the pod that is always allowed").toEqual(new Set(["ok"]));
    expect(outcomes(foe), "results of the pod that is always denied").toEqual(new Set(["EPERM"]));
    expect(friend.changes).toHaveLength(targets.length);
    expect(foe.changes).toHaveLength(targets.length);
  }

  test(`${EDITS} policy edits leak nothing and refuse nothing`, async () => {
    for (let index = 1; index <= EDITS; index++) {
      await lab.apply([edit(index)]);
      await watcherSees(versions[index % versions.length]?.watcher ?? "ok");
    }
    expectNoTear();
  });

  test("a second policy object on the same Service may come and go 50 times", async () => {
    await lab.apply([edit(0)]);
    await watcherSees("ok");
    const second = guard("vault", "ledger", [denyOutside("friends")], { name: "second" });
    for (let round = 0; round < 50; round++) {
      await lab.apply([second]);
      await watcherSees("EPERM");
      await lab.delete(second);
      await watcherSees("ok");
    }
    expectNoTear();
  });

  test("20 pods may come and go", async () => {
    for (let round = 0; round < 4; round++) {
      const guests = Array.from({ length: 5 }, (_, index) => pod("friends", `guest-${round}-${index}`));
      await lab.apply(guests);
      await lab.settled();
      const dialling = guests.map(({ metadata: { name } }) =>
        barrage(lab.pod("friends", name), targets, { pause: 1000 }),
      );
      const areLetIn = () => dialling.every(({ now }) => now.every((result) => result === "ok"));
      await lab.waitFor("the guests to be let in", areLetIn);
      await Promise.all(dialling.map((guest) => guest.stop()));
      for (const { metadata } of guests)
        await lab.deletePod("friends", metadata.name, { gracePeriodSeconds: 0 });
    }
    expectNoTear();
  });

  test("annotations may change 50 times, also those of the pods that dial", async () => {
    const byTeam = `!("${TEAM}" in conn.k8s.pod.metadata.annotations) || conn.k8s.pod.metadata.annotations["${TEAM}"] != "in"`;
    const annotate = (namespace: string, name: string, annotations: Record<string, string>) =>
      lab.client.merge(`/api/v1/namespaces/${namespace}/pods/${name}`, { metadata: { annotations } });
    await annotate("friends", "friend", { [TEAM]: "in" });
    await annotate("foes", "foe", { [TEAM]: "out" });
    // A pod's annotations may reach the agent before or after the policy; the friend is named until both are there.
    const transition = `conn.k8s.pod.metadata.name != "friend" && (${byTeam})`;
    await lab.apply([guard("vault", "ledger", [{ expressions: [transition], actions: [{ type: "deny" }] }])]);
    await watcherSees("ok");
    for (let round = 0; round < 50; round++) {
      await annotate("friends", "friend", { "podgate.dev/note": `${round}` });
      await annotate("foes", "foe", { [TEAM]: `out-${round}` });
      const inside = round % 2 === 1;
      await annotate("watchers", "watcher", { [TEAM]: inside ? "in" : "out" });
      await watcherSees(inside ? "ok" : "EPERM");
    }
    expectNoTear();
  });

  test("what the edits left in the kernel is deleted, and deleting tears nothing either", async () => {
    await lab.waitFor("verdicts of old versions to go", () => {
      const current = new Set(
        entries("guards").map(({ value }) => value.readUInt32LE(layouts.guard.version)),
      );
      return entries("verdicts").every(({ key }) =>
        current.has(key.readUInt32LE(layouts.verdict_key.version)),
      );
    });
    const [friendly, hostile, watching] = await Promise.all([friend.stop(), foe.stop(), watcher.stop()]);
    expectNoTear();
    expectOnly(friendly, "ok");
    expectOnly(hostile, "EPERM");
    expect(watching.targets[0]?.errors.EPERM).toBeGreaterThan(EDITS / 2);
    const total = ({ targets }: Report) =>
      targets.reduce((sum, { ok, errors }) => sum + ok + (errors.EPERM ?? 0), 0);
    console.log(
      `tearing.test.ts: ${total(friendly)} allowed, ${total(hostile)} denied in ${friendly.seconds.toFixed(1)} s`,
    );
  });

  function entries(name: "guards" | "verdicts"): Entry[] {
    const map = loadNative().BpfMap.open(mapPin(lab.names.pinDir, name));
    try {
      return readEntries(map);
    } finally {
      map.close();
    }
  }

  function expectOnly(report: Report, result: "ok" | "EPERM"): void {
    expect(report.targets).toHaveLength(targets.length);
    for (const [index, { ok, errors }] of report.targets.entries()) {
      const { address } = targets[index] ?? {};
      expect({ address, ok: ok > 0, errors: Object.keys(errors) }).toEqual({
        address,
        ok: result === "ok",
        errors: result === "ok" ? [] : [result],
      });
    }
  }
});
