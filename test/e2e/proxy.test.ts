/** What the kernel cannot decide alone: real connections through the proxy, from the application's point of view. */
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { pidsOf } from "../lab/cgroup.ts";
import { must } from "../lab/command.ts";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { allowed, both, denied } from "./support/attempt.ts";
import { dial } from "./support/dial.ts";
import { denyAll, denyWhere } from "./support/endpoints.ts";
import { forwardTo, guard, namespaces, pod, server, service } from "./support/objects.ts";
import { python, startPython } from "./support/python.ts";
import { openStage, type Stage } from "./support/stage.ts";
import { lineOf } from "./support/verdict-lines.ts";

/** False of every connection, and nobody can know before there is one. */
const someMoment = denyWhere("conn.client_port == 1");
const CONNECT_TIMEOUT_MS = 1500;
/** One after the other. */
const HUNDRED = `
for _ in range(100):
    connection = connect(arguments[0], 80)
    connection.sendall(b"hello\\n")
    say(connection.recv(200).decode())
    reset(connection)`;

let stage: Stage;
const client = () => stage.pod("shop/client");
const families = ["IPv4", "IPv6", "v4-mapped IPv6"] as const;
const addressOf = (at: string, family: (typeof families)[number]) => {
  const { IPv4, IPv6 } = stage.service(at);
  return family === "IPv4" ? IPv4 : family === "IPv6" ? IPv6 : `::ffff:${IPv4}`;
};
const lineAbout = (comm: string) => lineOf({ comm }, () => stage.log());

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  const wire = [service("bank", "wire"), pod("bank", "wire", { labels: { app: "wire" } })] as KubeObject[];
  const closed = service("bank", "closed", {
    selector: { app: "open" },
    ports: [{ port: 80, targetPort: 9 }],
  });
  stage = await openStage("proxy", [
    namespaces("bank", "shop"),
    ["parity", "open", "late", "spare", "hop", "hole", "audited"].flatMap((name) => server("bank", name)),
    wire,
    [closed, pod("shop", "client"), pod("shop", "host", { hostNetwork: true })] as KubeObject[],
    [
      guard("bank", "parity", [denyWhere("conn.client_port % 4 >= 2")]),
      ...["open", "wire", "closed", "hole"].map((name) => guard("bank", name, [someMoment])),
      guard("bank", "late", [denyWhere("conn.ts.start > timestamp('2020-01-01T00:00:00Z')")]),
      guard("bank", "hop", [someMoment, forwardTo("http://spare.bank.internal")]),
      guard("bank", "audited", [denyWhere("conn.client_port > 0")], { mode: "Audit" }),
    ] as KubeObject[],
  ]);
  await stage.startAgent("--connect-timeout", `${CONNECT_TIMEOUT_MS}ms`, "--drain-timeout", "1s");
});

afterAll(async () => {
  await stage?.close();
});

/** Asks until a connection through the proxy works, as an application would. */
async function proxyServes(): Promise<void> {
  await stage.until("shop/client", "open.bank:80", both({ saw: "bank/open" }));
}

describe.skipIf(obstacle() !== undefined)("the proxy", () => {
  beforeEach(proxyServes, 20_000);

  test("decides by what only the connection knows, a thousand times", async () => {
    const { said } = await python<{ right: number; wrong: unknown[]; allowed: number }>(
      client(),
      `
right, wrong, allowed = 0, [], 0
for number in range(1000):
    address = arguments[number % 2]
    connection = socket.socket(family(address))
    connection.bind(("", 0))
    port = connection.getsockname()[1]
    def talk():
        connection.connect((address, 80))
        connection.sendall(b"hello\\n")
        return connection.recv(200).decode()
    answer = outcome(talk)
    connection.close()
    expected = answer == "ECONNRESET" if port % 4 >= 2 else answer.startswith("bank/parity ")
    allowed += port % 4 < 2
    if expected: right += 1
    else: wrong.append([port, answer])
say({"right": right, "wrong": wrong, "allowed": allowed})`,
      addressOf("parity.bank:80", "IPv4"),
      addressOf("parity.bank:80", "IPv6"),
    );
    expect(said[0]).toMatchObject({ right: 1000, wrong: [] });
    expect(said[0]?.allowed).toBeGreaterThan(100);
    expect(said[0]?.allowed).toBeLessThan(900);
  });

  test.each(
    families,
  )("lets the application see what it dialled and the server who it is: %s", async (family) => {
    const address = addressOf("open.bank:80", family);
    const dialled = await dial(client(), address, 80);
    const own = family === "IPv6" ? client().ipv6 : client().ipv4;
    expect(dialled).toMatchObject({ peer: `${address} 80`, reply: `bank/open ${own}` });
    expect(await lineAbout(dialled.comm)).toMatchObject({
      verdict: "allow",
      enforced: true,
      reason: "fell-through",
      layer: "proxy",
      pod: { namespace: "shop", name: "client" },
      destination: { address: address.replace("::ffff:", ""), port: 80, service: "bank/open" },
    });
  });

  test.each(families)("denies with a reset, and says by which rule: %s", async (family) => {
    const { error, comm } = await dial(client(), addressOf("late.bank:80", family), 80);
    expect(error).toBe("ECONNRESET");
    expect(await lineAbout(comm)).toMatchObject({
      verdict: "deny",
      reason: "rule",
      layer: "proxy",
      rule: { index: 0 },
      policy: { name: "late" },
    });
  });

  test.each(
    families,
  )("forwards where the policy sends it, and keeps the address that was dialled: %s", async (family) => {
    const address = addressOf("hop.bank:80", family);
    const { peer, reply, comm } = await dial(client(), address, 80);
    const own = family === "IPv6" ? client().ipv6 : client().ipv4;
    expect({ peer, reply }).toEqual({ peer: `${address} 80`, reply: `bank/spare ${own}` });
    expect(await lineAbout(comm)).toMatchObject({
      verdict: "forward",
      rule: { index: 1 },
      layer: "proxy",
      forwarded_to: { service: "bank/spare" },
    });
  });

  test("says what an audited policy would have done", async () => {
    expect(await stage.dial("shop/client", "audited.bank:80")).toMatchObject(
      both(allowed("bank/audited", { reason: "fell-through" })),
    );
  });

  test.each(families)("passes the end of each direction on, whichever comes first: %s", async (family) => {
    const servant = startPython<{ got: number }>(
      stage.pod("bank/wire"),
      `
listener = listen(8080)
say({"got": -1})
for first in ["client", "server"]:
    connection, _ = listener.accept()
    if first == "server":
        connection.sendall(b"s" * 100000)
        connection.shutdown(socket.SHUT_WR)
    got = everything(connection)
    if first == "client":
        connection.sendall(b"s" * 100000)
    connection.close()
    say({"got": len(got)})`,
    );
    await servant.next();
    const address = addressOf("wire.bank:80", family);
    const first = await python(
      client(),
      `
connection = connect(arguments[0], 80)
connection.sendall(b"c" * 70000)
connection.shutdown(socket.SHUT_WR)
say(len(everything(connection)))
connection = connect(arguments[0], 80)
got = len(everything(connection))
connection.sendall(b"c" * 70000)
connection.shutdown(socket.SHUT_WR)
say([got, connection.recv(1).decode()])`,
      address,
    );
    expect(first.said).toEqual([100_000, [100_000, ""]]);
    expect([await servant.next(), await servant.next()]).toEqual([{ got: 70_000 }, { got: 70_000 }]);
  });

  test.each(families)("passes a reset on in both directions: %s", async (family) => {
    const servant = startPython<string>(
      stage.pod("bank/wire"),
      `
listener = listen(8080)
say("ready")
connection, _ = listener.accept()
connection.recv(10)
reset(connection)
connection, _ = listener.accept()
connection.recv(10)
say(outcome(lambda: everything(connection).decode()))`,
    );
    await servant.next();
    const { said } = await python(
      client(),
      `
connection = connect(arguments[0], 80)
connection.sendall(b"hello")
say(outcome(lambda: everything(connection).decode()))
connection = connect(arguments[0], 80)
connection.sendall(b"hello")
time.sleep(0.3)
reset(connection)`,
      addressOf("wire.bank:80", family),
    );
    expect(said).toEqual(["ECONNRESET"]);
    expect(await servant.next()).toBe("ECONNRESET");
  });

  test.each(families)("an upstream that refuses is a reset, and the line says so: %s", async (family) => {
    const { error, comm } = await dial(client(), addressOf("closed.bank:80", family), 80);
    expect(error).toBe("ECONNRESET");
    expect(await lineAbout(comm)).toMatchObject({
      verdict: "allow",
      layer: "proxy",
      error: expect.stringMatching(/^connect to .*ECONNREFUSED/),
    });
  });

  test("an upstream that does not answer is a reset within the connect time-out, in each family", async () => {
    const netns = stage.pod("bank/hole").netns;
    const drop =
      "table inet hole { chain input { type filter hook input priority 0; tcp dport 8080 drop; }; }";
    await must(["nsenter", `--net=${netns}`, "nft", drop]);
    const waiting = families.map(async (family) => {
      const { comm, said } = await python<{ saw: string; after: number }>(
        client(),
        `
connection = connect(arguments[0], 80)
start = time.monotonic()
say({"saw": outcome(lambda: connection.recv(1).decode()), "after": time.monotonic() - start})`,
        addressOf("hole.bank:80", family),
      );
      expect(said[0]?.saw).toBe("ECONNRESET");
      expect(said[0]?.after).toBeLessThan(CONNECT_TIMEOUT_MS / 1000 + 2);
      expect(await lineAbout(comm)).toMatchObject({
        verdict: "allow",
        error: expect.stringMatching(/^connect to .*: no answer in 1.5 s$/),
      });
    });
    await Promise.all(waiting);
  });

  test("is in no namespace of the node's: there, what it would decide is refused", async () => {
    expect(await stage.dial("shop/host", "open.bank:80")).toMatchObject(
      both(denied({ reason: "pending", layer: expect.stringMatching(/^connect/) })),
    );
  });

  test("48: leads nobody anywhere who dials its listener, and there is nothing else to dial", async () => {
    const found = await must([
      "nsenter",
      `--net=${client().netns}`,
      "sh",
      "-c",
      "ss -Hltn | awk '{print $4}'",
    ]);
    const listeners = found.trim().split("\n");
    expect(listeners).toHaveLength(2);
    for (const listener of listeners) {
      const [, host = "", port] = /^\[?([^\]]+)\]?:(\d+)$/.exec(listener) ?? [];
      expect(await dial(client(), host, Number(port))).toMatchObject({ error: "ECONNRESET" });
    }
  });

  test("two clients with one port at two addresses are not taken for each other", async () => {
    const { said } = await python<[string[], string[]]>(
      client(),
      `
answers = [set(), set()]
for port in range(20000, 20040):
    made = []
    for own, address in [("127.0.0.1", arguments[1]), (arguments[2], arguments[0])]:
        each = socket.socket()
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.bind((own, port))
        each.setblocking(False)
        made.append((each, address))
    for each, address in made:
        each.connect_ex((address, 80))
    for index, (each, _) in enumerate(made):
        def talk():
            each.settimeout(20)
            select.select([], [each], [], 20)
            each.sendall(b"hello\\n")
            return each.recv(200).decode().split(" ")[0]
        answers[index].add(outcome(talk))
        each.close()
say([sorted(each) for each in answers])`,
      addressOf("open.bank:80", "IPv4"),
      addressOf("late.bank:80", "IPv4"),
      client().ipv4,
    );
    const [denied = [], answered] = said[0] ?? [];
    expect(denied.filter((saw) => saw !== "ECONNRESET" && saw !== "EPIPE")).toEqual([]);
    expect(answered).toEqual(["bank/open"]);
  });

  test("a policy that a connection no longer hangs on leaves the decision to the kernel", async () => {
    await stage.lab.apply([guard("bank", "spare", [denyAll])] as KubeObject[]);
    await stage.until("shop/client", "spare.bank:80", both(denied()));
    // The forward's target is judged by its own guard too.
    expect(await stage.dial("shop/client", "hop.bank:80")).toMatchObject(
      both({ saw: "ECONNRESET", line: { verdict: "deny", layer: "proxy", policy: { name: "spare" } } }),
    );
  });

  test("a pod that comes later has listeners, and takes them along when it goes", async () => {
    await stage.lab.apply([pod("shop", "guest")] as KubeObject[]);
    await stage.lab.settled();
    await stage.until("shop/guest", "open.bank:80", both(allowed("bank/open", { layer: "proxy" })));
    const [agent = 0] = pidsOf(container("agent"));
    const descriptors = () => readdirSync(`/proc/${agent}/fd`).length;
    const before = descriptors();
    const { IPv4 } = stage.service("open.bank:80");
    const { said } = await python<string>(stage.pod("shop/guest"), HUNDRED, IPv4);
    expect(said).toEqual(Array(100).fill(`bank/open ${stage.pod("shop/guest").ipv4}\n`));
    // Sockets made ahead for the next ones.
    expect(descriptors()).toBeGreaterThan(before);
    await stage.lab.deletePod("shop", "guest", { gracePeriodSeconds: 0 });
    await stage.lab.waitFor("its two listeners to be closed", () => descriptors() <= before - 2);
    expect(await stage.dial("shop/client", "open.bank:80")).toMatchObject(both(allowed("bank/open", {})));
  });

  test("without the broker new connections are refused, open ones go on, and all is well again soon after", async () => {
    const held = await hold();
    await kill("socket-broker");
    const refused = await stage.dial("shop/client", "open.bank:80");
    expect(refused).toMatchObject(both({ saw: "ECONNRESET" }));
    const since = Date.now();
    await proxyServes();
    expect(Date.now() - since).toBeLessThan(10_000);
    held.tell();
    expect(await held.next()).toMatch(/^bank\/open /);
    held.end();
  });

  test("when the agent dies its connections end, new ones are refused, and the next agent takes over", async () => {
    const held = await hold();
    await kill("agent");
    held.tell();
    expect(await held.next()).toMatch(/^(ECONNRESET|EPIPE|)$/);
    held.end();
    await proxyServes();
    expect(await stage.dial("shop/client", "late.bank:80")).toMatchObject(both({ saw: "ECONNRESET" }));
  });
});

const container = (name: string) => stage.lab.pod("podgate-system", stage.agent).containerCgroup(name);

/** Its process, and waits until it is gone. */
async function kill(name: string): Promise<void> {
  const pids = pidsOf(container(name));
  for (const pid of pids) process.kill(pid, "SIGKILL");
  await stage.lab.waitFor(`${name} to be gone`, () => {
    return pids.every((pid) => !pidsOf(stage.lab.cgroupRoot).includes(pid));
  });
}

/** A connection that says another line, and what it heard, when it is told to. */
async function hold() {
  const held = startPython<string>(
    client(),
    `
connection = connect(arguments[0], 80)
def talk():
    connection.sendall(b"hello\\n")
    return connection.recv(200).decode()
say(talk())
sys.stdin.readline()
say(outcome(talk))`,
    addressOf("open.bank:80", "IPv4"),
  );
  expect(await held.next()).toMatch(/^bank\/open /);
  return held;
}
