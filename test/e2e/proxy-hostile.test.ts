/** A tenant whose policies are as slow as policies may be, and whose pods dial what they guard: who suffers. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { both } from "./support/attempt.ts";
import { denyWhere } from "./support/endpoints.ts";
import { guard, namespaces, pod, server } from "./support/objects.ts";
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
    Object.keys(POLICIES).flatMap((name) => server("mallory", name)),
    [
      pod("shop", "client"),
      ...ATTACKERS.map((key) => pod("mallory", key.split("/")[1] ?? "")),
    ] as KubeObject[],
    [
      guard("bank", "open", [denyWhere("conn.client_port == 1")]),
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
