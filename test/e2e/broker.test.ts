/** The socket broker as a process of its own: what it gives to whom, and what it refuses. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, statSync, symlinkSync, unlinkSync } from "node:fs";
import { createConnection, Socket } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type FdChannel, loadNative, type TcpConnection } from "../../agent/dataplane/native.ts";
import { makeSieve } from "../../agent/dataplane/sieve.ts";
import { systemClock } from "../../agent/model/clock.ts";
import { BrokerClient } from "../../agent/proxy/broker-client.ts";
import { AGENT_MAIN } from "../lab/agent.ts";
import { leftovers } from "../lab/cleanup.ts";
import { run } from "../lab/command.ts";
import { type Lab, startLab } from "../lab/lab.ts";
import { inNetns } from "../lab/node.ts";
import type { PodHandle } from "../lab/pod-handle.ts";
import { until } from "../lab/until.ts";
import { inAll } from "../native/connections.ts";
import { obstacle } from "./rig.ts";
import { crowd } from "./support/crowd.ts";
import { type Dialler, hold } from "./support/hold.ts";
import { namespaces, pod } from "./support/objects.ts";

describe.skipIf(obstacle() !== undefined)("the socket broker", () => {
  let native: ReturnType<typeof loadNative>;
  let lab: Lab;
  let socketPath = "";
  let broker: ChildProcess;
  let client: BrokerClient;
  const changes: boolean[] = [];

  beforeAll(async () => {
    native = loadNative();
    lab = await startLab({ name: `broker-${process.pid}` });
    await lab.apply([
      ...namespaces("apps"),
      pod("apps", "one", { ports: [8080] }),
      pod("apps", "other"),
      pod("apps", "host", { hostNetwork: true }),
      pod("apps", "neighbour", { hostNetwork: true }),
    ]);
    await lab.settled();
    socketPath = join(lab.names.runDir, "test.sock");
  });
  afterAll(async () => {
    await lab?.stop();
    if (lab !== undefined) expect(leftovers(lab.names)).toEqual([]);
  });

  const command = (...flags: string[]) =>
    inNetns(lab.names.nodeNetns, [process.execPath, AGENT_MAIN, "socket-broker", ...flags]);
  const start = () => {
    const [program = "", ...args] = command("--socket", socketPath, "--cgroup-root", lab.cgroupRoot);
    return spawn(program, args, { stdio: "ignore" });
  };
  const ended = (child: ChildProcess) =>
    new Promise<number | null>((resolve) => {
      if (child.exitCode !== null) resolve(child.exitCode);
      else child.once("exit", resolve);
    });

  beforeEach(async () => {
    changes.length = 0;
    broker = start();
    client = new BrokerClient(native, {
      socketPath,
      clock: systemClock,
      agentDownAfter: 5000,
      onChange: (connected) => changes.push(connected),
    });
    client.start();
    await until("the client to be connected", () => client.connected);
  });
  afterEach(async () => {
    client.close();
    broker.kill("SIGKILL");
    await ended(broker);
  });

  const one = () => lab.pod("apps", "one");
  const cookieIn = (handle: PodHandle) => {
    const netns = native.Netns.open(handle.netns);
    try {
      return netns.cookie;
    } finally {
      netns.close();
    }
  };
  const placeOf = (handle: PodHandle) => ({
    cgroup: handle.cgroup.slice(lab.cgroupRoot.length + 1),
    cookie: cookieIn(handle),
  });

  test("listens in a pod, so that only what is in the pod gets there", async () => {
    const { ipv4, ipv6 } = await client.listen(placeOf(one()));
    expect(ipv6).toBeDefined();
    const listening = await one().exec(["ss", "-Hltn"]);
    expect(listening.stdout).toContain(`127.0.0.1:${ipv4.port}`);
    expect(listening.stdout).toContain(`[::1]:${ipv6?.port}`);
    const elsewhere = await lab.pod("apps", "other").exec(["ss", "-Hltn"]);
    expect(elsewhere.stdout).not.toContain(String(ipv4.port));
    native.closeDescriptor(ipv4.fd);
    if (ipv6 !== undefined) native.closeDescriptor(ipv6.fd);
    expect((await one().exec(["ss", "-Hltn"])).stdout).not.toContain(`127.0.0.1:${ipv4.port}`);
  });

  const connect = (fd: number) =>
    new Promise<void>((resolve, reject) => {
      const address = Buffer.from([...new Array(10).fill(0), 255, 255, ...one().ipv4.split(".").map(Number)]);
      native.connectTcp(fd, address, 8080, 2000, (error) => (error ? reject(error) : resolve()));
    });

  test("makes sockets that connect as the pod", async () => {
    const fd = await client.socket(placeOf(lab.pod("apps", "other")), 4);
    await connect(fd);
    const socket = new Socket({ fd });
    socket.write("hello\n");
    const answer = await new Promise((resolve) => socket.once("data", (data) => resolve(String(data))));
    expect(answer).toBe(`apps/one ${lab.pod("apps", "other").ipv4}\n`);
    socket.destroy();
  });

  test("makes sockets of a busy pod ahead, in that pod, and none is left when the pod or the broker goes", async () => {
    const other = placeOf(lab.pod("apps", "other"));
    const descriptors = () => readdirSync("/proc/self/fd").length;
    const before = descriptors();
    const busy = async (many: number) => {
      const made = [];
      for (let i = 0; i < many; i++) made.push(await client.socket(other, 4));
      await Promise.all(made.map((fd) => connect(fd)));
      const connected = (await inAll(client.connections(other))).filter(({ remote }) => remote.port === 8080);
      expect(connected).toHaveLength(many);
      made.forEach(native.resetSocket);
      expect(descriptors()).toBeGreaterThan(before);
    };
    await busy(20);
    client.release(other);
    expect(descriptors()).toBe(before);
    await busy(5);
    broker.kill("SIGKILL");
    await ended(broker);
    await until("the client to notice", () => !client.connected);
    expect(descriptors()).toBeLessThan(before);
    broker = start();
  });

  test("lists a pod's connections, and ends those that are named", async () => {
    const script = `
import socket, sys
held = [socket.create_connection((sys.argv[1], 8080)) for _ in range(600)]
print(len(held), flush=True)
sys.stdin.readline()
print(sum(1 for each in held if each.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 103), flush=True)`;
    const holder = lab.pod("apps", "other").spawn(["python3", "-c", script, one().ipv4]);
    const said: string[] = [];
    holder.stdout?.on("data", (data) => said.push(String(data).trim()));
    await until("600 connections", () => said.length === 1);
    const place = placeOf(lab.pod("apps", "other"));
    const connections = await inAll(client.connections(place));
    const held = connections.filter(({ remote }) => remote.port === 8080);
    expect(held).toHaveLength(600);
    expect(await client.destroy(place, held.slice(0, 400))).toBe(400);
    expect(await client.destroy(place, held.slice(0, 400))).toBe(0);
    holder.stdin?.write("\n");
    await until("the holder to count", () => said.length === 2);
    expect(said).toEqual(["600", "400"]);
    holder.kill("SIGKILL");
  });

  test("answers for one pod while it reads the very many connections of another, all of them", async () => {
    const disperse = await crowd(lab.pod("apps", "other"), 80, 10_000);
    const order: string[] = [];
    const read = async (handle: PodHandle, name: string) => {
      const all = await inAll(client.connections(placeOf(handle)));
      order.push(name);
      return new Set(all.map(({ cookie }) => cookie)).size;
    };
    const [many] = await Promise.all([read(lab.pod("apps", "other"), "many"), read(one(), "few")]);
    expect(many).toBeGreaterThanOrEqual(10_000);
    expect(order).toEqual(["few", "many"]);
    await disperse();
  });

  test("is asked for the connections of eight pods at once, with the largest sieve", async () => {
    const remote = makeSieve(100_000);
    // More than a channel has room for, while the broker does not read at once.
    broker.kill("SIGSTOP");
    const reads = Promise.all(
      Array.from({ length: 8 }, () => inAll(client.connections(placeOf(one()), remote))),
    );
    broker.kill("SIGCONT");
    await reads;
  });

  test("enters only the pod's own namespace, and never the node's", async () => {
    const place = placeOf(one());
    const refused = (wrong: Partial<typeof place>) =>
      client.socket({ ...place, ...wrong }, 4).then(
        (fd) => native.closeDescriptor(fd),
        (error: Error) => error.message,
      );
    const other = placeOf(lab.pod("apps", "other"));
    const host = placeOf(lab.pod("apps", "host"));
    expect(await refused({ cookie: other.cookie })).toMatch(/its processes are in others$/);
    expect(await refused({ cgroup: other.cgroup })).toMatch(/its processes are in others$/);
    expect(await refused(host)).toMatch(/it is the node's own$/);
    expect(await refused({ cgroup: `${place.cgroup}/../../..` })).toMatch(/no path below the pods' cgroup/);
    expect(await refused({ cgroup: "kubepods-pod1.slice" })).toMatch(/there is no such directory below/);
    expect(await refused({ cookie: 1n << 63n })).toMatch(/its processes are in others$/);
    expect(await refused({})).toBeUndefined();
  });

  test("of the node's namespace lists and ends what a pod has made there, whoever else's it is asked to end", async () => {
    const node: Dialler = {
      spawn: (argv) => {
        const [program = "", ...args] = inNetns(lab.names.nodeNetns, argv);
        return spawn(program, args, { stdio: "pipe" });
      },
    };
    const [host, neighbour] = [lab.pod("apps", "host"), lab.pod("apps", "neighbour")];
    const holders = await Promise.all([host, neighbour, node].map((from) => hold(from, one().ipv4, 8080, 3)));
    const dialled = async (handle: PodHandle) =>
      (await inAll(client.connections(placeOf(handle)))).filter(({ remote }) => remote.port === 8080);
    const [own, others] = [await dialled(host), await dialled(neighbour)];
    expect(own).toHaveLength(3);
    expect(others).toHaveLength(3);
    expect(await client.destroy(placeOf(host), others)).toBe(0);
    const { stdout } = await run(inNetns(lab.names.nodeNetns, ["ss", "-Htn", "dport", "=", "8080"]));
    expect(stdout.trim().split("\n")).toHaveLength(9);
    // Named as the pod's own, and by the cookie of somebody else's.
    const [mine, theirs] = [own[0], others[0]] as [TcpConnection, TcpConnection];
    expect(await client.destroy(placeOf(host), [{ ...mine, cookie: theirs.cookie }])).toBe(0);
    expect(await client.destroy(placeOf(host), own)).toBe(3);
    const talks = await Promise.all(holders.map((holder) => holder.talk()));
    expect(talks.map(([state]) => state)).toEqual(["ECONNABORTED", "ok", "ok"]);
    await expect(
      inAll(client.connections({ ...placeOf(host), cgroup: "kubepods-pod1.slice" })),
    ).rejects.toThrow("there is no such directory below");
    await expect(client.listen(placeOf(host))).rejects.toThrow("it is the node's own");
    await Promise.all(holders.map((holder) => holder.end()));
  });

  test("does not leave the pods' cgroup by a link", async () => {
    // No cgroup can hold a link, so the whole tree is reached by one.
    const fake = join(lab.names.runDir, "pods");
    mkdirSync(fake, { recursive: true });
    symlinkSync(lab.cgroupRoot, join(fake, "inside"));
    const namespacesModule = await import("../../agent/proxy/pod-namespaces.ts");
    const found = new namespacesModule.PodNamespaces(native.Netns, fake, new Set());
    const { cgroup, cookie } = placeOf(one());
    expect(() => found.find({ cgroup: `inside/${cgroup}`, cookie })).toThrow(
      "there is no such directory below",
    );
    unlinkSync(join(fake, "inside"));
  });

  test("answers what is no request with an error, and lives on", async () => {
    const channel = native.connectChannel(socketPath);
    const answers: string[] = [];
    channel.receive(
      (message) => answers.push(message.toString()),
      () => {},
    );
    for (const text of [
      "nonsense",
      '{"id":1}',
      '{"id":2,"op":"listen","cgroup":"a","cookie":"1","more":1}',
    ]) {
      channel.send(Buffer.from(text));
    }
    await until("two answers", () => answers.length === 2);
    expect(answers.map((answer) => JSON.parse(answer))).toEqual([
      { id: 1, error: expect.stringMatching(/^read a request: /) },
      { id: 2, error: expect.stringMatching(/^read a request: /) },
    ]);
    channel.close();
  });

  test("serves one agent: the one that came last", async () => {
    const over = new Promise<void>((resolve) => {
      const before = changes.length;
      void until("the first to be replaced", () => changes.length > before).then(() => resolve());
    });
    const second: FdChannel = native.connectChannel(socketPath);
    second.receive(
      () => {},
      () => {},
    );
    await over;
    expect(changes.at(-1)).toBe(false);
    client.close();
    second.close();
  });

  test("requests fail when the broker goes, and work again when it is back", async () => {
    broker.kill("SIGKILL");
    await ended(broker);
    await until("the client to notice", () => !client.connected);
    await expect(client.socket(placeOf(one()), 4)).rejects.toThrow("ask the broker: it is not there");
    broker = start();
    await until("the client to be back", () => client.connected);
    native.closeDescriptor(await client.socket(placeOf(one()), 6));
    expect(changes).toEqual([...changes.slice(0, -2), false, true]);
  });

  test("a request to a broker that hangs fails in two seconds", async () => {
    broker.kill("SIGSTOP");
    const since = Date.now();
    await expect(client.socket(placeOf(one()), 4)).rejects.toThrow("ask the broker: no answer in 2 s");
    expect(Date.now() - since).toBeLessThan(4000);
    broker.kill("SIGCONT");
    native.closeDescriptor(await client.socket(placeOf(one()), 4));
  });

  test("SIGTERM ends it with status 0, and its socket is gone", async () => {
    broker.kill("SIGTERM");
    expect(await ended(broker)).toBe(0);
    expect(existsSync(socketPath)).toBe(false);
  });

  test("its socket is root's alone, and speaks to nobody who is not connected by a channel", async () => {
    const refused = await new Promise((resolve) =>
      createConnection(socketPath).on("error", (error: NodeJS.ErrnoException) => resolve(error.code)),
    );
    expect(refused).toBe("EPROTOTYPE");
    expect(statSync(socketPath).mode & 0o777).toBe(0o600);
  });

  test.each([
    [
      "--socket",
      "/missing/broker.sock",
      /^podgate: listen at \/missing\/broker\.sock: .*ENOENT: pass --socket .*\n$/,
    ],
    ["--socket", "/proc/version", /^podgate: listen at \/proc\/version: .*: pass --socket .*\n$/],
    ["--cgroup-root", "/tmp", /^podgate: use \/tmp as the pods' cgroup: it is not on cgroup v2: .*\n$/],
  ])("says in a line why it cannot start: %s %s", async (flag, value, message) => {
    const flags = {
      "--socket": join(lab.names.runDir, "x.sock"),
      "--cgroup-root": lab.cgroupRoot,
      [flag]: value,
    };
    const { status, stderr } = await run(command(...Object.entries(flags).flat()));
    expect(stderr).toMatch(message);
    expect(status).toBe(1);
  });

  test("says that only root can run it", async () => {
    const argv = command("--socket", socketPath, "--cgroup-root", lab.cgroupRoot);
    const split = argv.indexOf(process.execPath);
    const nobody = ["setpriv", "--reuid=65534", "--clear-groups"];
    const { status, stderr } = await run([...argv.slice(0, split), ...nobody, ...argv.slice(split)]);
    expect(stderr).toBe("podgate: run the socket broker: only root may enter network namespaces\n");
    expect(status).toBe(1);
  });
});
