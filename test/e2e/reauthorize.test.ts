/** Open connections when what allowed them changes: tests 34 and 35 of the list of trust, and what belongs to them. */
import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { type Held, type Holder, hold } from "./support/hold.ts";
import { denyOutside, forwardTo, guard, namespaces, pod, server, service } from "./support/objects.ts";
import { openStage, type Stage } from "./support/stage.ts";
import { revokedFrom, type VerdictLine, verdictLines } from "./support/verdict-lines.ts";

const SERVICES = ["ledger", "lobby", "lenient", "open", "front", "next", "fresh"];
const BLOCKED = {
  expressions: [
    '"ngrok.com/blocked" in conn.k8s.pod.metadata.annotations && conn.k8s.pod.metadata.annotations["ngrok.com/blocked"] == "yes"',
  ],
  actions: [{ type: "deny" }],
};
const ALLOWS = denyOutside("friends", "foes");
const DENIES_FOES = denyOutside("friends");
/** Whom nobody knows it lets in. */
const DENIES_KNOWN_FOES = {
  expressions: ['conn.k8s.pod.metadata.namespace == "foes"'],
  actions: [{ type: "deny" }],
};
const connectOnly = (object: KubeObject): KubeObject => ({
  ...object,
  metadata: { ...object.metadata, annotations: { "podgate.dev/reauthorize": "connect-only" } },
});
const ABORTED = "ECONNABORTED";
const all = (count: number, state: string): Held => Array.from({ length: count }, () => state);

describe.skipIf(obstacle() !== undefined)("open connections", () => {
  let stage: Stage;
  const holders: Holder[] = [];

  beforeAll(async () => {
    stage = await openStage("reauthorize", [
      [
        ...namespaces("vault", "foes", "friends"),
        ...SERVICES.flatMap((name) => server("vault", name)),
        // Backends of ledger that do not listen: only somebody who dials from there has such an address and port.
        service("vault", "source", { selector: { app: "ledger" }, ports: [{ port: 80, targetPort: 8081 }] }),
        ...["a", "b"].map((name) => pod("foes", name, { ports: [9090] })),
        ...["a", "b", "c"].map((name) => pod("friends", name)),
      ],
    ]);
  });

  afterEach(async () => {
    await Promise.all(holders.splice(0).map((holder) => holder.end()));
  });

  afterAll(async () => {
    await stage?.close();
  });

  /** `family`: "IPv4", "IPv6", or "mapped": IPv4 on an IPv6 socket. */
  const open = async (from: string, to: string, family: "IPv4" | "IPv6" | "mapped", count: number) => {
    const at = stage.service(to);
    const address = family === "IPv6" ? at.IPv6 : family === "mapped" ? `::ffff:${at.IPv4}` : at.IPv4;
    const holder = await hold(stage.pod(from), address, at.port, count);
    holders.push(holder);
    return holder;
  };
  const revocations = async (): Promise<readonly VerdictLine[]> =>
    verdictLines(await stage.log()).filter(({ reason }) => reason === "revoked");
  const talks = async (list: readonly Holder[]) =>
    (await Promise.all(list.map((each) => each.talk()))).flat();
  /** Waits for as many more lines as said and returns them. */
  const revoked = async (before: number, count: number): Promise<readonly VerdictLine[]> => {
    const lines = await stage.lab.waitFor(`${count} revoked lines`, async () => {
      const found = await revocations();
      return found.length >= before + count && found;
    });
    return lines.slice(before);
  };
  /** How long after `since` the last of them came. */
  const took = (lines: readonly VerdictLine[], since: number) =>
    Math.max(...lines.map(({ time }) => time - since));
  /** Until verdicts that come later than now have been written, so that there is none too many. */
  const settle = () => stage.linesUntilNow(stage.pod("friends/c"));
  const apply = (...objects: readonly KubeObject[]) => stage.lab.apply(objects);

  describe("older than the agent", () => {
    test("35: are not dropped when they are allowed, closed when denied, unless a policy decides at connecting alone", async () => {
      await apply(
        guard("vault", "ledger", [DENIES_FOES]),
        connectOnly(guard("vault", "lenient", [DENIES_FOES])),
        guard("vault", "lobby", [DENIES_FOES], { mode: "Audit" }),
      );
      const families = ["IPv4", "IPv6", "mapped"] as const;
      const allowed = await Promise.all(
        families.map((family) => open("friends/a", "ledger.vault:80", family, 2)),
      );
      const denied = await Promise.all(
        families.map((family) => open("foes/a", "ledger.vault:80", family, 2)),
      );
      const spared = await Promise.all(
        families.map((family) => open("foes/a", "lenient.vault:80", family, 2)),
      );
      const audited = await open("foes/b", "lobby.vault:80", "IPv4", 2);
      const unguarded = await open("foes/b", "open.vault:80", "IPv4", 2);
      expect(await talks([...allowed, ...denied, ...spared, audited, unguarded])).toEqual(all(22, "ok"));

      await stage.startAgent();
      const lines = await revoked(0, 6);
      expect(await talks(denied)).toEqual(all(6, ABORTED));
      expect(await talks([...allowed, ...spared, audited, unguarded])).toEqual(all(16, "ok"));
      await settle();
      expect(await revocations()).toHaveLength(6);
      expect(lines.map(({ layer }) => layer).sort()).toEqual(["connect4", "connect4", ...all(4, "connect6")]);
      for (const line of lines) {
        expect(line).toMatchObject(revokedFrom(stage.pod("foes/a")));
        expect(line).not.toHaveProperty("process");
      }
      // Whoever connects now is denied, by all that are enforced.
      await stage.until("foes/a", "lenient.vault:80", { IPv4: { saw: "EPERM" }, IPv6: { saw: "EPERM" } });
    });

    test("35: and of a pod that nobody knew, until it is known", async () => {
      await apply(guard("vault", "open", [DENIES_KNOWN_FOES]));
      await stage.until("foes/a", "open.vault:80", { IPv4: { saw: "EPERM" } });
      const before = (await revocations()).length;
      const uid = randomUUID();
      const stranger = pod("foes", "stranger", { uid });
      const handle = await stage.lab.runUnannounced(stranger);
      const at = stage.service("open.vault:80");
      const holder = await hold(handle, at.IPv4, at.port, 3);
      holders.push(holder);
      await settle();
      expect(await holder.talk()).toEqual(all(3, "ok"));
      stage.lab.api.store.create("pods", stranger as never, { uid });
      const since = Date.now();
      expect(took(await revoked(before, 3), since)).toBeLessThan(1000);
      expect(await holder.talk()).toEqual(all(3, ABORTED));
    });
  });

  test("to what nobody guarded end when somebody does", async () => {
    const before = (await revocations()).length;
    const families = ["IPv4", "IPv6", "mapped"] as const;
    const denied = await Promise.all(families.map((family) => open("foes/b", "fresh.vault:80", family, 2)));
    const friends = await open("friends/a", "fresh.vault:80", "IPv4", 2);
    expect(await talks([...denied, friends])).toEqual(all(8, "ok"));
    await apply(guard("vault", "fresh", [DENIES_FOES]));
    const since = Date.now();
    expect(took(await revoked(before, 6), since)).toBeLessThan(1000);
    expect(await talks(denied)).toEqual(all(6, ABORTED));
    expect(await talks([friends])).toEqual(all(2, "ok"));
    await settle();
    expect(await revocations()).toHaveLength(before + 6);
  });

  describe("100 of them, of which 37 become forbidden", () => {
    /** Both pods of foes have 37 connections to ledger, in all families, and others to what stays allowed. */
    const openHundred = async () => {
      const forbidden = await Promise.all([
        open("foes/a", "ledger.vault:80", "IPv4", 9),
        open("foes/a", "ledger.vault:80", "IPv6", 7),
        open("foes/a", "ledger.vault:80", "mapped", 4),
        open("foes/b", "ledger.vault:80", "IPv4", 8),
        open("foes/b", "ledger.vault:80", "IPv6", 5),
        open("foes/b", "ledger.vault:80", "mapped", 4),
      ]);
      const lasting = await Promise.all([
        open("foes/a", "lobby.vault:80", "IPv4", 10),
        open("foes/b", "lobby.vault:80", "IPv6", 7),
        open("friends/a", "ledger.vault:80", "IPv4", 20),
        open("friends/b", "ledger.vault:80", "IPv6", 16),
        open("friends/c", "ledger.vault:80", "mapped", 10),
      ]);
      expect(await talks(forbidden)).toEqual(all(37, "ok"));
      expect(await talks(lasting)).toEqual(all(63, "ok"));
      return { forbidden, lasting, before: (await revocations()).length };
    };
    /** Exactly those end, each in less than a second after `change`, and each has its line. */
    const expectRevoked = async (
      { forbidden, lasting, before }: Awaited<ReturnType<typeof openHundred>>,
      change: () => Promise<void>,
      ending = ABORTED,
    ) => {
      await change();
      const began = Date.now();
      const lines = await revoked(before, 37);
      expect(await talks(forbidden)).toEqual(all(37, ending));
      console.log(`37 of 100 closed ${took(lines, began)} ms after the change`);
      expect(took(lines, began)).toBeLessThan(1000);
      expect(await talks(lasting)).toEqual(all(63, "ok"));
      await settle();
      expect(await revocations()).toHaveLength(before + 37);
      expect(lines.every(({ pod: who }) => who?.namespace === "foes")).toBe(true);
    };

    test("34: by an edit of the policy: those are closed in under a second, each with its line, and 63 flow on", async () => {
      await apply(guard("vault", "ledger", [ALLOWS]), guard("vault", "lobby", [ALLOWS]));
      await stage.until("foes/a", "ledger.vault:80", { IPv4: { saw: "vault/ledger" } });
      await stage.until("foes/b", "lobby.vault:80", { IPv4: { saw: "vault/lobby" } });
      await expectRevoked(await openHundred(), () => apply(guard("vault", "ledger", [DENIES_FOES])));
    });

    test("34: by an annotation of the pods: those are closed in under a second, each with its line, and 63 flow on", async () => {
      await apply(guard("vault", "ledger", [BLOCKED]), guard("vault", "lobby", [ALLOWS]));
      await stage.until("foes/a", "ledger.vault:80", { IPv4: { saw: "vault/ledger" } });
      const hundred = await openHundred();
      await expectRevoked(hundred, () => annotate("yes"));
      await annotate("no");
      await stage.until("foes/a", "ledger.vault:80", { IPv4: { saw: "vault/ledger" } });
    });

    test("34: through the proxy, by an edit: those are closed in under a second, each with its line, and 63 flow on", async () => {
      const never = { ...ALLOWS, expressions: ["conn.client_port < 1"] };
      await apply(guard("vault", "ledger", [never]), guard("vault", "lobby", [never]));
      const seen = { line: { verdict: "allow", layer: "proxy" } };
      for (const from of ["foes/a", "foes/b", "friends/a", "friends/b", "friends/c"])
        for (const to of ["ledger.vault:80", "lobby.vault:80"])
          await stage.until(from, to, { IPv4: seen, IPv6: seen });
      const { expressions = [], actions } = DENIES_FOES;
      const edited = { expressions: [...expressions, "conn.client_port > 1"], actions };
      const edit = () => apply(guard("vault", "ledger", [edited]));
      await expectRevoked(await openHundred(), edit, "ECONNRESET");
    });

    const annotate = async (value: string) => {
      const annotations = { "ngrok.com/blocked": value };
      await apply(...["a", "b"].map((name) => pod("foes", name, { ports: [9090], annotations })));
    };
  });

  test("that were forwarded end by the policy of what was dialled", async () => {
    await apply(guard("vault", "front", [forwardTo("http://next.vault.internal")]));
    await stage.until("foes/a", "front.vault:80", {
      IPv4: { saw: "vault/next" },
      IPv6: { saw: "vault/next" },
    });
    const before = (await revocations()).length;
    const forwarded = await Promise.all([
      open("foes/a", "front.vault:80", "IPv4", 2),
      open("foes/a", "front.vault:80", "IPv6", 2),
      open("foes/a", "front.vault:80", "mapped", 2),
    ]);
    const direct = await open("foes/a", "next.vault:80", "IPv4", 2);
    const friends = await open("friends/a", "front.vault:80", "IPv4", 2);
    await apply(guard("vault", "front", [DENIES_FOES, forwardTo("http://next.vault.internal")]));
    const lines = await revoked(before, 6);
    expect(await talks(forwarded)).toEqual(all(6, ABORTED));
    expect(await talks([direct, friends])).toEqual(all(4, "ok"));
    for (const line of lines) {
      expect(line).toMatchObject({
        destination: { service: "vault/front" },
        forwarded_to: { service: "vault/next" },
      });
    }
  });

  test("that go through the proxy end there, once each, also by a rule that only a connection can decide", async () => {
    const byPort = (expression: string) => [
      {
        expressions: [`conn.k8s.pod.metadata.namespace == "foes" && conn.client_port ${expression}`],
        actions: [{ type: "deny" }],
      },
    ];
    await apply(guard("vault", "next", byPort("< 1")));
    for (const from of ["foes/a", "foes/b"]) {
      const seen = { saw: "vault/next", line: { layer: "proxy" } };
      await stage.until(from, "next.vault:80", { IPv4: seen, IPv6: seen });
    }
    const before = (await revocations()).length;
    const proxied = await Promise.all([
      open("foes/a", "next.vault:80", "IPv4", 3),
      open("foes/b", "next.vault:80", "IPv6", 3),
      open("foes/b", "next.vault:80", "mapped", 3),
    ]);
    const friends = await open("friends/a", "next.vault:80", "IPv4", 3);
    expect(await talks([...proxied, friends])).toEqual(all(12, "ok"));
    await apply(guard("vault", "next", byPort("> 1")));
    const since = Date.now();
    const lines = await revoked(before, 9);
    expect(lines.every(({ layer }) => layer === "proxy")).toBe(true);
    expect(took(lines, since)).toBeLessThan(1000);
    expect(await talks(proxied)).toEqual(all(9, "ECONNRESET"));
    expect(await talks([friends])).toEqual(all(3, "ok"));
    await settle();
    expect(await revocations()).toHaveLength(before + 9);
  });

  test("that time alone forbids end within seconds: through the proxy, and those from when the kernel decided", async () => {
    const SECONDS = 5;
    await apply(guard("vault", "lobby", [ALLOWS]));
    await stage.until("foes/a", "lobby.vault:80", {
      IPv4: { line: { layer: "connect4" }, saw: "vault/lobby" },
    });
    const before = (await revocations()).length;
    const direct = await Promise.all([
      open("foes/a", "lobby.vault:80", "IPv4", 2),
      open("foes/b", "lobby.vault:80", "IPv6", 2),
    ]);
    const end = Date.now() + SECONDS * 1000;
    const closing = `timestamp(time.now) > timestamp("${new Date(end).toISOString()}")`;
    await apply(
      guard("vault", "lobby", [
        { ...denyOutside("friends"), expressions: [...(denyOutside("friends").expressions ?? []), closing] },
      ]),
    );
    await stage.until("foes/b", "lobby.vault:80", {
      IPv4: { line: { layer: "proxy" } },
      IPv6: { saw: "vault/lobby" },
    });
    await stage.until("foes/a", "lobby.vault:80", {
      IPv4: { line: { layer: "proxy" } },
      IPv6: { saw: "vault/lobby" },
    });
    const proxied = await Promise.all([
      open("foes/a", "lobby.vault:80", "IPv4", 2),
      open("foes/b", "lobby.vault:80", "IPv6", 2),
      open("foes/b", "lobby.vault:80", "mapped", 2),
    ]);
    const friends = await open("friends/a", "lobby.vault:80", "IPv4", 2);
    expect(await talks([...direct, ...proxied, friends])).toEqual(all(12, "ok"));
    expect(Date.now()).toBeLessThan(end);
    const lines = await revoked(before, 10);
    for (const { time } of lines) expect(time).toBeGreaterThan(end);
    expect(await talks(direct)).toEqual(all(4, ABORTED));
    expect(await talks(proxied)).toEqual(all(6, "ECONNRESET"));
    expect(await talks([friends])).toEqual(all(2, "ok"));
    expect(Math.max(...lines.map(({ time }) => time)) - end).toBeLessThan(5000);
  });

  test("that a pod accepted are not the pod's to be judged by, wherever their other side comes from", async () => {
    await apply(guard("vault", "source", [ALLOWS]), guard("vault", "open", [ALLOWS]));
    await stage.until("foes/b", "open.vault:80", { IPv4: { saw: "vault/open" } });
    const before = (await revocations()).length;
    // From exactly the address and port that foes/b may not dial.
    const { ipv4, ipv6 } = stage.pod("foes/b");
    const inbound = await Promise.all(
      [ipv4, ipv6].map((address) => hold(stage.pod("vault/ledger"), address, 9090, 1, { sourcePort: 8081 })),
    );
    holders.push(...inbound);
    const outbound = await open("foes/b", "open.vault:80", "IPv4", 2);
    expect(await talks([...inbound, outbound])).toEqual(all(4, "ok"));
    await apply(guard("vault", "source", [DENIES_FOES]), guard("vault", "open", [DENIES_FOES]));
    await revoked(before, 2);
    expect(await talks([outbound])).toEqual(all(2, ABORTED));
    expect(await talks(inbound)).toEqual(all(2, "ok"));
    await settle();
    expect(await revocations()).toHaveLength(before + 2);
  });
});
