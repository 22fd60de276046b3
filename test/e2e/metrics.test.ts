/** What Prometheus is told: as many verdicts as there were connects, and what the caps refuse. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NODE_IPV4 } from "../lab/addresses.ts";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { both } from "./support/attempt.ts";
import { denyAll, denyWhere } from "./support/endpoints.ts";
import { METRICS_PORT, scrape } from "./support/metrics.ts";
import { guard, namespaces, pod, server } from "./support/objects.ts";
import { HOLD_ALL, python, startPython } from "./support/python.ts";
import { openStage, type Stage } from "./support/stage.ts";

const CAP = 8;

let stage: Stage;
const client = () => stage.pod("shop/client");
const address = (name: string) => stage.service(`${name}.bank:80`).IPv4;
const counts = () => scrape(stage.lab.names.nodeNetns);

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  stage = await openStage("metrics", [
    namespaces("bank", "shop"),
    ["open", "closed", "late"].flatMap((name) => server("bank", name)),
    [pod("shop", "client")] as KubeObject[],
    [
      guard("bank", "open", [denyWhere('conn.k8s.pod.metadata.namespace == "nowhere"')]),
      guard("bank", "closed", [denyAll]),
      guard("bank", "late", [denyWhere("conn.client_port == 1")]),
    ] as KubeObject[],
  ]);
  await stage.startAgent("--metrics-address", `${NODE_IPV4}:${METRICS_PORT}`, "--proxy-per-pod", String(CAP));
  await stage.until("shop/client", "late.bank:80", both({ saw: "bank/late" }));
});

afterAll(async () => {
  await stage?.close();
});

describe.skipIf(obstacle() !== undefined)("metrics", () => {
  test("have every connect of a pod, once, as what it came to", async () => {
    const before = await counts();
    const { said } = await python<Record<string, number>>(
      client(),
      `
from collections import Counter
came = Counter()
for address, times in zip(arguments[::2], arguments[1::2]):
    for number in range(int(times)):
        def talk():
            with connect(address, 80) as made:
                made.sendall(b"hello\\n")
                return made.recv(200).decode().split(" ")[0]
        came[outcome(talk)] += 1
say(came)`,
      address("open"),
      300,
      address("closed"),
      200,
      address("late"),
      100,
    );
    expect(said).toEqual([{ "bank/open": 300, EPERM: 200, "bank/late": 100 }]);
    const after = await counts();
    const grown = (name: string) => after(name) - before(name);
    expect({
      allowed: grown('podgate_verdicts_total{verdict="allow",reason="fell-through"}'),
      denied: grown('podgate_verdicts_total{verdict="deny",reason="rule"}'),
      proxied: grown('podgate_verdicts_total{verdict="proxy",reason="pending"}'),
      overLimit: grown('podgate_verdicts_total{verdict="deny",reason="over-limit"}'),
      lost: grown('podgate_events_lost_total{stage="ring-buffer"}'),
    }).toEqual({ allowed: 300, denied: 200, proxied: 100, overLimit: 0, lost: 0 });
  });

  test("44: have what a cap refuses, and how many there are of how many", async () => {
    const before = await counts();
    const held = startPython<[number, number]>(
      client(),
      `${HOLD_ALL}
held, refused = hold_all(arguments[0], 50)
say([len(held), refused])
sys.stdin.readline()`,
      address("late"),
    );
    try {
      expect(await held.next()).toEqual([CAP, 50 - CAP]);
      const during = await counts();
      const names = [
        'podgate_verdicts_total{verdict="deny",reason="over-limit"}',
        'podgate_proxy_refused_total{reason="over-limit"}',
      ];
      const [kernel = 0, proxy = 0] = names.map((name) => during(name) - before(name));
      expect(kernel + proxy).toBe(50 - CAP);
      expect(kernel).toBeGreaterThan(0);
      expect(during("podgate_proxy_connections")).toBe(CAP);
      expect(during("podgate_proxy_connections_pending")).toBe(0);
      expect(during("podgate_proxy_connections_limit")).toBeGreaterThan(CAP);
      expect(during("podgate_proxy_connections_pending_limit")).toBe(1000);
    } finally {
      held.end();
    }
    await stage.lab.waitFor(
      "none to be open",
      async () => (await counts())("podgate_proxy_connections") === 0,
    );
  });

  test("have what comes to a listener and was not sent there", async () => {
    const name = 'podgate_proxy_refused_total{reason="stray"}';
    const before = await counts();
    const { said } = await python<string>(
      client(),
      `
ports = [line.split() for line in open("/proc/net/tcp")]
port = next(int(words[1].split(":")[1], 16) for words in ports if words[1].startswith("0100007F") and words[3] == "0A")
for number in range(5):
    say(outcome(lambda: connect("127.0.0.1", port).recv(1) and "data"))`,
    );
    expect(said).toEqual(Array.from({ length: 5 }, () => "ECONNRESET"));
    expect((await counts())(name) - before(name)).toBe(5);
  });
});
