/** TLS that ends in the proxy: real clients in pods, and servers that see plain text from the pod's own address. */
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pidsOf } from "../lab/cgroup.ts";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { makePair, type Pair } from "./support/certificates.ts";
import { denyWhere, tlsEndpoint } from "./support/endpoints.ts";
import { namespaces, pod, type RuleWish, server } from "./support/objects.ts";
import { python } from "./support/python.ts";
import { openStage, type Stage } from "./support/stage.ts";
import { lineOf, logLines } from "./support/verdict-lines.ts";

const HANDSHAKE_TIMEOUT_MS = 1000;
const RESULT = "actions.ngrok.terminate_tls";

/** `talk`: says hello through TLS, and what came of it. */
const TLS = `
import ssl
def pem(text):
    made = os.memfd_create("pem")
    os.write(made, text.encode())
    return f"/proc/self/fd/{made}"
def context(trust=None, version=None, pair=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED if trust else ssl.CERT_NONE
    if trust: made.load_verify_locations(cadata=trust)
    if version:
        made.set_ciphers("DEFAULT@SECLEVEL=0")
        made.minimum_version = made.maximum_version = ssl.TLSVersion[version]
    if pair: made.load_cert_chain(pem(pair[0]), pem(pair[1]))
    return made
def talk(address, port, name=None, **wish):
    try:
        connection = context(**wish).wrap_socket(connect(address, port), server_hostname=name, suppress_ragged_eofs=False)
        connection.sendall(b"hello\\n")
        heard = connection.recv(200).decode()
        return {"version": connection.version(), "heard": heard, "source": connection.getsockname()[0]}
    except ssl.SSLError as error:
        return {"error": error.reason or str(error)}
    except OSError as error:
        return {"error": errno.errorcode.get(error.errno, str(error))}
wish = json.loads(arguments[2]) if len(arguments) > 2 else {}
`;

interface Said {
  readonly version?: string;
  readonly heard?: string;
  readonly source?: string;
  readonly error?: string;
}

let stage: Stage;
let own: Pair;
let authority: Pair;
let teller: Pair;
let stranger: Pair;

const client = () => stage.pod("shop/client");
const terminate = (config: Record<string, unknown> = {}): RuleWish => ({
  actions: [
    {
      type: "terminate-tls",
      config: { server_private_key: own.key, server_certificate: own.certificate, ...config },
    },
  ],
});

async function talk(
  at: string,
  wish: Record<string, unknown> = {},
  family: "IPv4" | "IPv6" = "IPv4",
): Promise<Said & { readonly comm: string }> {
  const destination = stage.service(`${at}.bank:80`);
  const { comm, said } = await python<Said>(
    client(),
    `${TLS}\nsay(talk(arguments[0], arguments[1], **wish))`,
    destination[family],
    destination.port,
    JSON.stringify(wish),
  );
  return { comm, ...said[0] };
}

const lineAbout = ({ comm }: { readonly comm: string }) => lineOf({ comm }, () => stage.log());
const pairOf = ({ certificate, key }: Pair) => [certificate, key];
/** How a client learns that it is refused depends on where in its own handshake it is. */
const REFUSED = /^(ECONNRESET|EPIPE|.*ALERT.*|UNEXPECTED_EOF_WHILE_READING|.*EOF.*)$/;

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  own = makePair({ subject: "/O=Bank/CN=vault.bank", names: "DNS:vault.bank" });
  authority = makePair({ subject: "/CN=Bank authority" });
  teller = makePair({
    subject: "/C=DE/O=Bank/OU=Till/OU=Front/CN=teller",
    names: "DNS:teller.example,URI:spiffe://bank/teller,IP:192.0.2.1",
    issuer: authority,
  });
  stranger = makePair({ subject: "/CN=stranger" });
  const authorities = { mutual_tls_certificate_authorities: [authority.certificate] };
  const shown = {
    actions: [
      {
        type: "log",
        config: {
          metadata: {
            cn: `\${${RESULT}.client.subject.common_name}`,
            units: `\${${RESULT}.client.subject.organizational_unit}`,
            issuer: `\${${RESULT}.client.issuer.common_name}`,
            uris: `\${${RESULT}.client.san.uris}`,
            addresses: `\${${RESULT}.client.san.ip_addresses}`,
            serverName: `\${${RESULT}.server.subject.common_name}`,
            algorithm: `\${${RESULT}.server.signature_algorithm}`,
            version: `\${${RESULT}.version}`,
            suite: `\${${RESULT}.cipher_suite}`,
            sni: `\${${RESULT}.sni}`,
          },
        },
      },
    ],
  };
  const endpoints: Record<string, readonly RuleWish[]> = {
    vault: [terminate()],
    old: [terminate({ min_version: "1.0" })],
    capped: [terminate({ max_version: "1.2" })],
    latest: [terminate({ min_version: "1.3" })],
    verify: [terminate(authorities), shown],
    any: [terminate({ mutual_tls_verification_strategy: "require-any" })],
    ask: [terminate({ ...authorities, mutual_tls_verification_strategy: "request" })],
    choosy: [
      denyWhere('conn.k8s.pod.metadata.namespace == "nowhere"'),
      terminate({ ...authorities, mutual_tls_verification_strategy: "request" }),
      denyWhere(`${RESULT}.client.subject.common_name != "teller"`),
      denyWhere(`${RESULT}.version != "1.3"`, `${RESULT}.sni == "new.example"`),
    ],
  };
  const names = Object.keys(endpoints);
  stage = await openStage("tls", [
    namespaces("bank", "shop"),
    names.flatMap((name) => server("bank", name)),
    [pod("shop", "client"), pod("shop", "host", { hostNetwork: true })] as KubeObject[],
    Object.entries(endpoints).map(([name, rules]) => tlsEndpoint(`bank/${name}`, rules)),
  ]);
  await stage.startAgent("--tls-handshake-timeout", `${HANDSHAKE_TIMEOUT_MS}ms`, "--drain-timeout", "1s");
  await stage.lab.waitFor("the proxy", async () => (await talk("vault")).heard !== undefined);
});

afterAll(async () => {
  await stage?.close();
});

describe.skipIf(obstacle() !== undefined)("terminate-tls", () => {
  test.each([
    "IPv4",
    "IPv6",
  ] as const)("shows the policy's certificate, and its server sees plain text from the pod: %s", async (family) => {
    const said = await talk("vault", { trust: own.certificate, name: "vault.bank" }, family);
    const address = family === "IPv4" ? client().ipv4 : client().ipv6;
    expect(said).toMatchObject({ version: "TLSv1.3", heard: `bank/vault ${address}\n` });
    expect(await lineAbout(said)).toMatchObject({
      verdict: "allow",
      enforced: true,
      reason: "fell-through",
      layer: "proxy",
      pod: { namespace: "shop", name: "client" },
      destination: { service: "bank/vault", port: 80 },
    });
  });

  test("its object is accepted, and says where it is decided", async () => {
    await stage.untilAccepted("AgentEndpoint", "bank/vault", {
      status: "True",
      message: expect.stringContaining(
        "decided in the proxy: it terminates TLS (rule 0)",
      ) as unknown as string,
    });
  });

  test.each([
    ["vault", "TLSv1_2", "TLSv1.2"],
    ["vault", "TLSv1_3", "TLSv1.3"],
    ["old", "TLSv1", "TLSv1"],
    ["old", "TLSv1_1", "TLSv1.1"],
    ["capped", "TLSv1_2", "TLSv1.2"],
    ["latest", "TLSv1_3", "TLSv1.3"],
  ])("speaks a version that the policy allows: %s, %s", async (at, version, spoken) => {
    expect(await talk(at, { version })).toMatchObject({
      version: spoken,
      heard: `bank/${at} ${client().ipv4}\n`,
    });
  });

  test.each([
    ["vault", "TLSv1_1"],
    ["capped", "TLSv1_3"],
    ["latest", "TLSv1_2"],
  ])("refuses versions that the policy does not allow: %s, %s", async (at, version) => {
    const refused = await talk(at, { version });
    expect(refused.error).toMatch(/PROTOCOL_VERSION|ECONNRESET/);
    expect(await lineAbout(refused)).toMatchObject({
      verdict: "deny",
      reason: "rule",
      layer: "proxy",
      policy: { kind: "AgentEndpoint", namespace: "bank", name: at },
      rule: { index: 0 },
      error: "TLS handshake: the client has no version of TLS that is allowed",
    });
  });

  test.each<[string, "teller" | "stranger" | "nobody", string | undefined]>([
    ["verify", "teller", undefined],
    ["verify", "stranger", "the client's certificate is refused: DEPTH_ZERO_SELF_SIGNED_CERT"],
    ["verify", "nobody", "the client has shown no certificate"],
    ["any", "teller", undefined],
    ["any", "stranger", undefined],
    ["any", "nobody", "the client has shown no certificate"],
    ["ask", "teller", undefined],
    ["ask", "stranger", undefined],
    ["ask", "nobody", undefined],
    ["vault", "teller", undefined],
  ])("of clients' certificates: %s, shown by %s", async (at, who, error) => {
    const wish = who === "nobody" ? {} : { pair: pairOf(who === "teller" ? teller : stranger) };
    for (const version of ["TLSv1_2", "TLSv1_3"]) {
      const said = await talk(at, { ...wish, version });
      if (error === undefined) {
        expect(said.heard).toBe(`bank/${at} ${client().ipv4}\n`);
      } else {
        expect(said.error).toMatch(REFUSED);
        expect(await lineAbout(said)).toMatchObject({ verdict: "deny", error: `TLS handshake: ${error}` });
      }
    }
  });

  test("later rules read what the handshake came to, and the log too", async () => {
    const said = await talk("verify", { pair: pairOf(teller), name: "till.example" });
    const line = (await lineAbout(said)) as unknown as { log: readonly unknown[] };
    expect(line.log).toEqual([
      {
        cn: "teller",
        units: ["Till", "Front"],
        issuer: "Bank authority",
        uris: ["spiffe://bank/teller"],
        addresses: ["192.0.2.1"],
        serverName: "vault.bank",
        algorithm: "ECDSA-SHA256",
        version: "1.3",
        suite: "TLS_AES_256_GCM_SHA384",
        sni: "till.example",
      },
    ]);
  });

  test.each<[string, Record<string, unknown>, number | undefined]>([
    ["who shows the right name", { pair: "teller" }, undefined],
    ["who shows another", { pair: "stranger" }, 2],
    ["who shows none", {}, 2],
    ["whose version a rule wants", { pair: "teller", name: "new.example" }, undefined],
    ["whose version it does not want", { pair: "teller", name: "new.example", version: "TLSv1_2" }, 3],
  ])("a later rule decides about a client %s", async (_, wish, rule) => {
    const pairs: Record<string, Pair> = { teller, stranger };
    const pair = pairs[String(wish.pair)];
    const said = await talk("choosy", { ...wish, ...(pair && { pair: pairOf(pair) }) });
    if (rule === undefined) {
      expect(said.heard).toMatch(/^bank\/choosy /);
      expect(await lineAbout(said)).toMatchObject({ verdict: "allow", layer: "proxy" });
    } else {
      expect(said.error).toMatch(REFUSED);
      expect(await lineAbout(said)).toMatchObject({ verdict: "deny", reason: "rule", rule: { index: rule } });
    }
  });

  test.each<[string, string, string]>([
    ["who speaks HTTP", "GET / HTTP/1.1\r\n\r\n", "the client speaks HTTP, not TLS"],
    ["who speaks anything else", "\0\u0001\u0002 garbage", "the client does not speak TLS"],
    ["who says nothing for too long", "", "not made in 1 s"],
  ])("a client %s is reset", async (_, text, error) => {
    const { IPv4, port } = stage.service("vault.bank:80");
    const { comm, said } = await python<{ saw: string; after: number }>(
      client(),
      `
connection = connect(arguments[0], arguments[1])
connection.sendall(json.loads(arguments[2]).encode("latin1"))
start = time.monotonic()
def read():
    while True:
        piece = connection.recv(100)
        if not piece: return "end"
say({"saw": outcome(read), "after": time.monotonic() - start})`,
      IPv4,
      port,
      JSON.stringify(text),
    );
    expect(said[0]?.saw).toBe("ECONNRESET");
    expect(said[0]?.after).toBeLessThan(HANDSHAKE_TIMEOUT_MS / 1000 + 2);
    expect(await lineAbout({ comm })).toMatchObject({ verdict: "deny", error: `TLS handshake: ${error}` });
  });

  test("what a client says that does not trust the certificate is in the line", async () => {
    const said = await talk("vault", { trust: stranger.certificate });
    expect(said.error).toBe("CERTIFICATE_VERIFY_FAILED");
    expect(await lineAbout(said)).toMatchObject({
      verdict: "deny",
      reason: "rule",
      error: "TLS handshake: the client refuses: unknown ca",
    });
  });

  test("a handshake that dribbles in is over in time as well", async () => {
    const { IPv4, port } = stage.service("vault.bank:80");
    const { said } = await python<{ saw: string; after: number }>(
      client(),
      `${TLS}
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
try: context().wrap_bio(incoming, outgoing).do_handshake()
except ssl.SSLWantReadError: pass
hello = outgoing.read()
connection = connect(arguments[0], arguments[1])
start = time.monotonic()
def dribble():
    for byte in hello:
        connection.sendall(bytes([byte]))
        time.sleep(0.1)
say({"saw": outcome(dribble), "after": time.monotonic() - start})`,
      IPv4,
      port,
    );
    expect(["ECONNRESET", "EPIPE"]).toContain(said[0]?.saw);
    expect(said[0]?.after).toBeLessThan(HANDSHAKE_TIMEOUT_MS / 1000 + 3);
  });

  test("much goes through in both directions, whole, and so does the end of it", async () => {
    const { IPv4, port } = stage.service("vault.bank:80");
    const { said } = await python<{ lines: number; ended: boolean }>(
      client(),
      `${TLS}
connection = context().wrap_socket(connect(arguments[0], arguments[1]))
count, heard = 20000, 0
reader, text = connection.makefile("rb"), b"x" * 100 + b"\\n"
for round in range(20):
    connection.sendall(text * (count // 20))
    for number in range(count // 20):
        heard += reader.readline().startswith(b"bank/vault ")
connection.unwrap()
say({"lines": heard, "ended": True})`,
      IPv4,
      port,
    );
    expect(said).toEqual([{ lines: 20_000, ended: true }]);
  });

  test("a thousand handshakes, good and bad, leave nothing open", async () => {
    const before = descriptors();
    const { IPv4, port } = stage.service("verify.bank:80");
    const { said } = await python<{ good: number; bad: number }>(
      client(),
      `${TLS}
good = bad = 0
pair = context(pair=wish["pair"])
for number in range(1000):
    kind = number % 4
    connection = connect(arguments[0], arguments[1])
    try:
        if kind == 0:
            secure = pair.wrap_socket(connection)
            secure.sendall(b"hello\\n")
            good += secure.recv(200).startswith(b"bank/verify ")
            secure.close()
            continue
        if kind == 1:
            context().wrap_socket(connection).recv(1)
        if kind == 2:
            connection.sendall(b"garbage that is no TLS")
            everything(connection)
        if kind == 3:
            connection.sendall(b"\\x16\\x03\\x01")
            connection.close()
    except OSError: pass
    connection.close()
    bad += 1
say({"good": good, "bad": bad})`,
      IPv4,
      port,
      JSON.stringify({ pair: pairOf(teller) }),
    );
    expect(said).toEqual([{ good: 250, bad: 750 }]);
    await stage.lab.waitFor("its sockets to be closed", () => descriptors() <= before + 2);
    expect((await talk("vault")).heard).toMatch(/^bank\/vault /);
  });

  test("where there is no proxy for it, it is refused in the kernel", async () => {
    const { IPv4 } = await stage.dial("shop/host", "vault.bank:80");
    expect(IPv4).toMatchObject({ saw: "EPERM", line: { verdict: "deny", reason: "pending" } });
  });

  test("no line of the log holds any of the key", async () => {
    const log = await stage.log();
    const pieces = own.key.split("\n").filter((line) => line.length > 16 && !line.startsWith("-----"));
    expect(pieces.length).toBeGreaterThan(1);
    for (const piece of pieces) expect(log).not.toContain(piece);
    expect(log).not.toContain("PRIVATE KEY");
    expect(logLines(log).filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });

  test("a pod has so many at a time, and again when they end", async () => {
    await stage.restartAgent("--proxy-tls-per-pod", "2", "--drain-timeout", "0");
    await stage.lab.waitFor("the proxy", async () => (await talk("vault")).heard !== undefined);
    const service = stage.service("vault.bank:80");
    const { comm, said } = await python<Said>(
      client(),
      `${TLS}
def held():
    made = context().wrap_socket(connect(arguments[0], arguments[1]))
    made.sendall(b"hello\\n")
    return made if made.recv(200) else None
kept = [held(), held()]
say(talk(arguments[0], arguments[1]))
for each in kept: each.close()
until = time.monotonic() + 5
while "heard" not in (last := talk(arguments[0], arguments[1])) and time.monotonic() < until: time.sleep(0.05)
say(last)`,
      service.IPv6,
      service.port,
    );
    expect(said).toEqual([
      { error: expect.stringMatching(REFUSED) },
      expect.objectContaining({ heard: expect.stringContaining("bank/vault") }),
    ]);
    const overLimit = { verdict: "deny", reason: "over-limit", process: expect.objectContaining({ comm }) };
    expect(logLines(await stage.log())).toContainEqual(expect.objectContaining(overLimit));
  });

  test("an agent without a broker refuses it in the kernel", async () => {
    await stage.stopAgent();
    await stage.lab.startAgent({ broker: false });
    expect(await talk("vault")).toMatchObject({ error: "EPERM" });
  });
});

function descriptors(): number {
  const pids = pidsOf(stage.lab.pod("podgate-system", stage.agent).containerCgroup("agent"));
  return pids.reduce((sum, pid) => sum + readdirSync(`/proc/${pid}/fd`).length, 0);
}
