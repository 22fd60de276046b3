/** Ways to a guarded Service, and ways to be somebody else: each ends at the same verdict. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { leftovers } from "../lab/cleanup.ts";
import type { Service } from "../lab/kube-objects.ts";
import { type Lab, startLab } from "../lab/lab.ts";
import { obstacle } from "./rig.ts";
import { type Dialled, dial, freshComm, parseOutcome, placeAt, type Runner } from "./support/dial.ts";
import {
  denyOutside,
  forwardTo,
  guard,
  namespaces,
  pod,
  type RuleWish,
  server,
  service,
} from "./support/objects.ts";
import { program } from "./support/programs.ts";
import { lineOf } from "./support/verdict-lines.ts";

const families = ["IPv4", "IPv6", "v4-mapped IPv6"] as const;
type Family = (typeof families)[number];

const NODE = { ipv4: "192.0.2.10", ipv6: "2001:db8::10" };
const EXTERNAL_IP = "203.0.113.7";
/** The port of a Service that only forwards. */
const SIGN = 8888;
const PORTS = { doors: 30080, open: 30081, lenient: 30082 };

/** Fail-open: who cannot be identified gets in, who is known and not a friend does not. */
const lenient: RuleWish = {
  expressions: ['conn.k8s.pod.metadata.error_code == ""', 'conn.k8s.pod.metadata.namespace != "friends"'],
  actions: [{ type: "deny" }],
};

/** A Service without backends: what it leads to is its guard's doing, at another port. */
const signpost = (name: string, url: string) => [
  service("shop", name, { selector: undefined, ports: [{ port: SIGN }] }),
  guard("shop", name, [forwardTo(url)]),
];

const nodePort = (name: keyof typeof PORTS) => ({
  type: "NodePort",
  ports: [{ port: 80, targetPort: 8080, nodePort: PORTS[name] }],
});

describe.skipIf(obstacle() !== undefined)("a connection", () => {
  let lab: Lab;
  let agent: string;

  beforeAll(async () => {
    lab = await startLab({ name: `paths-${process.pid}` });
    await lab.apply([
      ...namespaces("shop", "friends", "foes"),
      pod("friends", "client"),
      pod("foes", "client"),
      pod("foes", "guaranteed", {
        resources: { limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "1", memory: "1Gi" } },
      }),
      pod("foes", "node-program", { hostNetwork: true }),
      ...server("shop", "back"),
      guard("shop", "back", [denyOutside("friends")]),
      ...server("shop", "old", { ipFamilyPolicy: "SingleStack", ipFamilies: ["IPv4"] }),
      ...server("shop", "doors", {
        ...nodePort("doors"),
        type: "LoadBalancer",
        externalIPs: [EXTERNAL_IP],
      }),
      guard("shop", "doors", [denyOutside("friends")]),
      ...server("shop", "open", nodePort("open")),
      ...server("shop", "lenient", nodePort("lenient")),
      guard("shop", "lenient", [lenient]),
      ...signpost("front", "http://back.shop.internal"),
      ...signpost("to-old", "http://old.shop.internal"),
      ...signpost("to-headless", "http://headless.shop.internal"),
      service("shop", "headless", { clusterIP: "None", selector: { app: "back" } }),
      ...signpost("to-nobody", "http://nobody.shop.internal"),
      ...signpost("left", "http://right.shop.internal"),
      ...signpost("right", "http://left.shop.internal"),
      ...signpost("hop-5", "http://hop-4.shop.internal"),
      ...signpost("hop-4", "http://hop-3.shop.internal"),
      ...signpost("hop-3", "http://hop-2.shop.internal"),
      ...signpost("hop-2", "http://hop-1.shop.internal"),
      ...signpost("hop-1", "http://back.shop.internal"),
    ]);
    await lab.settled();
    agent = await lab.startAgent({ args: ["--events-per-second", "1000"] });
  });

  afterAll(async () => {
    await lab?.stop();
    if (lab !== undefined) expect(leftovers(lab.names)).toEqual([]);
  });

  const friend = () => lab.pod("friends", "client");
  const foe = () => lab.pod("foes", "client");
  const verdict = (dialled: Dialled) => lineOf(dialled, () => lab.log("podgate-system", agent));
  const object = (name: string) => lab.api.store.get("services", "shop", name) as unknown as Service;

  function clusterIp(name: string, family: Family): string {
    const [ipv4 = "", ipv6 = ""] = object(name).spec.clusterIPs ?? [];
    return { IPv4: ipv4, IPv6: ipv6, "v4-mapped IPv6": `::ffff:${ipv4}` }[family];
  }

  describe.each(families)("that a policy forwards, over %s", (family) => {
    const to = (from: Runner, name: string) => dial(from, clusterIp(name, family), SIGN);
    const packet = family === "IPv6" ? "IPv6" : "IPv4";

    test("reaches the other Service, and getpeername says what was dialled", async () => {
      const dialled = await to(friend(), "front");
      expect(dialled.reply).toBe(`shop/back ${packet === "IPv6" ? friend().ipv6 : friend().ipv4}`);
      expect(dialled.peer).toBe(`${clusterIp("front", family)} ${SIGN}`);
      expect(await verdict(dialled)).toMatchObject({
        verdict: "forward",
        reason: "rule",
        policy: { kind: "ConnectionPolicy", namespace: "shop", name: "front" },
        destination: { address: clusterIp("front", packet), port: SIGN, service: "shop/front" },
        forwarded_to: { address: clusterIp("back", packet), port: 80, service: "shop/back" },
      });
    });

    test("is judged by the guard of where it goes", async () => {
      const dialled = await to(foe(), "front");
      expect(dialled.error).toBe("EPERM");
      expect(await verdict(dialled)).toMatchObject({
        verdict: "deny",
        reason: "rule",
        policy: { name: "back" },
        destination: { service: "shop/front" },
      });
    });

    test("goes through four forwards and no more", async () => {
      const four = await to(friend(), "hop-4");
      expect(four.reply).toMatch(/^shop\/back /);
      expect(four.peer).toBe(`${clusterIp("hop-4", family)} ${SIGN}`);
      const five = await to(friend(), "hop-5");
      expect(five.error).toBe("EPERM");
      expect(await verdict(five)).toMatchObject({ verdict: "deny", reason: "loop" });
      // The guard at the end of four is asked too.
      expect((await to(foe(), "hop-4")).error).toBe("EPERM");
    });

    test("does not go round in a circle", async () => {
      for (const name of ["left", "right"]) {
        const dialled = await to(friend(), name);
        expect(dialled.error).toBe("EPERM");
        expect(await verdict(dialled)).toMatchObject({ verdict: "deny", reason: "loop" });
      }
    });

    test("is refused where the target has no address in its family", async () => {
      const dialled = await to(friend(), "to-old");
      if (packet === "IPv4") {
        expect(dialled.reply).toMatch(/^shop\/old /);
        return;
      }
      expect(dialled.error).toBe("EPERM");
      expect(await verdict(dialled)).toMatchObject({
        verdict: "deny",
        reason: "target-not-routable",
        policy: { name: "to-old" },
      });
    });

    test.each([
      ["to-headless", "target-not-routable"],
      ["to-nobody", "target-not-found"],
    ])("is refused where the target is none: %s, %s", async (name, reason) => {
      const dialled = await to(friend(), name);
      expect(dialled.error).toBe("EPERM");
      expect(await verdict(dialled)).toMatchObject({ verdict: "deny", reason, policy: { name } });
    });
  });

  describe("to a guarded Service by another door", () => {
    test.each([
      ["its cluster IP", () => [clusterIp("doors", "IPv4"), 80]],
      ["its cluster IP, IPv6", () => [clusterIp("doors", "IPv6"), 80]],
      ["its backend's own address", () => [lab.pod("shop", "doors").ipv4, 8080]],
      ["its backend's own address, IPv6", () => [lab.pod("shop", "doors").ipv6, 8080]],
      [
        "its load balancer's address",
        () => [object("doors").status?.loadBalancer?.ingress?.[0]?.ip ?? "", 80],
      ],
      [
        "its load balancer's address, IPv6",
        () => [object("doors").status?.loadBalancer?.ingress?.[1]?.ip ?? "", 80],
      ],
      ["its external address", () => [EXTERNAL_IP, 80]],
      ["its external address, v4-mapped", () => [`::ffff:${EXTERNAL_IP}`, 80]],
      ["its node port at the node's address", () => [NODE.ipv4, PORTS.doors]],
      ["its node port at the node's address, IPv6", () => [NODE.ipv6, PORTS.doors]],
      ["its node port at the node's address, v4-mapped", () => [`::ffff:${NODE.ipv4}`, PORTS.doors]],
      ["its node port at the pod's gateway", () => ["169.254.1.1", PORTS.doors]],
    ] as const)("meets the same verdict: %s", async (_, where) => {
      const [address, port] = where() as [string, number];
      expect(address).not.toBe("");
      const denied = await dial(foe(), address, port);
      expect(denied.error).toBe("EPERM");
      expect(await verdict(denied)).toMatchObject({ verdict: "deny", policy: { name: "doors" } });
      expect((await dial(friend(), address, port)).reply).toMatch(/^shop\/doors /);
    });

    test("meets the same verdict at the gateway's link-local address", async () => {
      expect((await dial(foe(), "fe80::1%eth0", PORTS.doors)).error).toBe("EPERM");
      // Whoever may try it finds out whether it leads anywhere.
      expect((await dial(friend(), "fe80::1%eth0", PORTS.doors)).error).not.toBe("EPERM");
    });

    test.each([
      "192.0.2.10",
      "2001:db8::10",
      "127.0.0.1",
      "127.9.9.9",
      "0.0.0.0",
      "::1",
      "::",
      "::ffff:127.0.0.1",
      "::ffff:192.0.2.10",
    ])("meets the same verdict from a hostNetwork pod at %s", async (address) => {
      const program = lab.pod("foes", "node-program");
      const denied = await dial(program, address, PORTS.doors);
      expect(denied.error).toBe("EPERM");
      const line = await verdict(denied);
      expect(line).toMatchObject({
        verdict: "deny",
        policy: { name: "doors" },
        error_code: "ERR_NGROK_28001",
      });
      expect(line.pod).toBeUndefined();
      // An unguarded node port there is as it ever was, and a fail-open one lets it in. ::1 leads to no node port.
      const expected = address === "::1" || address === "::" ? "ECONNREFUSED" : undefined;
      for (const name of ["open", "lenient"] as const) {
        expect((await dial(program, address, PORTS[name])).error).toBe(expected);
      }
    });

    test("a pod's own loopback is not the node's: nothing is guarded there, and nobody answers", async () => {
      for (const address of ["127.0.0.1", "::1", "0.0.0.0"]) {
        expect((await dial(foe(), address, PORTS.doors)).error).toBe("ECONNREFUSED");
      }
    });
  });

  describe("of a process that", () => {
    const back = () => clusterIp("back", "IPv4");
    const open = () => clusterIp("lenient", "IPv4");

    test.each(
      families,
    )("enters another pod's network is refused, whatever either may, over %s", async (family) => {
      for (const [own, entered] of [
        [friend(), foe()],
        [foe(), friend()],
      ] as const) {
        for (const name of ["back", "lenient"]) {
          const dialled = await dial(
            placeAt(own.containerCgroup(), entered.netns),
            clusterIp(name, family),
            80,
          );
          expect(dialled.error).toBe("EPERM");
          expect(await verdict(dialled)).toMatchObject({
            verdict: "deny",
            reason: "identity-mismatch",
            error_code: "",
          });
        }
      }
    });

    test.each([
      ["friends", "foes"],
      ["foes", "friends"],
    ])("connects a socket made by a pod of %s in a pod of %s is refused", async (giver, taker) => {
      const directory = mkdtempSync(join(tmpdir(), "podgate-hand-over-"));
      try {
        const path = join(directory, "socket");
        const giving = lab.pod(giver, "client").spawn([program("hand-over"), "give", path, "4"]);
        await new Promise((resolve, reject) => {
          giving.stdout?.once("data", resolve);
          giving.once("exit", (status) => reject(new Error(`give a socket: exit status ${status}`)));
        });
        const comm = freshComm();
        const hex = Buffer.from(comm).toString("hex");
        const taken = await lab
          .pod(taker, "client")
          .exec([program("hand-over"), "take", path, hex, open(), "80"]);
        expect(parseOutcome(taken).error).toBe("EPERM");
        expect(await verdict({ comm })).toMatchObject({ verdict: "deny", reason: "identity-mismatch" });
      } finally {
        rmSync(directory, { recursive: true });
      }
    });

    test("connects a socket that another process of its own pod made is that pod's", async () => {
      const directory = mkdtempSync(join(tmpdir(), "podgate-hand-over-"));
      try {
        const path = join(directory, "socket");
        const giving = friend().spawn([program("hand-over"), "give", path, "6"]);
        await new Promise((resolve) => giving.stdout?.once("data", resolve));
        const hex = Buffer.from(freshComm()).toString("hex");
        const taken = await friend().exec([
          program("hand-over"),
          "take",
          path,
          hex,
          clusterIp("back", "IPv6"),
          "80",
        ]);
        expect(parseOutcome(taken)).toEqual({ peer: `${clusterIp("back", "IPv6")} 80` });
      } finally {
        rmSync(directory, { recursive: true });
      }
    });

    test.each([
      "kubepods-besteffort.slice/kubepods-besteffort-pod11111111_2222_4333_8444_555555555555.slice",
      "kubepods-pod11111111_2222_4333_8444_555555555555.slice/inside",
      "no-pod-at-all",
      "kubepods-besteffort.slice",
      ".",
    ])("is under kubepods and of no known pod is unresolved: %s", async (directory) => {
      const cgroup = join(lab.cgroupRoot, directory);
      mkdirSync(cgroup, { recursive: true });
      const stranger = placeAt(cgroup, lab.names.nodeNetns);
      const denied = await dial(stranger, back(), 80);
      expect(denied.error).toBe("EPERM");
      const line = await verdict(denied);
      expect(line).toMatchObject({ verdict: "deny", reason: "rule", error_code: "ERR_NGROK_28001" });
      expect(line.pod).toBeUndefined();
      expect((await dial(stranger, open(), 80)).reply).toMatch(/^shop\/lenient /);
    });

    test("is the node's own, outside kubepods, is not judged", async () => {
      const cgroup = join(lab.names.cgroup, "system.slice");
      mkdirSync(cgroup);
      const dialled = await dial(placeAt(cgroup, lab.names.nodeNetns), back(), 80);
      expect(dialled.reply).toBe(`shop/back ${NODE.ipv4}`);
    });

    test("enters a network that is nobody's is the pod of its cgroup", async () => {
      const known = await dial(placeAt(friend().containerCgroup(), lab.names.nodeNetns), back(), 80);
      expect(known.reply).toBe(`shop/back ${NODE.ipv4}`);
      expect((await verdict(known)).pod).toMatchObject({ namespace: "friends", name: "client" });
      const denied = await dial(placeAt(foe().containerCgroup(), lab.names.nodeNetns), open(), 80);
      expect(denied.error).toBe("EPERM");
      expect((await verdict(denied)).pod).toMatchObject({ namespace: "foes", name: "client" });
    });

    test("is in a cgroup below its container's is that pod still", async () => {
      const nested = join(friend().containerCgroup(), "one", "two");
      mkdirSync(nested, { recursive: true });
      const dialled = await dial(placeAt(nested, friend().netns), back(), 80);
      expect(dialled.reply).toBe(`shop/back ${friend().ipv4}`);
      expect((await verdict(dialled)).pod).toEqual({
        namespace: "friends",
        name: "client",
        uid: friend().uid,
      });
    });

    test.each([
      "client",
      "guaranteed",
    ])("names a cgroup of its own as another pod's is who it was (foes/%s)", async (name) => {
      const impostor = lab.pod("foes", name);
      const disguise = join(impostor.cgroup, basename(friend().cgroup), "cri-containerd-disguise.scope");
      mkdirSync(disguise, { recursive: true });
      // The agent has looked again since then: it knows a pod that came after.
      const witness = `witness-${name}`;
      await lab.apply([pod("friends", witness)]);
      await lab.settled();
      await lab.waitFor("the witness to be known", async () => {
        return (await dial(lab.pod("friends", witness), back(), 80)).error === undefined;
      });
      const dialled = await dial(placeAt(disguise, impostor.netns), back(), 80);
      expect(dialled.error).toBe("EPERM");
      expect((await verdict(dialled)).pod).toMatchObject({ namespace: "foes", name });
      expect((await dial(friend(), back(), 80)).reply).toMatch(/^shop\/back /);
      await lab.deletePod("friends", witness);
    });
  });
});
