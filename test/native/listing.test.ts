import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Listing, Native, Netns, TcpSocket } from "../../agent/dataplane/native.ts";
import { addToSieve, makeSieve } from "../../agent/dataplane/sieve.ts";
import { connectionsOf } from "./connections.ts";
import { type Application, bytesOf, codeOf, Namespace } from "./namespace.ts";
import { builtNative, obstacle } from "./scratch.ts";

/** Connects to nobody, again and again, to each of some ends; says when all are on their way. */
const DIAL = `
import socket, sys
held = []
for number in range(int(sys.argv[1])):
    for end in sys.argv[2:]:
        address, port = end.rsplit(" ", 1)
        one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        one.setblocking(False)
        scope = 7 if address.startswith("fe80") else 0
        try: one.connect((address, int(port), 0, scope) if ":" in address else (address, int(port)))
        except BlockingIOError: pass
        held.append(one)
print(len(held), flush=True)
sys.stdin.read()`;

interface Piece {
  readonly error?: unknown;
  readonly connections: readonly TcpSocket[];
  readonly more: boolean | undefined;
}

const next = (listing: Listing): Promise<Piece> =>
  new Promise((resolve) =>
    listing.next((...[error, connections = [], more]) => resolve({ error, connections, more })),
  );

describe.skipIf(obstacle())("a listing of connections", () => {
  let native: Native;
  let inside: Namespace;
  let netns: Netns;
  let app: Application;
  const ends = [
    { address: "192.0.2.1", port: 80 },
    { address: "192.0.2.1", port: 81 },
    { address: "192.0.2.2", port: 80 },
    { address: "2001:db8::1", port: 80 },
    { address: "fe80::5", port: 80 },
    { address: "fe80::5", port: 82 },
  ];
  const EACH = 500;

  beforeAll(async () => {
    native = builtNative();
    inside = new Namespace();
    // Where everything goes, and nothing comes back from.
    inside.run("ip", "link", "add", "d0", "index", "7", "type", "veth", "peer", "name", "d1");
    inside.run("ip", "link", "set", "d1", "up");
    inside.run("ip", "link", "set", "d0", "up");
    for (const address of ["198.51.100.1/24", "2001:db8:1::1/64"])
      inside.run("ip", "addr", "add", address, "dev", "d0", ...(address.includes(":") ? ["nodad"] : []));
    inside.run("ip", "route", "add", "192.0.2.0/24", "dev", "d0");
    inside.run("ip", "route", "add", "2001:db8::/64", "dev", "d0");
    for (const address of new Set(ends.map((end) => end.address)))
      inside.run(
        "ip",
        "neigh",
        "add",
        address,
        "lladdr",
        "02:00:00:00:00:01",
        "dev",
        "d0",
        "nud",
        "permanent",
      );
    netns = native.Netns.open(inside.path);
    app = inside.start(
      "python3",
      "-c",
      DIAL,
      String(EACH),
      ...ends.map(({ address, port }) => `${address} ${port}`),
    );
    expect(await app.line()).toBe(String(EACH * ends.length));
  });
  afterAll(async () => {
    netns?.close();
    await inside?.remove();
  });

  it("comes in pieces, each once, and the loop has its turn meanwhile", async () => {
    const listing = netns.list();
    const cookies = new Set<bigint>();
    let turns = 0;
    const count = setInterval(() => turns++, 0);
    for (let more: boolean | undefined = true; more; ) {
      const piece = await next(listing);
      expect(piece.error).toBeUndefined();
      expect(piece.connections.length).toBeLessThanOrEqual(256);
      for (const { cookie } of piece.connections) cookies.add(cookie);
      more = piece.more;
    }
    clearInterval(count);
    expect(cookies.size).toBe(EACH * ends.length);
    expect(codeOf(() => listing.next(() => {}))).toBe("ERR_CLOSED");
    expect(turns).toBeGreaterThan(1);
  });

  it("leaves out what a sieve does, and nothing that it was made for", async () => {
    const dialled = async (...put: Parameters<typeof addToSieve>[1][]) => {
      // With room, so that hardly any other gets through.
      const remote = makeSieve(4096);
      for (const end of put) addToSieve(remote, end);
      const found = await connectionsOf(netns, { remote });
      return ends.map(
        (_, at) => found.filter(({ remote: { port, address } }) => isAt(ends[at], address, port)).length,
      );
    };
    expect(await dialled()).toEqual([0, 0, 0, 0, 0, 0]);
    for (const [at, end] of ends.slice(0, 4).entries())
      expect(await dialled(end)).toEqual(ends.map((_, other) => (other === at ? EACH : 0)));
    expect(await dialled({ port: 80 })).toEqual([EACH, 0, EACH, EACH, EACH, 0]);
    expect(await dialled({ address: "fe80::", port: 82 })).toEqual([0, 0, 0, 0, 0, EACH]);
    expect(await dialled(...ends.slice(1, 3))).toEqual([0, EACH, EACH, 0, 0, 0]);
  });

  it("says nothing more when it is closed, and one thing at a time before", async () => {
    const listing = netns.list();
    listing.next(() => expect.fail("it is closed"));
    expect(codeOf(() => listing.next(() => {}))).toBe("EALREADY");
    listing.close();
    listing.close();
    expect(codeOf(() => listing.next(() => {}))).toBe("ERR_CLOSED");
    await connectionsOf(netns);
  });

  it("refuses what is no filter", () => {
    for (const remote of [Buffer.alloc(0), Buffer.alloc(11), Buffer.alloc(12 + 4), Buffer.alloc(4 + 65_536)])
      expect(() => netns.list({ remote })).toThrow("remote must be a sieve");
    for (const wrong of [{ remote: "x" }, { listeners: 1 }, 7])
      expect(() => netns.list(wrong as object)).toThrow(/must be/);
  });
});

function isAt(
  end: { readonly address: string; readonly port: number } | undefined,
  address: Uint8Array,
  port: number,
) {
  return end !== undefined && end.port === port && Buffer.compare(bytesOf(end.address), address) === 0;
}
