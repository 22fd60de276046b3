/** What a pod can do to the proxy itself: trust test 48. Nobody gets anywhere, and nothing goes round. */
import { readdirSync, statSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { NODE_IPV4, NODE_IPV6 } from "../lab/addresses.ts";
import { pidsOf } from "../lab/cgroup.ts";
import { must } from "../lab/command.ts";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { both } from "./support/attempt.ts";
import { denyWhere } from "./support/endpoints.ts";
import { METRICS_PORT } from "./support/metrics.ts";
import { forwardTo, guard, namespaces, pod, server, service } from "./support/objects.ts";
import { python, startPython } from "./support/python.ts";
import { NOWHERE, speak } from "./support/speak.ts";
import { openStage, type Stage } from "./support/stage.ts";

const someMoment = denyWhere("conn.client_port == 1");

let stage: Stage;
const client = () => stage.pod("shop/client");
const bystander = () => stage.pod("shop/bystander");
const container = (name: string) => stage.lab.pod("podgate-system", stage.agent).containerCgroup(name);
const serves = (from: string) => stage.until(from, "open.bank:80", both({ saw: "bank/open" }));

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  const mirror = { selector: { app: "client" }, ports: [{ port: 80, targetPort: 9 }] };
  stage = await openStage("proxyattacks", [
    namespaces("bank", "shop"),
    ["open", "trap", "chain"].flatMap((name) => server("bank", name)),
    [service("shop", "mirror", mirror), service("shop", "bare", mirror)] as KubeObject[],
    [pod("shop", "client", { labels: { app: "client" } }), pod("shop", "bystander")] as KubeObject[],
    [pod("shop", "squatter")] as KubeObject[],
    [
      guard("bank", "open", [someMoment]),
      guard("shop", "mirror", [someMoment]),
      guard("bank", "trap", [someMoment, forwardTo("http://mirror.shop.internal")]),
      guard("bank", "chain", [forwardTo("http://mirror.shop.internal")]),
    ] as KubeObject[],
  ]);
  await stage.startAgent("--metrics-address", `${NODE_IPV4}:${METRICS_PORT}`);
});

afterAll(async () => {
  await stage?.close();
});

const ownPids = () => new Set(["agent", "socket-broker"].flatMap((name) => pidsOf(container(name))));

/** Open ones of the agent's process. */
function descriptors(): number {
  const [agent = 0] = pidsOf(container("agent"));
  return readdirSync(`/proc/${agent}/fd`).length;
}

interface Listening {
  readonly host: string;
  readonly port: number;
}

/** What the agent and the broker listen on in a network namespace. */
async function listening(netns: string): Promise<Listening[]> {
  const own = ownPids();
  const found = await must(["nsenter", `--net=${netns}`, "ss", "-Hltunp"]);
  return found.split("\n").flatMap((line) => {
    const pids = [...line.matchAll(/pid=(\d+)/g)].map(([, pid]) => Number(pid));
    if (!pids.some((pid) => own.has(pid))) return [];
    const [, host = "", port] = /^\[?([^\]]+)\]?:(\d+)$/.exec(line.split(/\s+/)[4] ?? "") ?? [];
    return [{ host, port: Number(port) }];
  });
}

async function portsOf(netns: string): Promise<{ port4: number; port6: number }> {
  const found = await listening(netns);
  const at = (wanted: string) => found.find(({ host }) => host === wanted)?.port ?? 0;
  return { port4: at("127.0.0.1"), port6: at("::1") };
}

describe.skipIf(obstacle() !== undefined)("48: a pod", () => {
  beforeEach(async () => {
    await serves("shop/client");
    await serves("shop/bystander");
  }, 40_000);

  test("finds nothing of ours on the node but the metrics, and in pods only what is bound to loopback", async () => {
    expect(await listening(stage.lab.names.nodeNetns)).toEqual([{ host: NODE_IPV4, port: METRICS_PORT }]);
    for (const { netns } of [client(), bystander()]) {
      const hosts = (await listening(netns)).map(({ host }) => host);
      expect(hosts.sort()).toEqual(["127.0.0.1", "::1"]);
    }
  });

  test("gets no byte from a listener, its own or another's, at whatever address and in whatever protocol", async () => {
    const places = [client(), bystander()];
    for (const from of places) {
      for (const of of places) {
        const { port4, port6 } = await portsOf(of.netns);
        const { ipv4, ipv6 } = of;
        const four = ["127.0.0.1", "127.1.2.3", "0.0.0.0", ipv4, NODE_IPV4];
        const six = ["::1", "::", ipv6, NODE_IPV6, ...four.map((address) => `::ffff:${address}`)];
        const all = [...four, ...six].flatMap((address): [string, number][] => [
          [address, port4],
          [address, port6],
        ]);
        const answers = await speak(from, all);
        expect(answers).toHaveLength(all.length * 7);
        expect(answers.filter(([, answer]) => !NOWHERE.includes(answer))).toEqual([]);
      }
    }
  });

  test("is told counts at the metrics' port, of nobody in particular, and can ask for nothing else there", async () => {
    const before = descriptors();
    const { said } = await python<[string, string]>(
      client(),
      `
paths = ["/", "/metrics/", "/healthz", "/debug/pprof/", "/quitquitquit", "/-/reload", "/config", "/../metrics", "/%6detrics"]
requests = [f"GET {path} HTTP/1.1" for path in paths]
requests += [f"{verb} /metrics HTTP/1.1" for verb in ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"]]
requests += ["GET /metrics HTTP/1.1\\r\\nContent-Length: 5", "GET /metrics HTTP/1.1\\r\\nX: " + "x" * 20000, "quit", "GET /metrics HTTP/1.1"]
for request in requests:
    made = connect(arguments[0], arguments[1])
    made.sendall(request.encode() + b"\\r\\nHost: x\\r\\n\\r\\n")
    say([request[:40], outcome(lambda: everything(made).decode())])`,
      NODE_IPV4,
      METRICS_PORT,
    );
    const page = said.at(-1)?.[1] ?? "";
    const others = said.slice(0, -1);
    // A server that closes before it has read all of a request resets it, which may overtake the answer.
    const refused = /^(HTTP\/1\.1 (400|404|405|413|431) |ECONNRESET$)/;
    expect(others.filter(([, answer]) => !refused.test(answer))).toEqual([]);
    expect(others.filter(([, answer]) => answer.includes("podgate"))).toEqual([]);
    expect(page).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    const lines = page
      .slice(page.indexOf("\r\n\r\n") + 4)
      .split("\n")
      .map((line) => line.trim());
    const count = /^podgate_[a-z_]+(\{((verdict|reason|stage)="[a-z-]+",?)+\})? \d+$/;
    expect(lines.filter((line) => count.test(line)).length).toBeGreaterThan(15);
    const rest = lines.filter((line) => !count.test(line) && !/^(# .*|[0-9a-f]*)$/.test(line));
    expect(rest).toEqual([]);
    for (const name of ["shop", "bank", "client", client().ipv4]) expect(page).not.toContain(name);
    await stage.lab.waitFor("every socket to be closed", () => descriptors() <= before);
  });

  test("cannot speak to the broker, and there is no other socket in the file system or beside it", async () => {
    const { brokerSocket, nodeNetns } = stage.lab.names;
    expect(statSync(brokerSocket).mode & 0o777).toBe(0o600);
    const own = ownPids();
    const listens = (await must(["nsenter", `--net=${nodeNetns}`, "ss", "-Hlxp"])).split("\n");
    const ours = listens.filter((line) =>
      [...line.matchAll(/pid=(\d+)/g)].some(([, pid]) => own.has(Number(pid))),
    );
    expect(ours.map((line) => line.split(/\s+/)[4])).toEqual([brokerSocket]);
    const { said } = await python<string>(
      client(),
      `
os.setgid(65534)
os.setuid(65534)
def talk():
    socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(arguments[0])
    return "connected"
say(outcome(talk))`,
      brokerSocket,
    );
    expect(said).toEqual(["EACCES"]);
  });

  test("whose Service leads to its own listener gets a reset, once, and the proxy does not go round", async () => {
    const { port4, port6 } = await portsOf(client().netns);
    const before = descriptors();
    for (const port of [port4, port6]) {
      const ports = [{ port: 80, targetPort: port }];
      for (const name of ["bare", "mirror"]) {
        await stage.lab.apply([
          service("shop", name, { selector: { app: "client" }, ports }),
        ] as KubeObject[]);
        await stage.lab.settled();
        // Unguarded, until the same pod and port are behind a guarded one too.
        if (name === "bare") {
          for (const from of ["shop/client", "shop/bystander"])
            await stage.until(from, "bare.shop:80", both({ saw: "ECONNREFUSED", line: undefined }));
        }
      }
      for (const from of ["shop/client", "shop/bystander"]) {
        for (const name of ["mirror.shop:80", "bare.shop:80", "trap.bank:80", "chain.bank:80"]) {
          const line = { layer: "proxy", error: expect.stringMatching(/ECONNREFUSED/) };
          await stage.until(from, name, both({ saw: "ECONNRESET", line }));
        }
      }
    }
    await stage.lab.waitFor("every socket to be closed", () => descriptors() <= before);
  });

  test("that turns the proxy's own way back on it gets resets", async () => {
    const { port4, port6 } = await portsOf(client().netns);
    const { IPv4, IPv6 } = stage.service("mirror.shop:80");
    const table = `table inet turn { chain out { type nat hook output priority -100;
      ip daddr ${IPv4} tcp dport 80 dnat ip to 127.0.0.1:${port4};
      ip6 daddr ${IPv6} tcp dport 80 dnat ip6 to [::1]:${port6}; }; }`;
    await must(["nsenter", `--net=${client().netns}`, "nft", table]);
    try {
      const before = descriptors();
      const places = Array.from({ length: 10 }, (): [string, number][] => [
        [IPv4, 80],
        [IPv6, 80],
        [stage.service("trap.bank:80").IPv4, 80],
      ]).flat();
      const answers = await speak(client(), places);
      expect(answers.filter(([, answer]) => !NOWHERE.includes(answer))).toEqual([]);
      // It did reach a listener, which takes it for nobody's connection and resets it.
      const { IPv4: four, IPv6: six } = await stage.dial("shop/client", "mirror.shop:80");
      for (const { saw, line } of [four, six]) {
        expect({ saw, line }).toMatchObject({
          saw: "ECONNRESET",
          line: { layer: "proxy", verdict: "allow" },
        });
        expect(line?.error ?? "ECONNRESET").toMatch(/ECONNRESET$/);
      }
      await stage.lab.waitFor("every socket to be closed", () => descriptors() <= before + 2);
    } finally {
      await must(["nsenter", `--net=${client().netns}`, "nft", "delete table inet turn"]);
    }
  });

  test("cannot take the proxy's port while it is used; after the agent's death it gets nobody else's traffic", async () => {
    await serves("shop/squatter");
    const squatter = stage.pod("shop/squatter");
    const { port4, port6 } = await portsOf(squatter.netns);
    const theft = startPython<unknown>(
      squatter,
      `
places = [("127.0.0.1", int(arguments[0])), ("::1", int(arguments[1]))]
def take(address, port):
    made = socket.socket(family(address))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((address, port))
    made.listen(50)
    return made
def tried(address, port):
    return outcome(lambda: take(address, port).close() or "taken")
say([tried(*place) for place in places + [("0.0.0.0", places[0][1]), ("::", places[0][1]), ("::", places[1][1])]])
listeners = []
while len(listeners) < 2:
    made = outcome(lambda: take(*places[len(listeners)]))
    if isinstance(made, str): time.sleep(0.001)
    else: listeners.append(made)
say("taken")
heard = []
while True:
    ready, _, _ = select.select(listeners + [sys.stdin], [], [])
    if sys.stdin in ready: break
    for each in ready:
        connection, peer = each.accept()
        connection.settimeout(1)
        heard.append([peer[0], outcome(lambda: connection.recv(100).decode())])
        connection.close()
say(heard)`,
      port4,
      port6,
    );
    try {
      expect(await theft.next()).toEqual(Array.from({ length: 5 }, () => "EADDRINUSE"));
      const pids = pidsOf(container("agent"));
      for (const pid of pids) process.kill(pid, "SIGKILL");
      expect(await theft.next()).toBe("taken");
      await serves("shop/bystander");
      await serves("shop/squatter");
      const now = await portsOf(squatter.netns);
      expect(now.port4).not.toBe(port4);
      expect(now.port6).not.toBe(port6);
      theft.tell();
      const heard = (await theft.next()) as [string, string][];
      const own = ["127.0.0.1", "::1", squatter.ipv4, squatter.ipv6];
      expect(heard.filter(([peer]) => !own.includes(peer))).toEqual([]);
    } finally {
      theft.end();
    }
  });
});
