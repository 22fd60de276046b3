/** A pod with several addresses: the server sees the one that the client has chosen, through the proxy as without it. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { must } from "../lab/command.ts";
import type { KubeObject } from "../lab/kube-objects.ts";
import { inNetns } from "../lab/node.ts";
import { hostVeth } from "../lab/pod-network.ts";
import { obstacle } from "./rig.ts";
import { both } from "./support/attempt.ts";
import { denyWhere } from "./support/endpoints.ts";
import { guard, namespaces, pod, server } from "./support/objects.ts";
import { python } from "./support/python.ts";
import { openStage, type Stage } from "./support/stage.ts";
import { lineOf } from "./support/verdict-lines.ts";

const SECOND4 = "198.51.100.7";
const SECOND6 = "2001:db8:77::7";

let stage: Stage;
const client = () => stage.pod("shop/client");

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  stage = await openStage("sources", [
    namespaces("bank", "shop"),
    ["plain", "open"].flatMap((name) => server("bank", name)),
    [pod("shop", "client"), guard("bank", "open", [denyWhere("conn.client_port == 1")])] as KubeObject[],
  ]);
  for (const address of [`${SECOND4}/32`, `${SECOND6}/128`]) {
    await must(inNetns(client().netns, ["ip", "address", "add", address, "dev", "eth0", "nodad"]));
    await must(
      inNetns(stage.lab.names.nodeNetns, ["ip", "route", "add", address, "dev", hostVeth(client().uid)]),
    );
  }
  await stage.startAgent();
  await stage.until("shop/client", "open.bank:80", both({ saw: "bank/open", line: { layer: "proxy" } }));
});

afterAll(async () => {
  await stage?.close();
});

/** Who answers, and the address that it saw. `own`: what the client binds to: an address, eth0, or nothing if it is empty. */
async function asSeen(to: string, own: string, family: string) {
  const { IPv4, IPv6 } = stage.service(to);
  const address = family === "IPv4" ? IPv4 : family === "IPv6" ? IPv6 : `::ffff:${IPv4}`;
  const { said, comm } = await python<string>(
    client(),
    `
address, own = arguments
def talk():
    made = socket.socket(family(address))
    made.settimeout(5)
    if own == "eth0": made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    elif own: made.bind((own, 0))
    made.connect((address, 80))
    if ("." in own or ":" in own) and made.getsockname()[0] != own: return "bound to " + made.getsockname()[0]
    made.sendall(b"hello\\n")
    return made.recv(200).decode().strip()
say(outcome(talk))`,
    address,
    own,
  );
  return { said: said[0], comm };
}

describe.skipIf(obstacle() !== undefined)("the server sees", () => {
  const choices: [string, string, () => string, () => string][] = [
    ["the second address of a client bound to it", "IPv4", () => SECOND4, () => SECOND4],
    ["the second address of a client bound to it", "IPv6", () => SECOND6, () => SECOND6],
    [
      "the second address of a client bound to it",
      "v4-mapped IPv6",
      () => `::ffff:${SECOND4}`,
      () => SECOND4,
    ],
    ["the first address of a client bound to it", "IPv4", () => client().ipv4, () => client().ipv4],
    ["the first address of a client bound to it", "IPv6", () => client().ipv6, () => client().ipv6],
    [
      "the first address of a client bound to it",
      "v4-mapped IPv6",
      () => `::ffff:${client().ipv4}`,
      () => client().ipv4,
    ],
  ];
  test.each(choices)("%s, %s", async (_, family, own, seen) => {
    expect((await asSeen("plain.bank:80", own(), family)).said).toBe(`bank/plain ${seen()}`);
    const { said, comm } = await asSeen("open.bank:80", own(), family);
    expect(said).toBe(`bank/open ${seen()}`);
    expect(await lineOf({ comm }, () => stage.log())).toMatchObject({ verdict: "allow", layer: "proxy" });
  });

  test.each([
    "IPv4",
    "IPv6",
    "v4-mapped IPv6",
  ])("what the pod's routes prefer of a client bound to nothing, %s", async (family) => {
    const ip = (...words: string[]) => must(inNetns(client().netns, ["ip", ...words]));
    const isIpv6 = family === "IPv6";
    for (const at of ["plain.bank:80", "open.bank:80"]) {
      const { said: before } = await asSeen(at, "", family);
      expect(before).toContain(` ${isIpv6 ? client().ipv6 : client().ipv4}`);
      const to = stage.service(at)[isIpv6 ? "IPv6" : "IPv4"];
      const [gateway = ""] =
        /via \S+ dev eth0/.exec(
          await must(inNetns(client().netns, ["ip", isIpv6 ? "-6" : "-4", "route", "show", "default"])),
        ) ?? [];
      const route = [to, ...gateway.split(" "), "src", isIpv6 ? SECOND6 : SECOND4];
      await ip("route", "add", ...route);
      try {
        expect((await asSeen(at, "", family)).said).toContain(` ${isIpv6 ? SECOND6 : SECOND4}`);
      } finally {
        await ip("route", "delete", ...route);
      }
    }
  });
});

describe.skipIf(obstacle() !== undefined)("a client bound to an interface, where no loopback is,", () => {
  test.each(["IPv4", "IPv6", "v4-mapped IPv6"])("is refused at once: %s", async (family) => {
    expect((await asSeen("plain.bank:80", "eth0", family)).said).toContain("bank/plain ");
    const { said, comm } = await asSeen("open.bank:80", "eth0", family);
    expect(said).toBe("EPERM");
    expect(await lineOf({ comm }, () => stage.log())).toMatchObject({
      verdict: "deny",
      reason: "target-not-routable",
      layer: family === "IPv4" ? "connect4" : "connect6",
    });
  });
});
