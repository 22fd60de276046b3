/** Who is not where it should be: undecided connections of processes outside their pod's network or cgroup are refused. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { both } from "./support/attempt.ts";
import { dial, placeAt, type Runner } from "./support/dial.ts";
import { denyWhere } from "./support/endpoints.ts";
import { guard, namespaces, pod, server } from "./support/objects.ts";
import { startPython } from "./support/python.ts";
import { openStage, type Stage } from "./support/stage.ts";
import { lineOf } from "./support/verdict-lines.ts";

let stage: Stage;
const client = () => stage.pod("shop/client");
const open = () => stage.service("open.bank:80");
const serves = () => stage.until("shop/client", "open.bank:80", both({ saw: "bank/open" }));

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  stage = await openStage("places", [
    namespaces("bank", "shop"),
    server("bank", "open"),
    [pod("shop", "client"), pod("shop", "sibling")] as KubeObject[],
    [pod("shop", "host", { hostNetwork: true })] as KubeObject[],
    [guard("bank", "open", [denyWhere("conn.client_port == 1")])] as KubeObject[],
  ]);
  await stage.startAgent();
});

afterAll(async () => {
  await stage?.close();
});

async function refused(from: Runner, reason: string): Promise<void> {
  const { IPv4, IPv6 } = open();
  for (const address of [IPv4, IPv6, `::ffff:${IPv4}`]) {
    const { error, comm } = await dial(from, address, 80);
    expect({ address, error }).toEqual({ address, error: "EPERM" });
    expect(await lineOf({ comm }, () => stage.log())).toMatchObject({ verdict: "deny", reason });
  }
}

/** Makes a socket, waits, and dials with that one and with a new one. */
const MOVED = `
address = arguments[0]
before = socket.socket(family(address))
before.settimeout(5)
say(os.getpid())
sys.stdin.readline()
def talk(made):
    made.settimeout(5)
    made.connect((address, 80))
    made.sendall(b"hello\\n")
    return made.recv(200).decode().split(" ")[0]
say([outcome(lambda: talk(before)), outcome(lambda: talk(socket.socket(family(address))))])`;

async function moved(to: string): Promise<unknown[]> {
  const { IPv4, IPv6 } = open();
  const answers: unknown[] = [];
  for (const address of [IPv4, IPv6]) {
    const running = startPython<unknown>(client(), MOVED, address);
    try {
      writeFileSync(join(to, "cgroup.procs"), String(await running.next()));
      running.tell();
      answers.push(await running.next());
    } finally {
      running.end();
    }
  }
  return answers;
}

describe.skipIf(obstacle() !== undefined)("an undecided connection", () => {
  beforeEach(serves, 20_000);

  test("of a hostNetwork pod is refused, and of a pod that joined the node's network", async () => {
    await refused(stage.pod("shop/host"), "pending");
    const { nodeNetns } = stage.lab.names;
    await refused(placeAt(client().containerCgroup(), nodeNetns), "pending");
  });

  test("from a network that the pod made itself is refused, and gives the pod no second listener", async () => {
    const inside: Runner = {
      exec: (argv) =>
        client().exec(["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", ...argv]),
    };
    await refused(inside, "pending");
    const held = client().spawn(["unshare", "--net", "sleep", "60"]);
    try {
      await stage.relistPods();
      await serves();
    } finally {
      held.kill("SIGKILL");
    }
  });

  test("from another pod's network is refused", async () => {
    await refused(placeAt(stage.pod("shop/sibling").containerCgroup(), client().netns), "identity-mismatch");
  });

  test("of a process that was moved to another pod is refused, with an old socket and a new one", async () => {
    const to = stage.pod("shop/sibling").containerCgroup();
    expect(await moved(to)).toEqual([
      ["EPERM", "EPERM"],
      ["EPERM", "EPERM"],
    ]);
  });

  test("of a process that was moved to where no pod is, is refused", async () => {
    const nowhere = join(stage.lab.cgroupRoot, "nowhere");
    mkdirSync(nowhere, { recursive: true });
    expect(await moved(nowhere)).toEqual([
      ["EPERM", "EPERM"],
      ["EPERM", "EPERM"],
    ]);
  });

  test("of a process that moved within its pod is decided", async () => {
    const deeper = join(client().containerCgroup(), "deeper");
    mkdirSync(deeper, { recursive: true });
    expect(await moved(deeper)).toEqual([
      ["bank/open", "bank/open"],
      ["bank/open", "bank/open"],
    ]);
  });
});
