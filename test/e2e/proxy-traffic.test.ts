/** What goes through the proxy in quantity: bytes, connections, and peers that do not read. */
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pidsOf } from "../lab/cgroup.ts";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { both } from "./support/attempt.ts";
import { makePair } from "./support/certificates.ts";
import { denyWhere, tlsEndpoint } from "./support/endpoints.ts";
import { guard, namespaces, pod, server, service } from "./support/objects.ts";
import { python, startPython } from "./support/python.ts";
import { sizes } from "./support/sizes.ts";
import { openStage, type Stage } from "./support/stage.ts";
import { ALLOWED, ECHO } from "./support/traffic-scripts.ts";

const MB = 1 << 20;
const CLIENTS = ["one", "two"];
const LONG_MS = 600_000;
const ROOM = ["", "tls-"].flatMap((kind) => [
  `--proxy-${kind}per-pod`,
  "9700",
  `--proxy-${kind}in-all`,
  "9700",
]);

let stage: Stage;
const client = () => stage.pod("shop/one");
const families = ["IPv4", "IPv6", "v4-mapped IPv6"] as const;
/** One of each family. */
const addresses = () => {
  const { IPv4, IPv6 } = stage.service("wire.bank:80");
  return [IPv4, IPv6, `::ffff:${IPv4}`] as const;
};
const address = () => addresses()[0];

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  const { key, certificate } = makePair({ subject: "/CN=vault.bank" });
  const config = { server_private_key: key, server_certificate: certificate };
  stage = await openStage("traffic", [
    namespaces("bank", "shop"),
    server("bank", "open"),
    ["wire", "vault"].flatMap((name) => [
      service("bank", name),
      pod("bank", name, { labels: { app: name } }),
    ]) as KubeObject[],
    CLIENTS.map((name) => pod("shop", name)) as KubeObject[],
    [
      guard("bank", "open", [denyWhere("conn.client_port == 1")]),
      guard("bank", "wire", [denyWhere("conn.client_port % 7 == 0")]),
      tlsEndpoint("bank/vault", [{ actions: [{ type: "terminate-tls", config }] }]),
    ] as KubeObject[],
  ]);
  await stage.startAgent(...ROOM);
  for (const name of CLIENTS) await stage.until(`shop/${name}`, "open.bank:80", both({ saw: "bank/open" }));
});

afterAll(async () => {
  await stage?.close();
});

/** Of the agent's process. */
const inProc = () => {
  const [agent = 0] = pidsOf(stage.lab.pod("podgate-system", stage.agent).containerCgroup("agent"));
  return `/proc/${agent}`;
};
const descriptors = () => readdirSync(`${inProc()}/fd`).length;

/** In bytes. */
function memory(): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`${inProc()}/status`, "utf8"))?.[1]) * 1024;
}

async function serving<T>(
  script: string,
  use: (servant: { next: () => Promise<unknown>; tell: () => void }) => Promise<T>,
  at = "wire",
) {
  const servant = startPython<unknown>(stage.pod(`bank/${at}`), script);
  try {
    expect(await servant.next()).toBe("ready");
    return await use(servant);
  } finally {
    const ended = new Promise((resolve) => servant.process.once("close", resolve));
    servant.end();
    await ended;
  }
}

describe.skipIf(obstacle() !== undefined)("through the proxy", () => {
  // First: memory that other tests have used and left would count as theirs. Of the first half the agent's heap grows, for all.
  test.each([
    ["", "wire", "allowed()"],
    [" of terminate-tls", "vault", "tls.wrap_socket(connect(arguments[0], 80))"],
  ])(
    `${sizes.idleConnections} idle connections%s take less than 40 KB each of the agent`,
    {
      timeout: LONG_MS,
    },
    async (kind, at, made) => {
      await serving(
        ECHO,
        async () => {
          if (kind !== "") await stage.restartAgent(...ROOM, "--drain-timeout", "0");
          await stage.until("shop/one", "open.bank:80", both({ saw: "bank/open" }));
          const running = startPython<number>(
            client(),
            `${ALLOWED}
import resource, ssl
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
tls = ssl._create_unverified_context()
made = []
for wanted in [int(arguments[1]) // 2, int(arguments[1])]:
    while len(made) < wanted:
        each = ${made}
        each.sendall(b"hello")
        assert each.recv(100) == b"hello"
        made.append(each)
    say(len(made))
    sys.stdin.readline()
for each in made:
    each.sendall(b"still")
    assert each.recv(100) == b"still"
say(-1)
sys.stdin.readline()`,
            stage.service(`${at}.bank:80`).IPv4,
            sizes.idleConnections,
          );
          expect(await running.next()).toBe(sizes.idleConnections / 2);
          const before = memory();
          running.tell();
          expect(await running.next()).toBe(sizes.idleConnections);
          const each = (memory() - before) / (sizes.idleConnections / 2);
          console.log(`${sizes.idleConnections} idle connections${kind}: ${Math.round(each)} bytes each`);
          expect(each).toBeLessThan(40 * 1024);
          expect(descriptors()).toBeGreaterThan(2 * sizes.idleConnections);
          running.tell();
          expect(await running.next()).toBe(-1);
          running.end();
        },
        at,
      );
    },
  );

  test.each(families)(
    `${sizes.megabytes} MB go and come back, and are the same: %s`,
    async (family) => {
      await serving(ECHO, async () => {
        const running = startPython<[number, boolean, number]>(
          client(),
          `${ALLOWED}
import threading
made = allowed()
made.settimeout(60)
size = int(arguments[1]) << 20
sent, heard = hashlib.sha256(), hashlib.sha256()
def send():
    for number in range(size >> 20):
        piece = number.to_bytes(8, "big") + block[number & 4095:][:1 << 20][8:]
        sent.update(piece)
        made.sendall(piece)
    made.shutdown(socket.SHUT_WR)
block = os.urandom((1 << 20) + 4096)
start = time.monotonic()
sender = threading.Thread(target=send)
sender.start()
got = 0
while True:
    piece = made.recv(1 << 18)
    if not piece: break
    heard.update(piece)
    got += len(piece)
sender.join()
say([got, sent.digest() == heard.digest(), time.monotonic() - start])`,
          addresses()[families.indexOf(family)] ?? "",
          sizes.megabytes,
        );
        const [got, same, seconds] = await running.next();
        console.log(`${sizes.megabytes} MB each way in ${seconds.toFixed(1)} s`);
        expect([got, same]).toEqual([sizes.megabytes * MB, true]);
      });
    },
    LONG_MS,
  );

  test(`${sizes.shortConnections} connections are each decided, and hear their own words`, {
    timeout: LONG_MS,
  }, async () => {
    await serving(ECHO, async () => {
      const each = sizes.shortConnections / CLIENTS.length;
      const outcomes = await Promise.all(
        CLIENTS.map(async (name) => {
          const running = startPython<{ right: number; allowed: number; wrong: unknown[] }>(
            stage.pod(`shop/${name}`),
            `
from concurrent.futures import ThreadPoolExecutor
def one(number):
    address = arguments[number % 3]
    made = socket.socket(family(address))
    made.settimeout(20)
    word = os.urandom(16)
    def talk():
        made.connect((address, 80))
        made.sendall(word)
        return "own" if made.recv(100) == word else "other"
    answer = outcome(talk)
    port = made.getsockname()[1]
    made.close()
    return port, answer
with ThreadPoolExecutor(4) as pool:
    answers = list(pool.map(one, range(int(arguments[3]))))
# A reset may be there before the first byte is sent: then it is the sender that hears of it.
right = [[port, answer] for port, answer in answers if (answer == "own") == (port % 7 != 0) and answer in ("own", "ECONNRESET", "EPIPE")]
say({"right": len(right), "allowed": sum(answer == "own" for _, answer in answers), "wrong": [each for each in answers if list(each) not in right][:10]})`,
            ...addresses(),
            each,
          );
          return running.next();
        }),
      );
      for (const outcome of outcomes) {
        expect(outcome).toMatchObject({ right: each, wrong: [] });
        expect(outcome.allowed).toBeGreaterThan(each / 2);
        expect(outcome.allowed).toBeLessThan(each);
      }
    });
  });

  test("a server that never reads stops its client, not the agent's memory, and nothing is lost", async () => {
    const servant = `
listener = listen(8080)
say("ready")
got = [listener.accept()[0] for _ in range(20)]
say(len(got))
sys.stdin.readline()
say(sum(len(everything(each)) for each in got))`;
    await serving(servant, async ({ next, tell }) => {
      const before = memory();
      const running = startPython<number[]>(
        client(),
        `${ALLOWED}
made = [allowed(address=arguments[number % 3]) for number in range(20)]
sent, since = [0] * 20, time.monotonic()
for each in made: each.setblocking(False)
while time.monotonic() - since < 2:
    for index, each in enumerate(made):
        try:
            sent[index] += each.send(b"x" * 65536)
            since = time.monotonic()
        except BlockingIOError: pass
say(sent)
sys.stdin.readline()
for each in made: each.shutdown(socket.SHUT_WR)
say([0])
sys.stdin.readline()`,
        ...addresses(),
      );
      expect(await next()).toBe(20);
      const sent = await running.next();
      const grown = memory() - before;
      console.log(`blocked after ${Math.max(...sent)} bytes; the agent grew by ${grown} bytes`);
      expect(Math.min(...sent)).toBeGreaterThan(0);
      // What four sockets' buffers may grow to, twice over, and a pipe: the kernel's and bounded, whatever the client has.
      expect(Math.max(...sent)).toBeLessThan(128 * MB);
      expect(grown).toBeLessThan(16 * MB);
      running.tell();
      await running.next();
      tell();
      expect(await next()).toBe(sent.reduce((sum, bytes) => sum + bytes));
      running.end();
    });
  });

  test("a reader of one byte a second gets every byte, and holds nobody up", async () => {
    const servant = `
import threading
listener = listen(8080)
say("ready")
def serve(made):
    made.sendall(bytes(range(256)) * (1 << 15))
    made.close()
while True: threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()`;
    await serving(servant, async () => {
      const { said } = await python<[number, boolean, number]>(
        client(),
        `${ALLOWED}
slow = allowed(lambda made: made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096))
got, quickest = [], 0
for _ in range(4):
    got.append(slow.recv(1))
    start = time.monotonic()
    everything(allowed())
    quickest = max(quickest, time.monotonic() - start)
    time.sleep(1)
got.append(everything(slow))
whole = b"".join(got)
say([len(whole), whole == bytes(range(256)) * (1 << 15), quickest])`,
        address(),
      );
      expect(said[0]?.slice(0, 2)).toEqual([8 * MB, true]);
      expect(said[0]?.[2]).toBeLessThan(10);
    });
  });
});
