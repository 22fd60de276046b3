/** Where a verdict comes to hang on no connection any more, the kernel has it: from then on no connect needs the proxy. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NODE_IPV4, NODE_IPV6 } from "../lab/addresses.ts";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { allowed, both, denied } from "./support/attempt.ts";
import { denyAll, denyWhere } from "./support/endpoints.ts";
import { guard, namespaces, pod, server } from "./support/objects.ts";
import { startPython } from "./support/python.ts";
import { openStage, type Stage } from "./support/stage.ts";

const TRUSTED = "podgate.dev/trusted";
const strangers = denyWhere(`!("${TRUSTED}" in conn.k8s.pod.metadata.annotations) && conn.client_port == 1`);
const NODE_PORT = 30081;
const someMoment = denyWhere("conn.client_port == 1");

let stage: Stage;

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  stage = await openStage("settled", [
    namespaces("bank", "shop"),
    ["lobby", "edited", "busy"].flatMap((name) => server("bank", name)),
    server("bank", "gate", {
      type: "NodePort",
      ports: [{ port: 80, targetPort: 8080, nodePort: NODE_PORT }],
    }),
    [pod("shop", "client"), pod("shop", "other"), guard("bank", "lobby", [strangers])] as KubeObject[],
    ["edited", "busy"].map((name) => guard("bank", name, [someMoment])),
  ]);
  await stage.startAgent();
});

afterAll(async () => {
  await stage?.close();
});

const byProxy = (by: string) => both(allowed(by, { layer: "proxy", reason: "fell-through" }));
const byKernel = (line: (layer: string) => object) => ({ IPv4: line("connect4"), IPv6: line("connect6") });

describe.skipIf(obstacle() !== undefined)("no connect needs the proxy", () => {
  test("at a node port, for what hangs on the caller's address: its family is the node's that was dialled", async () => {
    const { ipv4 } = stage.pod("shop/client");
    const allow = [`${ipv4}/32`];
    await stage.lab.apply([
      guard("bank", "gate", [{ actions: [{ type: "restrict-ips", config: { allow } }] }]),
    ] as KubeObject[]);
    const node = { IPv4: NODE_IPV4, IPv6: NODE_IPV6, port: NODE_PORT };
    await stage.until("shop/client", node, {
      IPv4: { saw: "bank/gate", line: { verdict: "allow", layer: "connect4" } },
      IPv6: denied({ layer: "connect6", reason: "rule" }),
    });
  });
});

describe.skipIf(obstacle() !== undefined)("the next connect needs no proxy", () => {
  test("when a pod's annotation decides what its connections did, of this pod and no other", async () => {
    for (const from of ["shop/client", "shop/other"])
      await stage.until(from, "lobby.bank:80", byProxy("bank/lobby"));
    await stage.lab.apply([pod("shop", "client", { annotations: { [TRUSTED]: "yes" } })] as KubeObject[]);
    const settled = byKernel((layer) => allowed("bank/lobby", { layer, reason: "fell-through" }));
    await stage.until("shop/client", "lobby.bank:80", settled);
    expect(await stage.dial("shop/client", "lobby.bank:80")).toMatchObject(settled);
    expect(await stage.dial("shop/other", "lobby.bank:80")).toMatchObject(byProxy("bank/lobby"));
  });

  test("when a policy is edited into one that needs none", async () => {
    await stage.until("shop/client", "edited.bank:80", byProxy("bank/edited"));
    await stage.lab.apply([guard("bank", "edited", [denyAll])]);
    const settled = byKernel((layer) => denied({ layer, reason: "rule" }));
    await stage.until("shop/client", "edited.bank:80", settled);
    expect(await stage.dial("shop/client", "edited.bank:80")).toMatchObject(settled);
  });

  test.each([
    "IPv4",
    "IPv6",
  ] as const)("after the one that is on its way to the proxy when the policy changes: %s", async (family) => {
    await stage.lab.apply([guard("bank", "busy", [someMoment])]);
    await stage.until("shop/client", "busy.bank:80", byProxy("bank/busy"));
    const running = startPython<string>(
      stage.pod("shop/client"),
      `
def attempt():
    made = connect(arguments[0], 80)
    try:
        return "proxied" if talk(made) else "closed"
    finally:
        reset(made)
end = time.time() + 30
seen = []
while seen.count("EPERM") < 50 and time.time() < end:
    seen.append(outcome(attempt))
    if len(seen) == 20: say("begun")
say(" ".join(seen))`,
      stage.service("busy.bank:80")[family],
    );
    try {
      expect(await running.next()).toBe("begun");
      await stage.lab.apply([guard("bank", "busy", [denyAll])]);
      // Whom the proxy denies it resets.
      expect(await running.next()).toMatch(/^(proxied )+(ECONNRESET )?EPERM( EPERM)+$/);
    } finally {
      running.end();
    }
  });
});
