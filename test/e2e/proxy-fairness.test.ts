/** Ten pods that hold all that they may, and an eleventh. Trust test 44. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { must } from "../lab/command.ts";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { both } from "./support/attempt.ts";
import { makePair } from "./support/certificates.ts";
import { denyWhere, tlsEndpoint } from "./support/endpoints.ts";
import { guard, namespaces, pod, server } from "./support/objects.ts";
import { startPython } from "./support/python.ts";
import { openStage, type Stage } from "./support/stage.ts";
import { verdictLines } from "./support/verdict-lines.ts";

const HOARDERS = Array.from({ length: 10 }, (_, index) => `hoarder${index}`);
const PER_POD = 10;
const IN_ALL = HOARDERS.length * PER_POD;
/** What the eleventh wants at the same time. */
const WANTED = 8;

const DIAL = `
import ssl
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
def answered(made):
    made.sendall(b"hello\\n")
    return made.recv(200).decode().split(" ")[0]
def silent(address):
    return connect(address, 80)
def spoken(address):
    made = silent(address)
    return made if answered(made) else None
def secured(address):
    made = context.wrap_socket(silent(address))
    return made if answered(made) else None
`;

/** Dials without end, and keeps what it gets; says when it is refused for the first time, and in the end how many it has. */
const HOARD = `${DIAL}
held, told = [], False
def look():
    for each in list(held):
        each.setblocking(False)
        if outcome(lambda: each.recv(1) and "data") != "EAGAIN": held.remove(each)
while not select.select([sys.stdin], [], [], 0.03)[0]:
    made = outcome(lambda: globals()[arguments[1]](arguments[0]))
    before = len(held)
    look()
    if isinstance(made, str) or len(held) < before:
        if not told: say("refused")
        told = True
    if made is not None and not isinstance(made, str): held.append(made)
time.sleep(0.5) # the last one dialled may not have been looked at yet
look()
say(len(held))`;

/** Is served forty times, one after the other; then wants some at the same time, and says which of them go on. */
const VISIT = `${DIAL}
visited, visit, wanted, want, number = arguments
say([outcome(lambda: globals()[visit](visited) and "served") for turn in range(40)])
held = [outcome(lambda: globals()[want](wanted)) for turn in range(int(number))]
time.sleep(1)
def state(each):
    if isinstance(each, str): return each
    each.settimeout(0.01)
    return outcome(lambda: each.recv(1) and "data" or "closed")
say([state(each) for each in held])
sys.stdin.readline()`;

let stage: Stage;
const address = (name: string) => stage.service(`${name}.bank:80`).IPv4;

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  const { certificate, key } = makePair({ subject: "/CN=vault.bank", names: "DNS:vault.bank" });
  const config = { server_private_key: key, server_certificate: certificate };
  stage = await openStage("fairness", [
    namespaces("bank", "shop"),
    ["open", "hole", "vault"].flatMap((name) => server("bank", name)),
    [...HOARDERS, "visitor"].map((name) => pod("shop", name)) as KubeObject[],
    ["open", "hole"].map((name) => guard("bank", name, [denyWhere("conn.client_port == 1")])),
    [tlsEndpoint("bank/vault", [{ actions: [{ type: "terminate-tls", config }] }])],
  ]);
  const lost = "table inet lost { chain input { type filter hook input priority 0; tcp flags syn drop; }; }";
  await must(["nsenter", `--net=${stage.pod("bank/hole").netns}`, "nft", lost]);
});

afterAll(async () => {
  await stage?.close();
});

describe.skipIf(obstacle() !== undefined)("44: ten pods that each hold all that one may", () => {
  afterEach(() => stage.stopAgent(), 30_000);

  test.each([
    { what: "pending ones", flag: "--proxy-pending", hoard: ["hole", "silent"], visit: ["open", "spoken"] },
    { what: "connections", flag: "--proxy", hoard: ["open", "spoken"], visit: ["open", "spoken"] },
    { what: "TLS", flag: "--proxy-tls", hoard: ["vault", "silent"], visit: ["vault", "secured"] },
  ] as const)("leave an eleventh its share of $what, and keep theirs", async ({ flag, hoard, visit }) => {
    await stage.startAgent(
      ...[`${flag}-per-pod`, `${PER_POD}`, `${flag}-in-all`, `${IN_ALL}`, "--drain-timeout", "0"],
      ...["--connect-timeout", "60s", "--tls-handshake-timeout", "60s"],
    );
    for (const name of [...HOARDERS, "visitor"])
      await stage.until(`shop/${name}`, "open.bank:80", both({ saw: "bank/open" }));
    const hoarders = HOARDERS.map((name) =>
      startPython<"refused" | number>(stage.pod(`shop/${name}`), HOARD, address(hoard[0]), hoard[1]),
    );
    const running: { readonly end: () => void }[] = [...hoarders];
    try {
      for (const { next } of hoarders) expect(await next()).toBe("refused");
      const visitor = startPython<readonly string[]>(
        stage.pod("shop/visitor"),
        VISIT,
        ...[address(visit[0]), visit[1], address(hoard[0]), hoard[1], WANTED],
      );
      running.push(visitor);
      expect(await visitor.next()).toEqual(Array(40).fill("served"));
      expect(await visitor.next()).toEqual(Array(WANTED).fill("timed out"));
      for (const { tell } of hoarders) tell();
      const left = await Promise.all(hoarders.map(({ next }) => next().then(Number)));
      console.log(`left to ten: ${left}, of ${IN_ALL - WANTED}`);
      expect(Math.min(...left)).toBeGreaterThanOrEqual(Math.floor((IN_ALL - WANTED) / HOARDERS.length));
      expect(left.reduce((sum, each) => sum + each)).toBeLessThanOrEqual(IN_ALL - WANTED);
      const lines = verdictLines(await stage.log()).filter(({ reason }) => reason === "over-limit");
      const ofVisitor = lines.filter(({ pod }) => pod?.name === "visitor");
      expect([lines.some(({ layer }) => layer === "proxy"), ofVisitor]).toEqual([true, []]);
    } finally {
      for (const { end } of running) end();
    }
  });
});
