/** How many undecided connections of one pod the kernel keeps notes of, while nobody takes any. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { encodeAddress, layouts } from "../../agent/dataplane/abi.ts";
import { decodeRedirect } from "../../agent/dataplane/redirect-table.ts";
import { readEntries } from "../../agent/dataplane/table.ts";
import { leftovers } from "../lab/cleanup.ts";
import { must } from "../lab/command.ts";
import { type Lab, startLab } from "../lab/lab.ts";
import { obstacle } from "./rig.ts";
import { type InPodListener, listenIn } from "./support/in-pod-listener.ts";
import { namespaces, pod } from "./support/objects.ts";
import { startPython } from "./support/python.ts";
import { Redirection } from "./support/redirection.ts";

const WAITING = 50;
const FLOODERS = 4;
const EACH = 200;

/** Several processes at once, none of which waits to be connected. Says what the connects came to. */
const FLOOD = `
from collections import Counter
def flood():
    saw, made = Counter(), []
    for number in range(int(arguments[1])):
        each = socket.socket(family(arguments[0]))
        each.setblocking(False)
        saw[outcome(lambda: each.connect((arguments[0], 8080)) or "connected")] += 1
        made.append(each)
    return saw, made
children = []
for number in range(int(arguments[2])):
    mine, its = os.pipe(), os.pipe()
    if os.fork() == 0:
        os.close(its[1])
        saw, made = flood()
        os.write(mine[1], json.dumps(saw).encode())
        os.read(its[0], 1)
        os._exit(0)
    children.append((mine[0], its[1]))
total = Counter()
for says, _ in children: total.update(json.loads(os.read(says, 1000)))
say(total)
sys.stdin.readline()
for _, tell in children: os.close(tell)
for _ in children: os.wait()
say({})
sys.stdin.readline()`;

type Saw = Readonly<Record<string, number>>;

describe.skipIf(obstacle() !== undefined)("44: connects that nobody accepts", () => {
  let lab: Lab;
  let redirection: Redirection;
  const listeners: InPodListener[] = [];
  const client = () => lab.pod("apps", "client");
  const sibling = () => lab.pod("apps", "sibling");
  const back = () => lab.pod("shop", "back");

  beforeAll(async () => {
    lab = await startLab({ name: `notes-${process.pid}` });
    await lab.apply([
      ...namespaces("shop", "apps"),
      pod("shop", "back", { ports: [8080] }),
      pod("apps", "client"),
      pod("apps", "sibling"),
      pod("apps", "node-program", { hostNetwork: true }),
    ]);
    await lab.settled();
    const proxy = { action: "proxy", reason: "pending", rule: 3 } as const;
    redirection = new Redirection(lab, {
      pods: { known: [back(), client(), sibling()], node: lab.pod("apps", "node-program") },
      verdicts: { [`${back().ipv4} 8080`]: proxy, [`${back().ipv6} 8080`]: proxy },
      waiting: WAITING,
    });
    await redirection.enforce();
    for (const each of [client(), sibling()]) listeners.push(await listenIn(each));
  });

  afterAll(async () => {
    for (const listener of listeners) await listener.stop();
    redirection?.close();
    await lab?.stop();
    if (lab !== undefined) expect(leftovers(lab.names)).toEqual([]);
  });

  beforeEach(() => {
    redirection.beat();
    redirection.listeners.clear();
    for (const [index, each] of [client(), sibling()].entries())
      redirection.listeners.put(redirection.cookie(each), listeners[index] ?? {});
  });

  const notes = () =>
    readEntries(redirection.kernel.maps.redirects).map(({ key, value }) => ({
      cookie: key.readBigUInt64LE(layouts.redirect_key.netns_cookie),
      port: key.readUInt16LE(layouts.redirect_key.port),
      redirect: decodeRedirect(value),
    }));
  const notesOf = (from = client()) => notes().filter(({ cookie }) => cookie === redirection.cookie(from));
  const flood = (from = client(), each = EACH, processes = FLOODERS, to: "ipv4" | "ipv6" = "ipv4") =>
    startPython<Saw>(from, FLOOD, back()[to], each, processes);

  /** The most notes that there are at any look, until it is over. */
  async function most(during: Promise<unknown>): Promise<number> {
    let over = false;
    const ended = during.finally(() => {
      over = true;
    });
    let seen = 0;
    while (!over) {
      seen = Math.max(seen, notesOf().length);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await ended;
    return seen;
  }

  test.each([
    "ipv4",
    "ipv6",
  ] as const)("have so many notes and no more at any moment, and leave others theirs, over %s", async (family) => {
    const flooding = flood(client(), EACH, FLOODERS, family);
    let saw: Saw = {};
    const seen = await most(flooding.next().then((said) => (saw = said)));
    try {
      expect(seen).toBeLessThanOrEqual(WAITING);
      expect(notesOf().length).toBe(WAITING);
      expect(saw.EPERM).toBeGreaterThanOrEqual(FLOODERS * EACH - WAITING - FLOODERS);
      const other = flood(sibling(), 10, 1, family);
      expect((await other.next()).EPERM).toBeUndefined();
      expect(notesOf(sibling()).length).toBe(10);
      other.end();
    } finally {
      flooding.end();
    }
  });

  test("leave room for as many as are taken or end, whatever way, and for no more", async () => {
    const cookie = redirection.cookie(client());
    for (let round = 0; round < 8; round++) {
      const flooding = flood();
      await flooding.next();
      expect([round, notesOf().length]).toEqual([round, WAITING]);
      for (const { port, redirect } of notesOf().slice(0, 20))
        expect(redirection.table.take(cookie, port, 4, encodeAddress(redirect?.source ?? ""))).toBeDefined();
      const more = flood(client(), 30, 1);
      const { EPERM = 0 } = await more.next();
      expect([round, EPERM, notesOf().length]).toEqual([round, 10, WAITING]);
      for (const each of [flooding, more]) {
        if (round % 2 === 0) each.tell();
        else each.end();
      }
      await lab.waitFor("no notes", () => notesOf().length === 0, { intervalMs: 5 });
    }
  });

  test("have none where there is no listener any more, and begin anew with the next", async () => {
    const flooding = flood();
    await flooding.next();
    const cookie = redirection.cookie(client());
    for (let round = 0; round < 3; round++) {
      redirection.listeners.delete(cookie);
      const refused = flood(client(), 10, 1);
      expect(await refused.next()).toEqual({ EPERM: 10 });
      refused.end();
      redirection.listeners.put(cookie, listeners[0] ?? {});
      expect(notesOf()).toEqual([]);
      const again = flood();
      await again.next();
      expect(notesOf().length).toBe(WAITING);
      again.end();
      await lab.waitFor("no notes", () => notesOf().length === 0, { intervalMs: 5 });
    }
    // Whose notes were of an earlier listener is not counted for this one.
    flooding.end();
    const last = flood();
    await last.next();
    expect(notesOf().length).toBe(WAITING);
    last.end();
  });

  test("have no more if all are dialled first, and all leave then", async () => {
    const setting = "echo 5 > /proc/sys/net/ipv4/tcp_fastopen"; // A client may send with its first packet, unasked.
    await must(["nsenter", `--net=${client().netns}`, "sh", "-c", setting]);
    const many = startPython<Saw>(
      client(),
      `
from collections import Counter
made = []
def dial():
    each = socket.socket()
    each.setsockopt(socket.IPPROTO_TCP, 30, 1) # TCP_FASTOPEN_CONNECT
    each.setblocking(False)
    made.append(each)
    each.connect((arguments[0], 8080))
    return "later"
say(Counter(outcome(dial) for number in range(200)))
sys.stdin.readline()
for each in made: outcome(lambda: each.send(b"x"))
say({})
sys.stdin.readline()`,
      back().ipv4,
    );
    expect(await many.next()).toEqual({ later: 200 });
    expect(notesOf()).toEqual([]);
    many.tell();
    expect(await most(many.next())).toBeLessThanOrEqual(WAITING);
    expect(notesOf().length).toBe(WAITING);
    many.end();
    await lab.waitFor("no notes", () => notesOf().length === 0, { intervalMs: 5 });
  });

  test("with one port at several addresses have each their own, and are counted", async () => {
    const many = startPython<number>(
      client(),
      `
made = []
for number in range(2, 42):
    each = socket.socket()
    each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    each.bind(("127.0.0.%d" % number, 23456))
    each.connect((arguments[0], 8080))
    made.append(each)
say(len(made))
sys.stdin.readline()
for each in made: each.close()
say(0)
sys.stdin.readline()`,
      back().ipv4,
    );
    expect(await many.next()).toBe(40);
    expect(notesOf().length).toBe(40);
    const rest = flood(client(), 60, 1);
    expect(await rest.next()).toMatchObject({ EPERM: 50 });
    rest.end();
    many.tell();
    await many.next();
    await lab.waitFor("no notes", () => notesOf().length === 0, { intervalMs: 5 });
    const again = flood(client(), 60, 1);
    expect(await again.next()).toMatchObject({ EPERM: 10 });
    many.end();
    again.end();
  });
});
