/** The agent starts, stops, dies and is removed: what is enforced meanwhile, and what is left afterwards. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { mapNames } from "../../agent/dataplane/dataplane.ts";
import { Kernel, linkNames, linkPin, mapPin, mountDepth, objectPath } from "../../agent/dataplane/kernel.ts";
import { loadNative } from "../../agent/dataplane/native.ts";
import { AGENT_MAIN } from "../lab/agent.ts";
import { destroyCgroup, makeCgroup } from "../lab/cgroup.ts";
import { leftovers } from "../lab/cleanup.ts";
import { run } from "../lab/command.ts";
import { type Lab, startLab } from "../lab/lab.ts";
import { obstacle } from "./rig.ts";
import { type AgentFlags, AgentProcess, podgate } from "./support/agent-process.ts";
import { takeApiAway } from "./support/api-outage.ts";
import { dial } from "./support/dial.ts";
import { startFlood } from "./support/flood.ts";
import { denyOutside, guard, namespaces, pod, server } from "./support/objects.ts";
import { lineOf } from "./support/verdict-lines.ts";

const PORT = 8080;
/** What the agent says once for each kind of object. */
const FAILED = '"msg":"cannot read from the API server"';
const ONE_LINE = /^podgate: [^\n]+\n$/;
const NOBODY = ["setpriv", "--reuid=65534", "--clear-groups"];

const workload = () => [
  ...server("vault", "ledger"),
  ...server("vault", "lobby"),
  pod("friends", "client"),
  pod("foes", "client"),
];

describe.skipIf(obstacle() !== undefined)("the agent", () => {
  let lab: Lab;
  const agents: AgentProcess[] = [];

  beforeAll(async () => {
    lab = await startLab({ name: `lifecycle-${process.pid}` });
    await lab.apply([
      ...namespaces("vault", "friends", "foes"),
      ...workload(),
      guard("vault", "ledger", [denyOutside("friends")]),
      // Fail-open: the unresolved get in, known foes do not.
      guard("vault", "lobby", [
        {
          expressions: [
            'conn.k8s.pod.metadata.error_code == ""',
            'conn.k8s.pod.metadata.namespace != "friends"',
          ],
          actions: [{ type: "deny" }],
        },
      ]),
    ]);
    await lab.settled();
  });

  /** Every test begins without an agent and without anything of it in the kernel. */
  afterEach(async () => {
    for (const agent of agents.splice(0)) await agent.end("SIGKILL");
    if (pins("links").length + pins("maps").length === 0) return;
    const { status, stderr } = await podgate(lab, ...cleanupArgs());
    if (status !== 0) throw new Error(stderr);
  });

  afterAll(async () => {
    await lab?.stop();
    if (lab !== undefined) expect(leftovers(lab.names)).toEqual([]);
  });

  const cleanupArgs = (pinPath = lab.names.pinDir) => [
    "cleanup",
    "--pin-path",
    pinPath,
    "--state-dir",
    lab.names.stateDir,
  ];
  const start = (flags: AgentFlags = {}) => {
    const agent = new AgentProcess(lab, flags);
    agents.push(agent);
    return agent;
  };
  const ledger = () => lab.pod("vault", "ledger").ipv4;
  const lobby = () => lab.pod("vault", "lobby").ipv4;
  const dialFrom = async (name: string, address: string) => {
    const [namespace = "", podName = ""] = name.split("/");
    return (await dial(lab.pod(namespace, podName), address, PORT)).error;
  };
  const enforced = async () => {
    expect(await dialFrom("foes/client", ledger())).toBe("EPERM");
    expect(await dialFrom("friends/client", ledger())).toBeUndefined();
  };
  const open = async () => {
    expect(await dialFrom("foes/client", ledger())).toBeUndefined();
  };
  const pins = (directory: string) =>
    existsSync(join(lab.names.pinDir, directory)) ? readdirSync(join(lab.names.pinDir, directory)) : [];

  test("ends with status 0 on SIGTERM and on SIGINT, and what is decided stays enforced", async () => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const agent = await start().ready();
      await enforced();
      expect(await agent.end(signal)).toBe(0);
      expect(agent.stderr).toBe("");
      expect(agent.stdout).toMatch(/"msg":"stopping: enforcement stays in the kernel"/);
      await enforced();
    }
    expect(pins("links").sort()).toEqual([...linkNames].sort());
  });

  test("leaves a pod that comes while it is away unresolved, and says so when it is back", async () => {
    await (await start().ready()).end();
    await lab.apply([pod("friends", "newcomer")]);
    await lab.settled();
    const refused = await dial(lab.pod("friends", "newcomer"), ledger(), PORT);
    expect(refused.error).toBe("EPERM");
    expect(await dialFrom("friends/newcomer", lobby())).toBeUndefined();

    const agent = await start().ready();
    expect(await dialFrom("friends/newcomer", ledger())).toBeUndefined();
    const line = await lineOf(refused, () => agent.stdout);
    expect(line).toMatchObject({ verdict: "deny", error_code: "ERR_NGROK_28001" });
    expect(line.pod).toBeUndefined();
    await lab.deletePod("friends", "newcomer");
  });

  test("leaks nothing and refuses nobody falsely when it is killed and started again under load", async () => {
    const native = loadNative();
    const mapIds = () =>
      mapNames.map((name) => {
        const map = native.BpfMap.open(mapPin(lab.names.pinDir, name));
        map.close();
        return map.id;
      });
    await start().ready();
    const before = mapIds();
    const { ipv4, ipv6 } = lab.pod("vault", "ledger");
    const denied = [
      await startFlood(lab.pod("foes", "client"), ipv4, PORT, 20),
      await startFlood(lab.pod("foes", "client"), ipv6, PORT, 20),
    ];
    const allowed = await startFlood(lab.pod("friends", "client"), ipv4, PORT, 500);

    // Once while it works, and then at every stage of its start.
    for (const afterMs of [0, 150, 300, 400, 500, 600, 700, 800]) {
      await agents.at(-1)?.end("SIGKILL");
      start();
      await sleep(afterMs);
    }
    await agents.at(-1)?.end("SIGKILL");
    await start().ready();

    const counts = await Promise.all(denied.map((flood) => flood.stop()));
    for (const { connected, refused, other, last } of counts) {
      expect({ connected, other, last }).toEqual({ connected: 0, other: 0, last: "" });
      expect(refused).toBeGreaterThan(5_000);
    }
    const { connected, refused, other, last } = await allowed.stop();
    expect({ refused, other, last }).toEqual({ refused: 0, other: 0, last: "" });
    expect(connected).toBeGreaterThan(1_000);
    expect(mapIds()).toEqual(before);
    await enforced();
  });

  test("leaks nothing while its programs are replaced by new ones, 1,000 times", async () => {
    await (await start().ready()).end();
    const native = loadNative();
    const kernel = new Kernel(native, {
      pinPath: lab.names.pinDir,
      cgroupRoot: lab.cgroupRoot,
      cgroupLevel: mountDepth(native, lab.cgroupRoot),
      nodeNetnsCookie: 0n,
      eventsPerSecond: 10,
    });
    try {
      const denied = await startFlood(lab.pod("foes", "client"), ledger(), PORT, 0);
      for (let round = 0; round < 1_000; round++) {
        kernel.attach();
        // Now and then the flood has this processor to itself too.
        if (round % 100 === 0) await sleep(1);
      }
      const { connected, other, refused } = await denied.stop();
      expect({ connected, other }).toEqual({ connected: 0, other: 0 });
      expect(refused).toBeGreaterThan(5_000);
    } finally {
      kernel.close();
    }
  });

  test("says in one line that another agent has the pin directory, and leaves that one alone", async () => {
    await start().ready();
    const second = start();
    expect((await second.ended).code).toBe(1);
    expect(second.stderr).toMatch(ONE_LINE);
    expect(second.stderr).toContain(`use ${lab.names.pinDir}: an agent has it`);
    await enforced();
  });

  test.each([
    [["--log-level", "loud"], 2, "use one of trace, debug, info, warn, error, fatal"],
    [["--kubeconfig", "/no/such/file"], 1, "/no/such/file"],
    [["--cgroup-root", "/no/such/directory"], 1, "there is no such directory"],
    [["--cgroup-root", tmpdir()], 1, "it is not on cgroup v2"],
    [["--pin-path", join(tmpdir(), "podgate-no-bpffs")], 1, "it is not on a bpf filesystem"],
    [
      ["--pin-path", "/sys/podgate"],
      1,
      "use /sys/podgate for pins: it is not on a bpf filesystem: mount one there",
    ],
  ])("started with %j ends with status %i and one line: %s", async (args, status, message) => {
    const agent = start({ args });
    try {
      expect((await agent.ended).code).toBe(status);
      expect(agent.stderr).toMatch(ONE_LINE);
      expect(agent.stderr).toContain(message);
      expect(pins("links")).toEqual([]);
    } finally {
      rmSync(join(tmpdir(), "podgate-no-bpffs"), { recursive: true, force: true });
    }
  });

  test("says in one line that it needs root", async () => {
    expect(await run([...NOBODY, process.execPath, AGENT_MAIN, "agent"])).toMatchObject({
      status: 1,
      stdout: "",
      stderr: expect.stringMatching(/^podgate: load programs: .*: run it as root, or with .*\n$/),
    });
  });

  test("keeps trying while the API server is away at the start, with nothing attached and not ready", async () => {
    const restore = await takeApiAway(lab);
    const agent = start();
    try {
      await lab.waitFor("a failed list", () => agent.stdout.includes(FAILED));
      expect(agent.isRunning).toBe(true);
      expect(agent.stdout).not.toContain('"msg":"ready"');
      expect(pins("links")).toEqual([]);
      await open();
    } finally {
      await restore();
    }
    await agent.ready();
    await enforced();
  });

  test("ends with status 0 while it is still waiting for the API server", async () => {
    const restore = await takeApiAway(lab);
    try {
      const agent = start();
      await lab.waitFor("a failed list", () => agent.stdout.includes(FAILED));
      expect(await agent.end()).toBe(0);
      expect(pins("links")).toEqual([]);
    } finally {
      await restore();
    }
  });

  test("keeps its state while the API server is away later, and catches up when it is back", async () => {
    const agent = await start().ready();
    const restore = await takeApiAway(lab);
    try {
      await lab.waitFor("a failed watch", () => agent.stdout.includes(FAILED), { timeoutMs: 30_000 });
      await enforced();
      await lab.apply([
        pod("friends", "newcomer"),
        guard("vault", "ledger", [denyOutside("friends", "foes")]),
      ]);
      await lab.settled();
      await enforced();
      expect(await dialFrom("friends/newcomer", ledger())).toBe("EPERM");
      expect(await dialFrom("friends/newcomer", lobby())).toBeUndefined();
    } finally {
      await restore();
    }
    await lab.waitFor("the edit", async () => (await dialFrom("foes/client", ledger())) === undefined, {
      timeoutMs: 40_000,
    });
    await lab.waitFor(
      "the new pod",
      async () => (await dialFrom("friends/newcomer", ledger())) === undefined,
    );
    await lab.apply([guard("vault", "ledger", [denyOutside("friends")])]);
    await lab.waitFor("the first policy", async () => (await dialFrom("foes/client", ledger())) === "EPERM");
    await lab.deletePod("friends", "newcomer");
  });

  test("a restart with the API server away keeps what was enforced", async () => {
    await (await start().ready()).end();
    const restore = await takeApiAway(lab);
    try {
      const agent = start();
      await lab.waitFor("a failed list", () => agent.stdout.includes(FAILED));
      await enforced();
      expect(await agent.end()).toBe(0);
      await enforced();
    } finally {
      await restore();
    }
  });

  test("follows kubepods when that was made again: a link to a dead cgroup guards nobody", async () => {
    await (await start().ready()).end();
    const pods = [
      ["vault", "ledger"],
      ["vault", "lobby"],
      ["friends", "client"],
      ["foes", "client"],
    ] as const;
    await Promise.all(
      pods.map(([namespace, name]) => lab.deletePod(namespace, name, { gracePeriodSeconds: 0 })),
    );
    await destroyCgroup(lab.cgroupRoot);
    makeCgroup(lab.cgroupRoot);
    await lab.apply(workload());
    await lab.settled();
    await open();

    await start().ready();
    await enforced();
    const native = loadNative();
    for (const name of linkNames) {
      const link = native.BpfLink.open(linkPin(lab.names.pinDir, name));
      expect(link.info().cgroupId).toBe(native.cgroupId(lab.cgroupRoot));
      link.close();
    }
    expect(pins("links").sort()).toEqual([...linkNames].sort());
  });

  describe("removed by `podgate cleanup`", () => {
    test("is not while it runs: one line, status 1, and nothing is lost", async () => {
      await start().ready();
      const { status, stdout, stderr } = await podgate(lab, ...cleanupArgs());
      expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
      expect(stderr).toMatch(ONE_LINE);
      expect(stderr).toContain("an agent has it: stop that one");
      expect(pins("links").sort()).toEqual([...linkNames].sort());
      await enforced();
    });

    test("leaves no pin, link or file, lets traffic flow, and does not touch what is not its own", async () => {
      const native = loadNative();
      const own = join(lab.names.pinDir, "podgate");
      const beside = join(lab.names.pinDir, "foreign");
      const inside = join(own, "foreign");
      const object = new native.BpfObject(objectPath("connect"));
      object.load();
      const program = object.program("connect4");
      const foreign = program.attachCgroup(lab.cgroupRoot);
      try {
        await (await start({ pinPath: own }).ready()).end();
        await enforced();
        program.pin(beside);
        program.pin(inside);
        expect(existsSync(join(lab.names.stateDir, "last-valid"))).toBe(true);

        const { status, stdout, stderr } = await podgate(lab, ...cleanupArgs(own));
        expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
        for (const name of linkNames) expect(stdout).toContain(`  ${linkPin(own, name)}\n`);
        for (const name of mapNames) expect(stdout).toContain(`  ${mapPin(own, name)}\n`);
        expect(readdirSync(own)).toEqual(["foreign"]);
        expect(existsSync(beside)).toBe(true);
        expect(foreign.info().cgroupId).toBe(native.cgroupId(lab.cgroupRoot));
        expect(readdirSync(lab.names.stateDir)).toEqual([]);
        await open();

        // Once more there is nothing to do, and with the foreign pin gone the directory goes too.
        expect((await podgate(lab, ...cleanupArgs(own))).stdout).toMatch(/^nothing of Podgate/);
        rmSync(inside);
        expect((await podgate(lab, ...cleanupArgs(own))).stdout).toBe(`removed:\n  ${own}\n`);
      } finally {
        foreign.detach();
        foreign.close();
        program.close();
        object.close();
        for (const path of [inside, beside]) rmSync(path, { force: true });
        if (existsSync(own)) rmdirSync(own);
      }
    });

    test("does not say that nothing is there to one who may not look", async () => {
      expect(await run([...NOBODY, process.execPath, AGENT_MAIN, ...cleanupArgs()])).toMatchObject({
        status: 1,
        stdout: "",
        stderr: `podgate: look for ${lab.names.pinDir}: EACCES: run it as root\n`,
      });
    });

    test("takes no directory that is on no bpf filesystem for its own", async () => {
      const directory = mkdtempSync(join(tmpdir(), "podgate-cleanup-"));
      try {
        mkdirSync(join(directory, "maps", "treasure"), { recursive: true });
        const { status, stderr } = await podgate(lab, ...cleanupArgs(directory));
        expect(status).toBe(1);
        expect(stderr).toMatch(ONE_LINE);
        expect(stderr).toContain("it is not on a bpf filesystem");
        expect(existsSync(join(directory, "maps", "treasure"))).toBe(true);
        expect((await podgate(lab, ...cleanupArgs(join(directory, "nothing")))).stdout).toMatch(/^nothing/);
      } finally {
        rmSync(directory, { recursive: true });
      }
    });
  });

  describe("asked by `podgate check` whether it can run here", () => {
    const args = (...more: readonly string[]) => [
      "check",
      "--cgroup-root",
      lab.cgroupRoot,
      "--pin-path",
      lab.names.pinDir,
      ...more,
    ];

    test("says so in a table, one line a feature, with status 0", async () => {
      const { status, stdout, stderr } = await podgate(lab, ...args());
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      const names = [
        "kernel",
        "native addon",
        "pods' cgroup",
        "cgroup v2",
        "bpf filesystem",
        "connect programs",
        "socket program",
      ];
      const lines = stdout.trimEnd().split("\n");
      for (const name of names) expect(lines.find((line) => line.startsWith(name))).toMatch(/ {2}ok {9}/);
      expect(stdout).toMatch(/^node namespace cookie +ok +can be read$/m);
      expect(stdout).toMatch(/^socket cgroups +ok +the kernel tells them$/m);
      expect(lines).toHaveLength(13);
      expect(lines.at(-1)).toBe("the agent can run here");
    });

    test("says the same in JSON", async () => {
      const { status, stdout } = await podgate(lab, ...args("-o", "json"));
      expect(status).toBe(0);
      const checks = JSON.parse(stdout) as { name: string; required: boolean; ok: boolean; detail: string }[];
      expect(checks).toHaveLength(12);
      expect(checks.filter(({ required, ok }) => required && !ok)).toEqual([]);
      expect(checks.find(({ name }) => name === "pods' cgroup")?.detail).toBe(lab.cgroupRoot);
    });

    test("has status 1 and says what to do where something it needs is missing", async () => {
      const { status, stdout } = await podgate(lab, ...args("--pin-path", tmpdir()));
      expect(status).toBe(1);
      expect(stdout).toMatch(/^bpf filesystem +MISSING +cannot be used: .*mount -t bpf bpf/m);
      expect(stdout).toMatch(/^the agent cannot run here: bpf filesystem$/m);
      const blind = await podgate(lab, ...args("--cgroup-root", "/no/such/directory"));
      expect(blind.stdout).toMatch(/^cgroup v2 +not tried +the pods' cgroup was not found$/m);
      expect(blind.stdout).toMatch(/^the agent cannot run here: pods' cgroup$/m);
      const nowhere = await podgate(lab, ...args("--cgroup-root", "/no/such/directory", "-o", "json"));
      expect(nowhere.status).toBe(1);
      expect(nowhere.stdout).toContain("there is no such directory");
    });

    test("does not know other formats", async () => {
      const { status, stderr } = await podgate(lab, ...args("-o", "yaml"));
      expect(status).toBe(2);
      expect(stderr).toMatch(ONE_LINE);
      expect(stderr).toContain("use one of table, json");
    });

    test("leaves nothing behind", async () => {
      const before = readdirSync(lab.names.pinDir);
      await podgate(lab, ...args());
      expect(readdirSync(lab.names.pinDir)).toEqual(before);
      await open();
    });
  });
});
