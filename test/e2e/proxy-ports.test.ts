/** Source ports that the proxy knows: of a connection that ended, that lasts, or that never came. Part of trust test 48. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { must } from "../lab/command.ts";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { both } from "./support/attempt.ts";
import { denyWhere } from "./support/endpoints.ts";
import { guard, namespaces, pod, server } from "./support/objects.ts";
import { python } from "./support/python.ts";
import { openStage, type Stage } from "./support/stage.ts";

let stage: Stage;
const client = () => stage.pod("shop/client");

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  stage = await openStage("ports", [
    namespaces("bank", "shop"),
    ["open", "late"].flatMap((name) => server("bank", name)),
    [
      pod("shop", "client"),
      guard("bank", "open", [denyWhere("conn.client_port == 1")]),
      guard("bank", "late", [denyWhere("conn.ts.start > timestamp('2020-01-01T00:00:00Z')")]),
    ] as KubeObject[],
  ]);
  await stage.startAgent();
});

afterAll(async () => {
  await stage?.close();
});

/** What the proxy listens on in the client's network; nothing else does there. */
async function ports(): Promise<{ port4: number; port6: number }> {
  const found = await must(["nsenter", `--net=${client().netns}`, "ss", "-Hltn"]);
  const port = (pattern: RegExp) => Number(pattern.exec(found)?.[1]);
  return { port4: port(/127\.0\.0\.1:(\d+)/), port6: port(/\[::1\]:(\d+)/) };
}

/** `bound(source, port)`; `talk(socket)`: who answers. */
const SOCKETS = `
def bound(source, number):
    made = socket.socket(family(source))
    made.settimeout(5)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((source, number))
    return made
`;

describe.skipIf(obstacle() !== undefined)("48: a pod", () => {
  beforeEach(() => stage.until("shop/client", "open.bank:80", both({ saw: "bank/open" })), 20_000);

  test("gets nothing by a source port that the proxy knows, from before or of now", async () => {
    const { port4, port6 } = await ports();
    const { IPv4, IPv6 } = stage.service("open.bank:80");
    for (const [address, loopback, other, port] of [
      [IPv4, "127.0.0.1", "127.0.0.2", port4],
      [IPv6, "::1", client().ipv6, port6],
    ] as const) {
      const { said } = await python<Record<string, string>>(
        client(),
        `${SOCKETS}
address, loopback, other, port = arguments[0], arguments[1], arguments[2], int(arguments[3])
def direct(source, number):
    made = bound(source, number)
    made.connect((loopback, port))
    return talk(made)
first = bound("::" if ":" in address else "0.0.0.0", 0)
first.connect((address, 80))
number = first.getsockname()[1]
said = {"proxied": talk(first), "meanwhile": outcome(lambda: direct(other, number))}
said["still"] = outcome(lambda: talk(first))
reset(first)
said["later"] = outcome(lambda: direct(loopback, number))
said["and"] = outcome(lambda: direct(other, number))
say(said)`,
        address,
        loopback,
        other,
        port,
      );
      expect(said[0]).toEqual({
        proxied: "bank/open",
        meanwhile: "ECONNRESET",
        still: "bank/open",
        later: "ECONNRESET",
        and: "ECONNRESET",
      });
    }
  });

  test("gets nothing by a connection that never reaches the listener, from another address with its port", async () => {
    const { port4 } = await ports();
    const own = client().ipv4;
    const drop = `table inet stale { chain out { type filter hook output priority 0; ip saddr ${own} tcp dport ${port4} drop; }; }`;
    await must(["nsenter", `--net=${client().netns}`, "nft", drop]);
    try {
      for (const name of ["late", "open"]) {
        const { said } = await python<string>(
          client(),
          `${SOCKETS}
address, own, port = arguments[0], arguments[1], int(arguments[2])
lost = bound(own, 0)
lost.setblocking(False)
lost.connect_ex((address, 80))
number = lost.getsockname()[1]
def direct(source):
    made = bound(source, number)
    made.connect(("127.0.0.1", port))
    return talk(made)
say(outcome(lambda: direct("127.0.0.2")))
say(outcome(lambda: direct("127.0.0.3")))`,
          stage.service(`${name}.bank:80`).IPv4,
          own,
          port4,
        );
        expect(said).toEqual(["ECONNRESET", "ECONNRESET"]);
      }
    } finally {
      await must(["nsenter", `--net=${client().netns}`, "nft", "delete table inet stale"]);
    }
  });
});
