/** A verdict that only the proxy can reach: where the kernel sends the connection, what it says about it, and when it refuses. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { encodeAddress } from "../../agent/dataplane/abi.ts";
import { loadNative } from "../../agent/dataplane/native.ts";
import { encodeRedirectKey } from "../../agent/dataplane/redirect-table.ts";
import type { Verdict } from "../../agent/model/verdict.ts";
import { leftovers } from "../lab/cleanup.ts";
import { type Lab, startLab } from "../lab/lab.ts";
import { obstacle } from "./rig.ts";
import { type Dialled, dial, type Method, placeAt, type Runner } from "./support/dial.ts";
import { hold } from "./support/held.ts";
import { type InPodListener, listenIn } from "./support/in-pod-listener.ts";
import { namespaces, pod } from "./support/objects.ts";
import { countPackets, type PacketCount } from "./support/packet-count.ts";
import { Redirection, TIMEOUT_MS } from "./support/redirection.ts";

const families = ["IPv4", "IPv6", "v4-mapped IPv6"] as const;
type Family = (typeof families)[number];

const PORTS = { proxied: 8080, lenient: 8081, open: 8082, denied: 8083 } as const;
/** Addresses that lead nowhere but through a forward. */
const SIGN = { ipv4: "198.51.100.80", ipv6: "2001:db8:1::80", open: 80, proxied: 81, lenient: 82 } as const;

const proxy: Verdict = { action: "proxy", reason: "pending", rule: 3 };
const lenient: Verdict = { ...proxy, onAgentDown: "allow" };
const deny: Verdict = { action: "deny", reason: "rule", rule: 1 };

const plain = (text: string) => text.replace("::ffff:", "");
const sourceOf = ({ address }: { readonly address: string }) => encodeAddress(plain(address));

describe.skipIf(obstacle() !== undefined)("an undecided connection", () => {
  let lab: Lab;
  let redirection: Redirection;
  let listener: InPodListener;
  let arrived: PacketCount;

  beforeAll(async () => {
    lab = await startLab({ name: `redirect-${process.pid}` });
    await lab.apply([
      ...namespaces("shop", "apps"),
      pod("shop", "back", { ports: Object.values(PORTS) }),
      pod("apps", "client"),
      pod("apps", "sibling"),
      pod("apps", "node-program", { hostNetwork: true }),
    ]);
    await lab.settled();
    const { ipv4, ipv6 } = back();
    const forward = (port: number): Verdict => ({
      action: "forward",
      reason: "rule",
      rule: 0,
      forward: { service: "shop/back", ipv4, ipv6, port },
    });
    redirection = new Redirection(lab, {
      pods: { known: [back(), client(), sibling()], node: lab.pod("apps", "node-program") },
      verdicts: Object.fromEntries(
        (["ipv4", "ipv6"] as const).flatMap((family) => [
          [`${back()[family]} ${PORTS.proxied}`, proxy],
          [`${back()[family]} ${PORTS.lenient}`, lenient],
          [`${back()[family]} ${PORTS.denied}`, deny],
          [`${SIGN[family]} ${SIGN.open}`, forward(PORTS.open)],
          [`${SIGN[family]} ${SIGN.proxied}`, forward(PORTS.proxied)],
          [`${SIGN[family]} ${SIGN.lenient}`, forward(PORTS.lenient)],
        ]),
      ),
    });
    await redirection.enforce();
    listener = await listenIn(client());
    arrived = await countPackets(back().netns, Object.values(PORTS));
  });

  afterAll(async () => {
    await listener?.stop();
    redirection?.close();
    await lab?.stop();
    if (lab !== undefined) expect(leftovers(lab.names)).toEqual([]);
  });

  beforeEach(() => {
    redirection.beat();
    redirection.listeners.clear();
    redirection.listeners.put(redirection.cookie(client()), listener);
  });

  const back = () => lab.pod("shop", "back");
  const client = () => lab.pod("apps", "client");
  const sibling = () => lab.pod("apps", "sibling");

  function address(family: Family, at: { ipv4: string; ipv6: string } = back()): string {
    return { IPv4: at.ipv4, IPv6: at.ipv6, "v4-mapped IPv6": `::ffff:${at.ipv4}` }[family];
  }

  /** Where a client of that family finds the listener. */
  function listening(family: Family): string {
    const { port4, port6 } = listener;
    return {
      IPv4: `127.0.0.1 ${port4}`,
      IPv6: `::1 ${port6}`,
      "v4-mapped IPv6": `::ffff:127.0.0.1 ${port4}`,
    }[family];
  }

  /** As a packet has it. */

  async function eventOf({ comm }: { readonly comm: string }) {
    return lab.waitFor("an event", () => redirection.events.find((event) => event.comm === comm), {
      intervalMs: 10,
    });
  }

  async function expectRefused(dialled: Dialled, reason: string): Promise<void> {
    expect(dialled).toEqual({ error: "EPERM", comm: dialled.comm });
    expect(await eventOf(dialled)).toMatchObject({ action: "deny", reason });
  }

  /** Packets of connections that have ended may still come. */
  const silence = () => lab.waitFor("silence", async () => (await arrived.take()) === 0, { intervalMs: 50 });

  /** The entries go with their sockets. */
  const emptied = () =>
    lab.waitFor("no entries", () => redirection.entries().length === 0, { intervalMs: 5 });

  describe.each(families)("over %s", (family) => {
    const packet = family === "IPv6" ? 6 : 4;

    test("reaches the listener in the pod, with an entry that says who dialled what", async () => {
      await silence();
      const held = await hold(client(), address(family), PORTS.proxied);
      const arrival = await listener.arrival();
      expect(arrival).toMatchObject({ said: "held\n", family: packet });
      const [entry, ...others] = redirection.entries();
      expect(others).toEqual([]);
      expect(entry).toMatchObject({
        action: "proxy",
        netnsCookie: redirection.cookie(client()),
        cgroup: loadNative().cgroupId(client().cgroup),
        socket: held.socket,
        pid: held.pid,
        comm: held.comm,
        layer: family === "IPv4" ? "connect4" : "connect6",
        family: packet,
        dialled: { address: plain(address(family)), port: PORTS.proxied },
        target: { address: plain(address(family)), port: PORTS.proxied },
        source: arrival.address,
      });
      expect(redirection.uid(entry?.pod ?? 0)).toBe(client().uid);
      expect(entry?.guard).toBeGreaterThan(0);
      expect(held.peer).toBe(`${address(family)} ${PORTS.proxied}`);
      expect(await arrived.take()).toBe(0);

      const other = packet === 4 ? 6 : 4;
      expect(
        redirection.table.take(redirection.cookie(sibling()), arrival.port, packet, sourceOf(arrival)),
      ).toBeUndefined();
      expect(
        redirection.table.take(redirection.cookie(client()), arrival.port, other, sourceOf(arrival)),
      ).toBeUndefined();
      expect(
        redirection.table.take(redirection.cookie(client()), arrival.port, packet, sourceOf(arrival)),
      ).toEqual(entry);
      expect(
        redirection.table.take(redirection.cookie(client()), arrival.port, packet, sourceOf(arrival)),
      ).toBeUndefined();
      await held.next();
      expect(redirection.events.some(({ comm }) => comm === held.comm)).toBe(false);
    });

    test("that nobody takes loses its entry when the socket closes", async () => {
      const held = await hold(client(), address(family), PORTS.proxied);
      const arrival = await listener.arrival();
      expect(redirection.entries()).toMatchObject([{ socket: held.socket }]);
      await held.next();
      listener.answer(arrival, "");
      await emptied();
    });

    test("from a socket bound to the pod's address is no different", async () => {
      const source = address(family, client());
      const held = await hold(client(), address(family), PORTS.proxied, { source });
      const arrival = await listener.arrival();
      expect(plain(arrival.address)).toBe(plain(source));
      const entry = redirection.table.take(
        redirection.cookie(client()),
        arrival.port,
        packet,
        sourceOf(arrival),
      );
      expect(entry).toMatchObject({ socket: held.socket, source: plain(source) });
      expect(held.peer).toBe(`${address(family)} ${PORTS.proxied}`);
      expect(held.local).toBe(`${source} ${arrival.port}`);
      await held.next();
    });

    test.each<Method>([
      "connect",
      "nonblocking",
      "fastopen-sendto",
      "fastopen-connect",
      "io_uring",
    ])("by %s goes to the listener with all it says, and nothing to the destination", async (method) => {
      await silence();
      const dialling = dial(client(), address(family), PORTS.proxied, { method });
      const first = await Promise.race([listener.arrival(), dialling]);
      if (!("said" in first)) {
        // What the kernel does not have. The next arrival is another test's.
        expect(first.unsupported).toMatch(/ENOSYS|EPERM|ENOPROTOOPT|EINVAL/);
        return;
      }
      expect(first).toMatchObject({ said: "hello\n", family: packet });
      const entry = redirection.table.take(redirection.cookie(client()), first.port, packet, sourceOf(first));
      expect(entry?.dialled).toEqual({ address: plain(address(family)), port: PORTS.proxied });
      listener.answer(first, "the proxy\n");
      const { reply, peer } = await dialling;
      expect({ reply, peer }).toEqual({
        reply: "the proxy",
        peer: `${address(family)} ${PORTS.proxied}`,
      });
      expect(await arrived.take()).toBe(0);
    });

    test.each<Method>([
      "mptcp",
      "mptcp-fastopen",
    ])("by %s goes there too, but getpeername knows the subflow's peer only", async (method) => {
      await silence();
      const dialling = dial(client(), address(family), PORTS.proxied, { method });
      const first = await Promise.race([listener.arrival(), dialling]);
      if (!("said" in first)) {
        expect(first.unsupported).toMatch(/ENOSYS|EPERM|EPROTONOSUPPORT|ENOPROTOOPT|EINVAL/);
        return;
      }
      const entry = redirection.table.take(redirection.cookie(client()), first.port, packet, sourceOf(first));
      expect(entry?.dialled).toEqual({ address: plain(address(family)), port: PORTS.proxied });
      listener.answer(first, "the proxy\n");
      const { reply, peer } = await dialling;
      expect({ reply, peer }).toEqual({ reply: "the proxy", peer: listening(family) });
      expect(await arrived.take()).toBe(0);
    });

    test("behind a forward reaches the listener; the entry has both what was dialled and what is undecided", async () => {
      const held = await hold(client(), address(family, SIGN), SIGN.proxied);
      const arrival = await listener.arrival();
      expect(
        redirection.table.take(redirection.cookie(client()), arrival.port, packet, sourceOf(arrival)),
      ).toMatchObject({
        action: "proxy",
        dialled: { address: plain(address(family, SIGN)), port: SIGN.proxied },
        target: { address: plain(address(family)), port: PORTS.proxied },
      });
      expect(held.peer).toBe(`${address(family, SIGN)} ${SIGN.proxied}`);
      await held.next();
    });

    test("that a policy forwards for good is known by its socket's cookie while it is open", async () => {
      const held = await hold(client(), address(family, SIGN), SIGN.open);
      const [entry, ...others] = redirection.entries();
      expect(others).toEqual([]);
      expect(entry).toMatchObject({
        action: "forward",
        socket: held.socket,
        pid: held.pid,
        comm: held.comm,
        netnsCookie: redirection.cookie(client()),
        dialled: { address: plain(address(family, SIGN)), port: SIGN.open },
        target: { address: plain(address(family)), port: PORTS.open },
        source: plain(address(family, client())),
      });
      expect(redirection.table.forwarded().get(held.socket)).toEqual(entry);
      expect(held.peer).toBe(`${address(family, SIGN)} ${SIGN.open}`);
      await held.next();
      await emptied();
    });

    describe("while no agent answers", () => {
      test.each([
        ["its heartbeat is too old", () => redirection.beat({ ago: TIMEOUT_MS + 20 })],
        ["its heartbeat is from the future", () => redirection.beat({ ago: -60_000 })],
        [
          "there never was one",
          () => redirection.kernel.maps.agent_state.put(Buffer.alloc(4), Buffer.alloc(24)),
        ],
      ])("is refused at once: %s", async (_, silenced) => {
        await silence();
        silenced();
        await expectRefused(await dial(client(), address(family), PORTS.proxied), "agent-down");
        await expectRefused(await dial(client(), address(family, SIGN), SIGN.proxied), "agent-down");
        expect(await arrived.take()).toBe(0);
      });

      test("is not refused a moment earlier", async () => {
        redirection.beat({ ago: TIMEOUT_MS - 1000 });
        const held = await hold(client(), address(family), PORTS.proxied);
        await listener.arrival();
        await held.next();
      });

      test("is allowed where the policy says so, and nowhere else", async () => {
        redirection.beat({ ago: TIMEOUT_MS + 20 });
        const allowed = await dial(client(), address(family), PORTS.lenient);
        expect(allowed.reply).toMatch(/^shop\/back /);
        expect(await eventOf(allowed)).toMatchObject({ action: "allow", reason: "agent-down", rule: 3 });
        await expectRefused(await dial(client(), address(family), PORTS.proxied), "agent-down");
      });

      test("is forwarded where what it is forwarded to says so", async () => {
        redirection.beat({ ago: TIMEOUT_MS + 20 });
        const forwarded = await dial(client(), address(family, SIGN), SIGN.lenient);
        expect(forwarded.reply).toMatch(/^shop\/back /);
        expect(forwarded.peer).toBe(`${address(family, SIGN)} ${SIGN.lenient}`);
        expect(await eventOf(forwarded)).toMatchObject({ action: "forward", reason: "agent-down" });
      });
    });

    test("is refused where there is no listener, none of its family, or too many for it", async () => {
      await silence();
      const cookie = redirection.cookie(client());
      const dialled = () => dial(client(), address(family), PORTS.proxied);
      redirection.listeners.delete(cookie);
      await expectRefused(await dialled(), "pending");
      const { port4, port6 } = listener;
      redirection.listeners.put(cookie, packet === 4 ? { port6 } : { port4 });
      await expectRefused(await dialled(), "pending");
      redirection.listeners.put(cookie, { port4, port6, overLimit: true });
      await expectRefused(await dialled(), "over-limit");
      // Neither is what an agent that does not answer may leave open.
      redirection.listeners.clear();
      await expectRefused(await dial(client(), address(family), PORTS.lenient), "pending");
      expect(await arrived.take()).toBe(0);
    });

    test("of the node's own namespace never goes anywhere, whatever the map says", async () => {
      redirection.listeners.put(redirection.nodeCookie, listener);
      for (const from of [
        lab.pod("apps", "node-program"),
        placeAt(client().containerCgroup(), lab.names.nodeNetns),
      ]) {
        await expectRefused(await dial(from, address(family), PORTS.proxied), "pending");
      }
      expect(redirection.entries()).toEqual([]);
    });

    test("of a pod in another pod's network is refused as before", async () => {
      const elsewhere = placeAt(sibling().containerCgroup(), client().netns);
      await expectRefused(await dial(elsewhere, address(family), PORTS.proxied), "identity-mismatch");
    });

    test("to the pod itself stays there", async () => {
      redirection.listeners.put(redirection.cookie(back()), { port4: 9, port6: 9 });
      const dialled = await dial(back(), address(family), PORTS.proxied);
      expect(dialled.reply).toMatch(/^shop\/back /);
    });

    describe("of the agent", () => {
      const agentIs = (cgroup: string) => redirection.beat({ cgroup: loadNative().cgroupId(cgroup) });
      const reaches = async (from: Runner, port: number) =>
        expect((await dial(from, address(family), port)).reply).toMatch(/^shop\/back /);

      test("is not judged, in whatever network: the cgroup it names and all below", async () => {
        const deep = join(sibling().containerCgroup(), "a/b");
        mkdirSync(deep, { recursive: true });
        for (const cgroup of [sibling().cgroup, sibling().containerCgroup()]) {
          agentIs(cgroup);
          for (const port of [PORTS.proxied, PORTS.denied]) {
            await reaches(sibling(), port);
            await reaches(placeAt(sibling().containerCgroup(), client().netns), port);
            await reaches(placeAt(deep, client().netns), port);
          }
        }
        const forwarded = await dial(sibling(), address(family), PORTS.proxied);
        expect(redirection.events.some(({ comm }) => comm === forwarded.comm)).toBe(false);
      });

      test("is it by its cgroup alone: not a pod beside it, above it, nor in its network", async () => {
        agentIs(sibling().containerCgroup());
        const refused = (from: Runner) => dial(from, address(family), PORTS.denied);
        await expectRefused(await refused(client()), "rule");
        await expectRefused(
          await refused(placeAt(client().containerCgroup(), sibling().netns)),
          "identity-mismatch",
        );
        await expectRefused(await refused(placeAt(sibling().cgroup, sibling().netns)), "rule");
        // The pods' root and what is above it exempt nobody.
        for (const cgroup of [lab.cgroupRoot, lab.names.cgroup]) {
          agentIs(cgroup);
          await expectRefused(await refused(client()), "rule");
        }
      });
    });

    test("finds no entry when there is no room, and is not connected to anything but the listener", async () => {
      await silence();
      const { redirects } = redirection.kernel.maps;
      const { maxEntries, valueSize } = redirects;
      const fill = Buffer.concat(
        Array.from({ length: maxEntries }, (_, index) =>
          encodeRedirectKey(BigInt(index), 1, 4, new Uint8Array(16)),
        ),
      );
      redirects.putBatch(fill, Buffer.alloc(maxEntries * valueSize));
      try {
        const held = await hold(client(), address(family), PORTS.proxied);
        const arrival = await listener.arrival();
        expect(
          redirection.table.take(redirection.cookie(client()), arrival.port, packet, sourceOf(arrival)),
        ).toBeUndefined();
        await held.next();
        expect(await arrived.take()).toBe(0);
      } finally {
        redirects.deleteBatch(fill);
      }
    });

    test("leaves nothing on its socket for a later one to the listener itself", async () => {
      const held = await hold(client(), address(family), PORTS.proxied, { again: [listening(family)] });
      const first = await listener.arrival();
      expect(
        redirection.table.take(redirection.cookie(client()), first.port, packet, sourceOf(first)),
      ).toBeDefined();
      await held.next();
      expect(await listener.arrival()).toMatchObject({ said: "again\n" });
      expect(redirection.entries()).toEqual([]);
      await held.next();
    });
  });

  test("that comes to the listener by itself has no entry", async () => {
    const dialling = dial(client(), "127.0.0.1", listener.port4);
    const arrival = await listener.arrival();
    expect(
      redirection.table.take(redirection.cookie(client()), arrival.port, 4, sourceOf(arrival)),
    ).toBeUndefined();
    listener.answer(arrival, "nothing\n");
    expect((await dialling).peer).toBe(`127.0.0.1 ${listener.port4}`);
  });

  test("does not concern UDP", async () => {
    const { reply } = await dial(client(), back().ipv4, PORTS.proxied, { method: "udp-connect" });
    expect(reply).toMatch(/^shop\/back /);
  });

  test("meets a listener that is gone: refused by the pod itself, and the entry goes", async () => {
    redirection.listeners.put(redirection.cookie(client()), { port4: 1, port6: 1 });
    expect((await dial(client(), back().ipv4, PORTS.proxied)).error).toBe("ECONNREFUSED");
    await emptied();
  });

  test("2,000 connections one after the other have 2,000 entries, and none is left", async () => {
    const cookie = redirection.cookie(client());
    const script = `import socket
for index in range(2000):
    with socket.create_connection(("${back().ipv4}", ${PORTS.proxied}), 5) as connection:
        connection.sendall(b"%d" % index)
        assert connection.recv(8) == b"ok"
print("done")`;
    const running = client().exec(["python3", "-c", script]);
    const ended = running.then(({ stderr }) => expect.fail(`it has ended: ${stderr}`));
    ended.catch(() => {}); // as it does at last
    for (let index = 0; index < 2000; index++) {
      const arrival = await Promise.race([listener.arrival(), ended]);
      expect(redirection.table.take(cookie, arrival.port, 4, sourceOf(arrival))?.source).toBe("127.0.0.1");
      listener.answer(arrival, "ok");
    }
    expect((await running).stdout).toBe("done\n");
    await emptied();
  });
});
