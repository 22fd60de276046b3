/** The cgroups that sockets were made in, by which the node's namespace is divided between pods. */
import { mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NodeNamespace } from "../../agent/proxy/node-namespace.ts";
import { connectionsOf } from "./connections.ts";
import { dial, echo, only, startDialler } from "./dialler.ts";
import type { Application } from "./namespace.ts";
import { neighbours } from "./neighbours.ts";
import { obstacle, projectRoot, Scratch } from "./scratch.ts";

describe.skipIf(obstacle())("sockets by the cgroup they were made in", () => {
  const pair = neighbours();
  let scratch: Scratch;
  let directories: string[] = [];
  const apps: Application[] = [];
  const id = (name: string) => pair.native.cgroupId(join(scratch.cgroup, name));
  const ids = (...names: string[]) => BigUint64Array.from(names, id);

  beforeAll(() => {
    scratch = new Scratch();
    directories = ["a", "a/deep", "b"].map((name) => join(scratch.cgroup, name));
    for (const directory of directories) {
      mkdirSync(directory);
      apps.push(startDialler(pair.inside, directory));
    }
  });
  afterAll(async () => {
    await Promise.all(apps.map((app) => app.end()));
    for (const directory of directories.reverse()) rmdirSync(directory);
    scratch.remove();
  });

  it.each([
    ["IPv4", 4, "127.0.0.1"],
    ["IPv6", 6, "::1"],
    ["v4-mapped", 4, "::ffff:127.0.0.1"],
  ] as const)("lists and ends %s connections of those that are named, and no others", async (_, family, host) => {
    const port = echo(pair.netns, family);
    const dialled = await Promise.all(apps.map((app) => dial(app, host, port)));
    const ports = dialled.map(({ localPort }) => localPort);
    const listed = async (...names: string[]) =>
      (await connectionsOf(pair.netns, { cgroups: ids(...names) }))
        .filter(({ remote }) => remote.port === port)
        .map(({ local }) => ports.indexOf(local.port))
        .sort();
    expect(await listed("a")).toEqual([0]);
    expect(await listed("a/deep")).toEqual([1]);
    expect(await listed("a", "a/deep")).toEqual([0, 1]);
    expect(await listed("b", "a/deep", "a")).toEqual([0, 1, 2]);
    expect(await listed("")).toEqual([]);
    expect(await listed()).toEqual([]);

    const [first] = dialled;
    const victim = only(
      (await connectionsOf(pair.netns, { cgroups: ids("a") })).filter(({ remote }) => remote.port === port),
    );
    expect(pair.netns.destroy(victim, ids("b", "a/deep"))).toBe(false);
    expect(pair.netns.destroy(victim, ids())).toBe(false);
    for (const [at, app] of apps.entries()) {
      const { id } = dialled[at] as { id: string };
      expect(await app.ask(`ping ${id}`)).toBe(`ping ${id}`);
    }
    expect(pair.netns.destroy(victim, ids("b", "a"))).toBe(true);
    expect(await apps[0]?.ask(`fate ${first?.id}`)).toBe("ECONNABORTED");
    expect(pair.netns.destroy(victim, ids("b", "a"))).toBe(false);
    expect(await listed("a", "a/deep", "b")).toEqual([1, 2]);
  });

  it("are told by where their maker was, wherever that is now", async () => {
    const port = echo(pair.netns, 4);
    const script = `
import os, socket, sys
def move(to): open(to + "/cgroup.procs", "w").write(str(os.getpid()))
move(sys.argv[1]); made = socket.socket(); move(sys.argv[2])
made.connect(("127.0.0.1", ${port})); print("connected", flush=True)
sys.stdin.read()`;
    const mover = pair.inside.start(
      "python3",
      "-c",
      script,
      ...["a", "b"].map((it) => join(scratch.cgroup, it)),
    );
    expect(await mover.line()).toBe("connected");
    const of = async (name: string) =>
      (await connectionsOf(pair.netns, { cgroups: ids(name) })).filter(({ remote }) => remote.port === port);
    expect(await of("b")).toEqual([]);
    const made = only(await of("a"));
    expect(pair.netns.destroy(made, ids("b"))).toBe(false);
    expect(pair.netns.destroy(made, ids("a"))).toBe(true);
    await mover.end();
  });

  it("lists among as many cgroups as may be named, wherever the one is that counts", async () => {
    const port = echo(pair.netns, 4);
    await dial(apps[2] as Application, "127.0.0.1", port);
    for (const at of [0, 1, 511, 1022, 1023]) {
      const many = BigUint64Array.from({ length: 1024 }, (_, i) => (i === at ? id("b") : BigInt(i) << 40n));
      const found = await connectionsOf(pair.netns, { cgroups: many });
      expect(found.filter(({ remote }) => remote.port === port)).toHaveLength(1);
    }
    const none = BigUint64Array.from({ length: 1024 }, (_, i) => BigInt(i) << 40n);
    expect(await connectionsOf(pair.netns, { cgroups: none })).toEqual([]);
  });

  it.each([
    ["too many", new BigUint64Array(1025), /cgroups must not be more than 1024/],
    ["a list", [1n], /cgroups must be a BigUint64Array/],
    ["signed", new BigInt64Array(1), /cgroups must be a BigUint64Array/],
    ["null", null, /cgroups must be a BigUint64Array/],
  ])("refuses what names no cgroups: %s", (_, cgroups, message) => {
    expect(() => pair.netns.list({ cgroups: cgroups as BigUint64Array })).toThrow(message);
    const nobody = { address: Buffer.from("00000000000000000000ffff7f000001", "hex"), port: 1 };
    const connection = { family: 4, local: nobody, remote: nobody, interfaceIndex: 0, cookie: 1n };
    expect(() => pair.netns.destroy(connection as never, cgroups as BigUint64Array)).toThrow(message);
  });

  it("are a pod's if its directory is below the pod's, but those of the own pod are not to be had", async () => {
    const node = new NodeNamespace(pair.native);
    expect([...node.cgroupsOf(directories.at(0) ?? "")].sort()).toEqual([id("a"), id("a/deep")].sort());
    expect(node.cgroupsOf(join(scratch.cgroup, "gone"))).toHaveLength(0);
    node.close();
    // A process in the upper one, asked of it and of the one below.
    const script = `
      const { loadNative } = await import(${JSON.stringify(join(projectRoot, "agent/dataplane/native.ts"))});
      const { NodeNamespace } = await import(${JSON.stringify(join(projectRoot, "agent/proxy/node-namespace.ts"))});
      const node = new NodeNamespace(loadNative());
      console.log(node.cgroupsOf(${JSON.stringify(scratch.cgroup)}).length, node.cgroupsOf(${JSON.stringify(directories.at(-1))}).length);`;
    expect(await scratch.runInside(script)).toBe("0 1");
  });
});
