/** An agent that stands still, and whoever is in the middle of something with it: which of them it keeps, and for how long. */
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { AGENT_MAIN } from "../lab/agent.ts";
import { pidsOf } from "../lab/cgroup.ts";
import { must } from "../lab/command.ts";
import { obstacle } from "./rig.ts";
import { allowed, both } from "./support/attempt.ts";
import { makePair } from "./support/certificates.ts";
import { denyWhere, tlsEndpoint } from "./support/endpoints.ts";
import { guard, namespaces, pod, server } from "./support/objects.ts";
import { type Running, startPython } from "./support/python.ts";
import { openStage, type Stage } from "./support/stage.ts";
import { lineOf } from "./support/verdict-lines.ts";

const AGENT_DOWN_MS = 1500;
/** Connections through the proxy. */
const AT_MOST = 10;
const FROZEN_MS = 10_000;
const FAMILIES = ["IPv4", "IPv6"] as const;
const SERVICES = { plain: "open", shaking: "vault", secured: "vault", dialling: "hole" } as const;
type Kind = keyof typeof SERVICES;

/** Says "ready" in the state that it is asked for; then, for each line it hears, talks, and says what came of it and when. */
const CLIENT = `
import ssl
kind, address = arguments
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
connection = connect(address, 80)
connection.settimeout(60)
if kind == "secured": connection = context.wrap_socket(connection, suppress_ragged_eofs=False)
def talk():
    global connection
    if kind == "shaking" and not isinstance(connection, ssl.SSLSocket):
        connection = context.wrap_socket(connection, suppress_ragged_eofs=False)
    if kind != "dialling": connection.sendall(b"hello\\n")
    return connection.recv(200).decode()
if kind in ("plain", "secured"): talk()
else: time.sleep(0.3)
say(["ready", 0])
while sys.stdin.readline():
    def saw():
        try: return talk()
        except ssl.SSLError as error: return error.reason or str(error)
    say([outcome(saw), time.time() * 1000])`;

/** On SIGUSR2 the event loop does nothing else for a while, and the process's name says so. */
const BLOCKABLE = encodeURIComponent(
  `process.on("SIGUSR2", () => { process.title = "blocked"; const end = Date.now() + ${FROZEN_MS}; while (Date.now() < end); });`,
);

type Client = Running<[saw: string, at: number]>;

describe.skipIf(obstacle() !== undefined)("an agent", () => {
  let stage: Stage;

  beforeAll(async () => {
    const own = makePair({ subject: "/CN=vault.bank", names: "DNS:vault.bank" });
    const config = { server_private_key: own.key, server_certificate: own.certificate };
    const terminate = [{ actions: [{ type: "terminate-tls", config }] }];
    const vault = tlsEndpoint("bank/vault", terminate);
    const undecided = denyWhere("conn.client_port == 1");
    stage = await openStage("frozen", [
      namespaces("bank", "shop"),
      ["open", "vault", "hole"].flatMap((name) => server("bank", name)),
      [pod("shop", "client"), guard("bank", "open", [undecided]), guard("bank", "hole", [undecided])],
      [vault],
    ]);
    const lost =
      "table inet lost { chain input { type filter hook input priority 0; tcp flags syn drop; }; }";
    await must(["nsenter", `--net=${stage.pod("bank/hole").netns}`, "nft", lost]);
  });
  afterEach(async () => {
    for (const { process } of clients.splice(0)) process.kill("SIGKILL");
    await stage.stopAgent();
  }, 30_000);
  afterAll(() => stage?.close());

  const clients: Client[] = [];
  const blockable = [process.execPath, "--import", `data:text/javascript,${BLOCKABLE}`, AGENT_MAIN, "agent"];
  const flags = [
    ...["--agent-down-after", `${AGENT_DOWN_MS}ms`, "--proxy-per-pod", String(AT_MOST)],
    ...["--tls-handshake-timeout", "60s", "--connect-timeout", "60s"],
  ];

  const pids = (container: string) =>
    pidsOf(stage.lab.pod("podgate-system", stage.agent).containerCgroup(container));
  function signal(name: NodeJS.Signals, container = "agent"): void {
    for (const pid of pids(container)) process.kill(pid, name);
  }
  const brokerLog = () => stage.lab.log("podgate-system", stage.agent, "socket-broker");
  const isBlocked = () =>
    pids("agent").some((pid) => readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "blocked");
  /** A signal is sent before it has arrived at every thread. */
  const standsStill = () =>
    pids("agent").every((pid) =>
      readdirSync(`/proc/${pid}/task`).every((thread) =>
        /^State:\s+T/m.test(readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8")),
      ),
    );

  function start(kind: Kind, family: "IPv4" | "IPv6"): Client {
    const address = stage.service(`${SERVICES[kind]}.bank:80`)[family];
    const client: Client = startPython(stage.pod("shop/client"), CLIENT, kind, address);
    clients.push(client);
    return client;
  }

  /** So many with TLS of each family at a time, as soon as there is room for all of them. They stay. */
  function haveRoom(each: number): Promise<unknown> {
    return stage.lab.waitFor(`room for ${each} more of each family`, async () => {
      const more = FAMILIES.flatMap((family) => Array.from({ length: each }, () => start("secured", family)));
      const outcomes = await Promise.allSettled(more.map((client) => client.next()));
      if (outcomes.every(({ status }) => status === "fulfilled")) return true;
      for (const client of more) client.end();
      return false;
    });
  }

  /** One of each kind and family, in that state. */
  async function everybody(): Promise<Readonly<Record<Kind, readonly Client[]>>> {
    await stage.startAgentAs(blockable, ...flags);
    await stage.until("shop/client", "open.bank:80", both(allowed("bank/open", {})));
    await haveRoom(1);
    for (const client of clients.splice(0)) client.end();
    const of = (kind: Kind) => FAMILIES.map((family) => start(kind, family));
    const all = {
      plain: of("plain"),
      shaking: of("shaking"),
      secured: of("secured"),
      dialling: of("dialling"),
    };
    for (const client of clients) expect(await client.next()).toEqual(["ready", 0]);
    return all;
  }

  async function hears(client: Client): Promise<number> {
    const [saw, at] = await client.next();
    expect(saw).toMatch(/^bank\/open /);
    return at;
  }

  /** As long as an agent that stands still may keep anybody waiting. */
  async function areEnded(waiting: readonly Client[], since: number): Promise<void> {
    for (const client of waiting) {
      const [saw, at] = await client.next();
      // Python's words for a reset in the middle of a handshake.
      expect(saw).toMatch(/^(ECONNRESET|EOF occurred in violation of protocol)/);
      expect(at - since).toBeLessThan(AGENT_DOWN_MS + 1000);
    }
  }

  test.each([
    "is stopped",
    "blocks its event loop",
  ])("27: that %s ends whom it keeps waiting, and keeps what the pump moves", async (how) => {
    const isStopped = how === "is stopped";
    const { plain, shaking, secured, dialling } = await everybody();
    const waiting = [...shaking, ...secured, ...dialling];
    const since = Date.now();
    signal(isStopped ? "SIGSTOP" : "SIGUSR2");
    try {
      await stage.lab.waitFor("it to stand still", isStopped ? standsStill : isBlocked);
      for (const client of [...plain, ...waiting]) client.tell();
      await areEnded(waiting, since);
      // The pump's threads go on where they are not stopped too.
      if (!isStopped)
        for (const client of plain) expect((await hears(client)) - since).toBeLessThan(FROZEN_MS);
      await new Promise((resolve) => setTimeout(resolve, since + FROZEN_MS - Date.now()));
    } finally {
      signal("SIGCONT");
    }
    // Nothing of what was said meanwhile is lost.
    if (isStopped)
      for (const client of plain) expect((await hears(client)) - since).toBeGreaterThan(FROZEN_MS);
    for (const { comm } of shaking) {
      const line = await lineOf({ comm }, () => stage.log());
      expect(line).toMatchObject({
        verdict: "deny",
        layer: "proxy",
        error: expect.stringMatching(/^TLS handshake: /),
      });
    }
    // Those that were ended are nobody's any more.
    await haveRoom((AT_MOST - plain.length) / 2);
    await expect(start("plain", "IPv4").next()).rejects.toThrow("Operation not permitted");
    for (const client of plain) client.tell();
    for (const client of plain) await hears(client);
  }, 60_000);

  test("27: that is stopped after its broker has ended keeps nobody waiting either", async () => {
    const { plain, shaking, secured, dialling } = await everybody();
    const waiting = [...shaking, ...secured, ...dialling];
    const connected = async () => (await stage.log()).split("connected to the socket broker").length;
    const before = await connected();
    signal("SIGKILL", "socket-broker");
    await stage.lab.waitFor("another broker", async () => (await connected()) > before);
    await stage.until("shop/client", "open.bank:80", both(allowed("bank/open", {})));
    const since = Date.now();
    signal("SIGSTOP");
    try {
      for (const client of waiting) client.tell();
      await areEnded(waiting, since);
      await stage.lab.waitFor("its line", async () => (await brokerLog()).includes("the agent is silent"));
    } finally {
      signal("SIGCONT");
    }
    for (const client of plain) client.tell();
    for (const client of plain) await hears(client);
  }, 60_000);

  test("27: that is stopped, and whose broker is killed then, keeps nobody waiting for longer than the next broker lives", async () => {
    const { plain, shaking, secured, dialling } = await everybody();
    const waiting = [...shaking, ...secured, ...dialling];
    signal("SIGSTOP");
    try {
      await stage.lab.waitFor("it to stand still", standsStill);
      signal("SIGKILL", "socket-broker");
      for (const client of waiting) client.tell();
      await stage.lab.waitFor("another broker", async () => {
        const log = await brokerLog();
        return log.includes('"serving"') && !log.includes("an agent is connected");
      });
      await areEnded(waiting, Date.now());
    } finally {
      signal("SIGCONT");
    }
    for (const client of plain) client.tell();
    for (const client of plain) await hears(client);
    await stage.until("shop/client", "open.bank:80", both(allowed("bank/open", {})));
  }, 60_000);

  test("27: that is killed leaves nobody waiting, and no stream that looks whole", async () => {
    const { plain, shaking, secured, dialling } = await everybody();
    const all = [...plain, ...shaking, ...secured, ...dialling];
    const since = Date.now();
    signal("SIGKILL");
    for (const client of all) client.tell();
    await areEnded(all, since);
  }, 60_000);
});
