/** A tenant whose policies are as slow as policies may be, or whose pods' buffers as large: who suffers. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { must } from "../lab/command.ts";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { both } from "./support/attempt.ts";
import { denyWhere } from "./support/endpoints.ts";
import { guard, namespaces, pod, server, service } from "./support/objects.ts";
import { python, startPython } from "./support/python.ts";
import { openStage, type Stage } from "./support/stage.ts";

const ATTACKERS = ["mallory/one", "mallory/two", "mallory/three"];
/** Of each guard: asked for every connection, and so many that nobody is asked to the end. */
const POLICIES = { slow: 3, crowd: 40 };
const SECONDS = 6;
/** A policy whose one evaluation costs what a policy may, and which hangs on the connection. */
const list = `[${Array.from({ length: 100 }, (_, i) => i).join()}]`;
const slow = denyWhere(
  `${list}.all(a, ${list}.all(b, a + b + conn.client_port > 0)) && conn.client_port == 1`,
);

/** Always as many connects on their way as may be. */
const FLOOD = `
import threading
say("begins")
def dial():
    while True:
        made = socket.socket(family(arguments[0]))
        made.settimeout(30)
        if outcome(lambda: made.connect((arguments[0], 80))) is None:
            outcome(lambda: made.recv(1))
        made.close()
for _ in range(60): threading.Thread(target=dial, daemon=True).start()
sys.stdin.readline()`;

let stage: Stage;
const open = () => stage.service("open.bank:80").IPv4;

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  stage = await openStage("hostile", [
    namespaces("bank", "shop", "mallory"),
    server("bank", "open"),
    [service("mallory", "sink"), pod("mallory", "sink", { labels: { app: "sink" } })] as KubeObject[],
    Object.keys(POLICIES).flatMap((name) => server("mallory", name)),
    [
      pod("shop", "client"),
      ...ATTACKERS.map((key) => pod("mallory", key.split("/")[1] ?? "")),
    ] as KubeObject[],
    [
      guard("bank", "open", [denyWhere("conn.client_port == 1")]),
      guard("mallory", "sink", [denyWhere("conn.client_port == 1")]),
      ...Object.entries(POLICIES).flatMap(([service, count]) =>
        Array.from({ length: count }, (_, i) =>
          guard("mallory", service, [slow, slow, slow], { name: `${service}${i}` }),
        ),
      ),
    ],
  ]);
  await stage.startAgent();
  await stage.until("shop/client", "open.bank:80", both({ saw: "bank/open" }));
});

afterAll(async () => {
  await stage?.close();
});

describe.skipIf(obstacle() !== undefined)("policies that take long", () => {
  test.each(
    Object.keys(POLICIES),
  )("are their tenant's affair, who dials %s: another's connects are decided meanwhile", async (name) => {
    const slowAt = stage.service(`${name}.mallory:80`);
    const floods = ATTACKERS.flatMap((key) =>
      [slowAt.IPv4, slowAt.IPv6].map((address) => startPython(stage.pod(key), FLOOD, address)),
    );
    for (const flood of floods) await flood.next();
    const { said } = await python<[string, number]>(
      stage.pod("shop/client"),
      `
end = time.monotonic() + float(arguments[1])
def talk():
    made = connect(arguments[0], 80)
    made.sendall(b"hello\\n")
    return made.recv(200).decode().split(" ")[0]
while time.monotonic() < end:
    start = time.monotonic()
    say([outcome(talk), time.monotonic() - start])
    time.sleep(0.05)`,
      open(),
      SECONDS,
    );
    for (const flood of floods) flood.end();
    expect(said.length).toBeGreaterThan(SECONDS);
    expect(said.filter(([saw, took]) => saw !== "bank/open" || took > 2)).toEqual([]);
  });
});

test.skipIf(obstacle() !== undefined)(
  "a pod's sysctls do not say how much the proxy keeps for a server that never reads",
  async () => {
    const mallory = stage.pod("mallory/one");
    const large = "4096 268435456 268435456";
    const sysctls = [`net.ipv4.tcp_rmem=${large}`, `net.ipv4.tcp_wmem=${large}`];
    await must(["nsenter", `--net=${mallory.netns}`, "sysctl", "-w", ...sysctls]);
    const sink = startPython<string>(
      stage.pod("mallory/sink"),
      `
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
listener.bind(("0.0.0.0", 8080))
listener.listen(10)
say("listens")
kept = [listener.accept() for _ in iter(int, 1)]`,
    );
    try {
      await sink.next();
      const { said } = await python<number>(
        mallory,
        `
made = None
while made is None:
    made = outcome(lambda: connect(arguments[0], 80))
    if isinstance(made, str): made = time.sleep(0.1)
made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
made.setblocking(False)
total, last = 0, time.monotonic()
while time.monotonic() < last + 2 and total < 1 << 26:
    sent = outcome(lambda: made.send(bytes(1 << 20)))
    if isinstance(sent, int): total, last = total + sent, time.monotonic()
    else: time.sleep(0.001)
say(total)`,
        stage.service("sink.mallory:80").IPv4,
      );
      expect(said[0]).toBeGreaterThan(0);
      expect(said[0]).toBeLessThan(16 << 20);
    } finally {
      sink.end();
    }
  },
);
