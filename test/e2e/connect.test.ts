/** The connect hook against everything a pod's process can do to open a connection. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { leftovers } from "../lab/cleanup.ts";
import { type Lab, startLab } from "../lab/lab.ts";
import { obstacle } from "./rig.ts";
import { dial, type Method } from "./support/dial.ts";
import { denyOutside, guard, namespaces, pod, server } from "./support/objects.ts";
import { countPackets, type PacketCount } from "./support/packet-count.ts";
import { program } from "./support/programs.ts";
import { lineOf } from "./support/verdict-lines.ts";

const PORT = 8080;
const families = ["IPv4", "IPv6", "v4-mapped IPv6"] as const;
type Family = (typeof families)[number];

describe.skipIf(obstacle() !== undefined)("a guarded pod", () => {
  let lab: Lab;
  let agent: string;
  let arrived: PacketCount;

  beforeAll(async () => {
    lab = await startLab({ name: `connect-${process.pid}` });
    await lab.apply([
      ...namespaces("vault", "friends", "foes"),
      ...server("vault", "ledger", {
        ports: [
          { name: "tcp", port: 80, targetPort: PORT },
          { name: "udp", port: 53, targetPort: PORT, protocol: "UDP" },
        ],
      }),
      pod("friends", "client"),
      pod("foes", "client"),
      guard("vault", "ledger", [denyOutside("friends")]),
    ]);
    await lab.settled();
    agent = await lab.startAgent({ args: ["--events-per-second", "1000"] });
    arrived = await countPackets(lab.pod("vault", "ledger").netns, [PORT]);
  });

  afterAll(async () => {
    await lab?.stop();
    if (lab !== undefined) expect(leftovers(lab.names)).toEqual([]);
  });

  const friend = () => lab.pod("friends", "client");
  const foe = () => lab.pod("foes", "client");
  const readLog = () => lab.log("podgate-system", agent);

  function serverAddress(family: Family): string {
    const { ipv4, ipv6 } = lab.pod("vault", "ledger");
    return { IPv4: ipv4, IPv6: ipv6, "v4-mapped IPv6": `::ffff:${ipv4}` }[family];
  }

  /** As a pod of that family appears to others. */
  function ownAddress({ ipv4, ipv6 }: { ipv4: string; ipv6: string }, family: Family): string {
    return family === "IPv6" ? ipv6 : ipv4;
  }

  /** What was allowed before may still be ending. */
  const silence = () => lab.waitFor("silence", async () => (await arrived.take()) === 0, { intervalMs: 50 });

  describe.each(families)("over %s", (family) => {
    test("refuses a denied connect() with EPERM, and no packet reaches its namespace", async () => {
      await silence();
      expect((await dial(foe(), serverAddress(family), PORT)).error).toBe("EPERM");
      expect(await arrived.take()).toBe(0);
      // The counter does count: a handshake and a line are three packets at least.
      expect((await dial(friend(), serverAddress(family), PORT)).error).toBeUndefined();
      expect(await arrived.take()).toBeGreaterThanOrEqual(3);
    });

    test("lets an allowed one through with its own source address", async () => {
      const { reply, peer, local } = await dial(friend(), serverAddress(family), PORT);
      const source = ownAddress(friend(), family);
      expect(reply).toBe(`vault/ledger ${source}`);
      expect(peer).toBe(`${serverAddress(family)} ${PORT}`);
      expect(local).toContain(family === "v4-mapped IPv6" ? `::ffff:${source} ` : `${source} `);
    });

    test("has the verdict in the log, with the address as a packet would have it", async () => {
      const line = await lineOf(await dial(foe(), serverAddress(family), PORT), readLog);
      expect(line).toMatchObject({
        verdict: "deny",
        enforced: true,
        reason: "rule",
        layer: family === "IPv4" ? "connect4" : "connect6",
        pod: { namespace: "foes", name: "client", uid: foe().uid },
        destination: { address: ownAddress(lab.pod("vault", "ledger"), family), port: PORT },
      });
    });

    test("refuses curl", async () => {
      const host = family === "IPv4" ? serverAddress(family) : `[${serverAddress(family)}]`;
      const curl = ["curl", "-sSv", "-m", "5", `http://${host}:${PORT}/`];
      const denied = await foe().exec(curl);
      expect(denied.status).toBe(7);
      expect(denied.stderr).toMatch(/Operation not permitted|Couldn't connect|Could not connect/);
      expect((await friend().exec(curl)).stdout).toContain("vault/ledger");
    });

    test("refuses Node.js: err.code is EPERM", async () => {
      const script = `require("node:net").connect(${PORT}, ${JSON.stringify(serverAddress(family))})
        .on("connect", () => { console.log("connected"); process.exit(); })
        .on("error", (error) => console.log(error.code, error.errno));`;
      const node = [process.execPath, "-e", script];
      expect((await foe().exec(node)).stdout).toBe("EPERM -1\n");
      expect((await friend().exec(node)).stdout).toBe("connected\n");
    });

    test("refuses Python: PermissionError", async () => {
      const script = `import socket
try:
    socket.create_connection((${JSON.stringify(serverAddress(family))}, ${PORT}), 5)
    print("connected")
except PermissionError as error:
    print("PermissionError", error.errno)`;
      const python = ["python3", "-c", script];
      expect((await foe().exec(python)).stdout).toBe("PermissionError 1\n");
      expect((await friend().exec(python)).stdout).toBe("connected\n");
    });

    test.each<Method>([
      "nonblocking",
      "fastopen-sendto",
      "fastopen-connect",
      "io_uring",
      "mptcp",
      "mptcp-fastopen",
    ])("refuses %s too, and no packet leaves", async (method) => {
      const allowed = await dial(friend(), serverAddress(family), PORT, { method });
      // What the kernel does not have is no way round either.
      if (allowed.unsupported !== undefined) {
        expect(allowed.unsupported).toMatch(/ENOSYS|EPERM|EPROTONOSUPPORT|ENOPROTOOPT|EINVAL/);
        return;
      }
      expect(allowed.reply).toBe(`vault/ledger ${ownAddress(friend(), family)}`);
      await silence();
      const denied = await dial(foe(), serverAddress(family), PORT, { method });
      expect(denied.error).toBe("EPERM");
      expect(await arrived.take()).toBe(0);
      expect(await lineOf(denied, readLog)).toMatchObject({ verdict: "deny", reason: "rule" });
    });

    test("does not judge UDP yet: datagrams pass, connected or not, and have no verdict", async () => {
      for (const method of ["udp-connect", "udp-sendto"] as const) {
        const { reply } = await dial(foe(), serverAddress(family), PORT, { method });
        expect(reply).toBe(`vault/ledger ${ownAddress(foe(), family)}`);
      }
      const later = await lineOf(await dial(foe(), serverAddress(family), PORT), readLog);
      expect(later.verdict).toBe("deny");
      expect(await readLog()).not.toMatch(/udp/i);
    });

    test("may talk to itself: own address and loopback", async () => {
      const ledger = lab.pod("vault", "ledger");
      const loopback = { IPv4: "127.0.0.1", IPv6: "::1", "v4-mapped IPv6": "::ffff:127.0.0.1" }[family];
      for (const address of [serverAddress(family), loopback]) {
        expect((await dial(ledger, address, PORT)).reply).toMatch(/^vault\/ledger /);
      }
    });
  });

  test("is another pod to its neighbours: a pod's own address is nobody else's excuse", async () => {
    // A server in a namespace that its own policy denies: it reaches itself, and its twin does not reach it.
    await lab.apply([pod("vault", "twin", { labels: { app: "ledger" }, ports: [PORT] })]);
    await lab.settled();
    const twin = lab.pod("vault", "twin");
    const known = await lab.waitFor("the twin's guard", async () => {
      const { error } = await dial(foe(), twin.ipv4, PORT);
      return error === "EPERM";
    });
    expect(known).toBe(true);
    await lab.waitFor("the twin to be known", async () => {
      const line = await lineOf(await dial(twin, lab.pod("vault", "ledger").ipv4, PORT), readLog);
      return line.pod?.name === "twin";
    });
    expect((await dial(twin, lab.pod("vault", "ledger").ipv4, PORT)).error).toBe("EPERM");
    expect((await dial(twin, twin.ipv4, PORT)).reply).toMatch(/^vault\/twin /);
    await lab.deletePod("vault", "twin");
  });

  test("refuses a caller that goes on trying, every one of 5,000 times", async () => {
    await silence();
    const { stdout } = await foe().exec([program("flood"), serverAddress("IPv4"), String(PORT), "5000", "0"]);
    expect(stdout).toBe('started\n{"connected":0,"refused":5000,"other":0,"last":""}\n');
    expect(await arrived.take()).toBe(0);
  });
});
