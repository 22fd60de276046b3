import { describe, expect, it } from "vitest";
import { podCgroupOf } from "../../../agent/identity/cgroup-path.ts";
import { listPodCgroups, type PodCgroup } from "../../../agent/identity/cgroup-tree.ts";
import {
  lingeringPods,
  ownAddressesOf,
  registerPods,
  type TaskNetns,
} from "../../../agent/identity/local-pods.ts";
import type { LocalPod } from "../../../agent/model/objects.ts";
import { treeOf } from "./tree.ts";

const A = "aaaaaaaa-0000-4000-8000-000000000001";
const B = "bbbbbbbb-0000-4000-8000-000000000002";
const HASH = "7f3a9c1e5b2d4860a1b3c5d7e9f20416";
const NODE = 1n;

function pod(uid: string, fields: Partial<LocalPod> = {}): LocalPod {
  return {
    uid,
    namespace: "shop",
    name: `pod-${uid.slice(0, 1)}`,
    nodeName: "node-1",
    ips: ["192.0.2.1"],
    hostNetwork: false,
    completed: false,
    annotations: new Map(),
    labels: new Map(),
    serviceAccount: "default",
    ...fields,
  };
}

/** A directory at pod level, as `listPodCgroups` finds it. */
function directory(name: string, parent = "/cg/kubepods/burstable"): PodCgroup {
  const named = podCgroupOf(name);
  if (named === undefined) throw new Error(`${name} is no pod directory's name`);
  return { ...named, name, path: `${parent}/${name}` };
}

interface Given {
  readonly pods: readonly LocalPod[];
  readonly directories: readonly PodCgroup[];
  /** [cookie, ids of the cgroups below the root], the outermost first. */
  readonly tasks?: readonly (readonly [bigint, ...bigint[]])[];
  readonly gone?: readonly string[];
  readonly hostNetworkIdentity?: "none" | "cgroup";
  readonly nodeNetnsCookie?: bigint;
}

/** The id of directory n is 101 + n. */
function register(given: Given) {
  const tasks = (given.tasks ?? []).map(
    ([cookie, child = 0n, grandchild = 0n]): TaskNetns => ({ cookie, child, grandchild }),
  );
  const idOf = (path: string) => {
    if (given.gone?.includes(path)) throw new Error("ENOENT");
    return BigInt(101 + given.directories.findIndex((entry) => entry.path === path));
  };
  const { registered, unresolved } = registerPods(given.pods, given.directories, tasks, idOf, {
    hostNetworkIdentity: given.hostNetworkIdentity ?? "none",
    nodeNetnsCookie: given.nodeNetnsCookie ?? NODE,
  });
  expect(registered.length + unresolved.length).toBe(given.pods.length);
  return {
    registered: registered.map((entry) => [entry.pod, entry.cgroupIds, entry.netnsCookies]),
    unresolved: unresolved.map((entry) => [entry.pod, entry.reason]),
  };
}

describe("which directories are a pod's", () => {
  it("gives a pod the directory that has its UID, and another pod's to nobody else", () => {
    const [a, b] = [pod(A), pod(B)];
    const result = register({ pods: [a, b], directories: [directory(`pod${B}`), directory(`pod${A}`)] });
    expect(result.registered).toEqual([
      [a, [102n], []],
      [b, [101n], []],
    ]);
  });

  it("gives a pod every directory with its UID, both drivers'", () => {
    const a = pod(A);
    const slice = `kubepods-burstable-pod${A.replaceAll("-", "_")}.slice`;
    const directories = [
      directory(`pod${A}`),
      directory(slice, "/cg/kubepods.slice/kubepods-burstable.slice"),
    ];
    expect(register({ pods: [a], directories }).registered).toEqual([[a, [101n, 102n], []]]);
  });

  it("knows a pod that is terminating from the one re-created under its name (trust test 5)", () => {
    const [old, recreated] = [pod(A, { name: "db-0" }), pod(B, { name: "db-0" })];
    const directories = [directory(`pod${A}`), directory(`pod${B}`)];
    expect(register({ pods: [old, recreated], directories }).registered).toEqual([
      [old, [101n], []],
      [recreated, [102n], []],
    ]);
    // The old object is gone while its processes are not: they are nobody's, least of all the new pod's.
    expect(register({ pods: [recreated], directories }).registered).toEqual([[recreated, [102n], []]]);
    const early = register({ pods: [recreated], directories: [directory(`pod${A}`)] });
    expect(early.registered).toEqual([]);
    expect(early.unresolved).toEqual([[recreated, "it has no directory under the kubepods root yet"]]);
  });

  it("takes the running pod, not the completed one with the same address (trust test 4)", () => {
    const [job, running] = [pod(A, { completed: true }), pod(B)];
    expect(job.ips).toEqual(running.ips);
    const directories = [directory(`pod${A}`), directory(`pod${B}`)];
    const result = register({ pods: [job, running], directories, tasks: [[7n, 900n, 102n]] });
    expect(result.registered).toEqual([[running, [102n], [7n]]]);
    expect(result.unresolved).toEqual([[job, "it is completed"]]);
  });

  it("counts the namespace a pod was given, however many the pod makes within itself", () => {
    const [a, b] = [pod(A), pod(B)];
    const directories = [directory(`pod${A}`), directory(`pod${B}`)];
    const made = Array.from({ length: 40_000 }, (_, i) => [BigInt(100_000 - i), 900n, 101n] as const);
    const tasks = [...made, [7n, 900n, 101n], [8n, 900n, 102n]] as const;
    const began = performance.now();
    const { registered } = register({ pods: [a, b], directories, tasks });
    expect(performance.now() - began).toBeLessThan(1000);
    const [ofA, ofB] = registered.map(([, , cookies]) => cookies as bigint[]);
    expect(ofA).toHaveLength(16);
    expect(ofA?.[0]).toBe(7n);
    expect(ofB).toEqual([8n]);
  });

  it.each([
    ["a beginning of the directory's", A.slice(0, -1)],
    ["longer than the directory's", `${A}0`],
    ["the directory's in another case", A.toUpperCase()],
    ["the directory's without dashes", A.replaceAll("-", "")],
    ["the directory's with underscores", A.replaceAll("-", "_")],
    ["empty", ""],
  ])("does not match a UID that is %s", (_, uid) => {
    const result = register({ pods: [pod(uid)], directories: [directory(`pod${A}`)] });
    expect(result.registered).toEqual([]);
  });

  it.each([
    `kubepods-pod${A.replaceAll("-", "_")}.slice.evil`,
    `pod${B}/pod${A}`,
    `burstable/pod${B}/pod${A}`,
    `pod${A}x`,
  ])("gives nobody the look-alike %s", (path) => {
    const directories = listPodCgroups("/cg/kubepods", treeOf([`/cg/kubepods/${path}`]));
    if (directories instanceof Error) throw directories;
    expect(register({ pods: [pod(A)], directories }).registered).toEqual([]);
  });

  it("leaves two live pods that claim one directory without it, and says so", () => {
    const [one, two] = [pod(A, { name: "one" }), pod(A, { name: "two" })];
    const result = register({ pods: [one, two], directories: [directory(`pod${A}`)], tasks: [[7n, 101n]] });
    const reason = `2 live pods claim the directory of ${A}`;
    expect(result).toEqual({
      registered: [],
      unresolved: [
        [one, reason],
        [two, reason],
      ],
    });
  });

  it("leaves out a directory that is gone, and the pod when it was the only one", () => {
    const a = pod(A);
    const directories = [directory(`pod${A}`), directory(`pod${A}`, "/cg/kubepods/besteffort")];
    const gone = [`/cg/kubepods/burstable/pod${A}`];
    expect(register({ pods: [a], directories, gone }).registered).toEqual([[a, [102n], []]]);
    expect(register({ pods: [a], directories: directories.slice(0, 1), gone }).unresolved).toEqual([
      [a, `read the id of /cg/kubepods/burstable/pod${A}: ENOENT`],
    ]);
  });

  it("registers no UID that the kernel's struct cannot hold", () => {
    const long = pod("é".repeat(21), { configHash: HASH });
    const fits = pod("é".repeat(20), { configHash: HASH });
    const directories = [directory(`pod${HASH}`)];
    expect(register({ pods: [long], directories }).unresolved).toEqual([
      [long, "its UID is longer than 40 bytes"],
    ]);
    expect(register({ pods: [fits], directories }).registered).toEqual([[fits, [101n], []]]);
  });
});

describe("a pod whose object is gone", () => {
  const linger = (before: LocalPod[], listed: LocalPod[], cgroups: PodCgroup[]) => [
    ...lingeringPods(before, listed, cgroups).keys(),
  ];
  const uid = "0d5c1f6e-0000-4000-8000-000000000001";

  it("is still who it was while its directory is there", () => {
    expect(linger([pod(uid)], [], [directory(`pod${uid}`)])).toEqual([uid]);
  });

  it("is forgotten with its directory", () => {
    expect(linger([pod(uid)], [], [])).toEqual([]);
  });

  it("is not known twice when its object is there", () => {
    expect(linger([pod(uid)], [pod(uid)], [directory(`pod${uid}`)])).toEqual([]);
  });

  it("does not stand in the way of its successor if it is a mirror pod", () => {
    const hash = "0123456789abcdef0123456789abcdef";
    const [old, next] = [pod("old", { configHash: hash }), pod("new", { configHash: hash })];
    expect(linger([old], [next], [directory(`pod${hash}`)])).toEqual([]);
  });
});

describe("a static pod's directory", () => {
  const directories = [directory(`pod${HASH}`)];

  it("belongs to the mirror pod with its hash", () => {
    const mirror = pod(A, { configHash: HASH });
    expect(register({ pods: [mirror, pod(B)], directories }).registered).toEqual([[mirror, [101n], []]]);
  });

  it("belongs to no mirror pod with another hash, or none", () => {
    const pods = [pod(A, { configHash: HASH.replace("7", "8") }), pod(B)];
    expect(register({ pods, directories }).registered).toEqual([]);
  });

  it("belongs to no mirror pod while a pod has the hash for its UID", () => {
    const [mirror, claimant] = [pod(A, { configHash: HASH }), pod(HASH)];
    expect(register({ pods: [mirror, claimant], directories }).registered).toEqual([[claimant, [101n], []]]);
    const completed = pod(HASH, { completed: true });
    expect(register({ pods: [mirror, completed], directories }).registered).toEqual([]);
  });

  it("belongs to neither of two live mirror pods, and to the live one beside a completed one", () => {
    const [one, two] = [pod(A, { configHash: HASH }), pod(B, { configHash: HASH })];
    expect(register({ pods: [one, two], directories }).registered).toEqual([]);
    const ended = pod(B, { configHash: HASH, completed: true });
    expect(register({ pods: [one, ended], directories }).registered).toEqual([[one, [101n], []]]);
  });
});

describe("a hostNetwork pod", () => {
  const host = pod(A, { hostNetwork: true });
  const directories = [directory(`pod${A}`), directory(`pod${B}`)];

  it("is not registered", () => {
    expect(register({ pods: [host], directories }).unresolved).toEqual([
      [host, "it uses the host's network"],
    ]);
  });

  it("is registered by cgroup where that is asked for, and never by a network namespace", () => {
    const tasks = [
      [NODE, 900n, 101n],
      [7n, 900n, 101n],
    ] as const;
    const result = register({ pods: [host], directories, tasks, hostNetworkIdentity: "cgroup" });
    expect(result.registered).toEqual([[host, [101n], []]]);
  });

  it("keeps its claim on a directory although it is not registered", () => {
    const rival = pod(A, { name: "rival" });
    expect(register({ pods: [host, rival], directories }).registered).toEqual([]);
  });
});

describe("which network namespaces are a pod's", () => {
  const [a, b] = [pod(A), pod(B)];
  const directories = [directory(`pod${A}`), directory(`pod${B}`, "/cg/kubepods")];
  const cookies = (tasks: Given["tasks"], more: Partial<Given> = {}) =>
    register({ pods: [a, b], directories, tasks: tasks ?? [], ...more }).registered.map((entry) => entry[2]);

  it("are those of its tasks, whether it is under a QoS directory or directly under the root", () => {
    const tasks = [
      [7n, 900n, 101n],
      [7n, 900n, 101n],
      [8n, 900n, 101n],
      [9n, 102n, 555n],
    ] as const;
    expect(cookies(tasks)).toEqual([[7n, 8n], [9n]]);
  });

  it("are of the pod that the connect hook finds: the deeper of two levels", () => {
    expect(cookies([[7n, 102n, 101n]])).toEqual([[7n], []]);
  });

  it("never include the node's own, and none at all while that is unknown", () => {
    expect(cookies([[NODE, 900n, 101n]])).toEqual([[], []]);
    expect(cookies([[7n, 900n, 101n]], { nodeNetnsCookie: 0n })).toEqual([[], []]);
  });

  it("are nobody's when tasks of two pods share one, in any order", () => {
    const shared = [
      [7n, 900n, 101n],
      [7n, 102n],
      [7n, 900n, 101n],
      [8n, 102n],
    ] as const;
    expect(cookies(shared)).toEqual([[], [8n]]);
    expect(cookies([...shared].reverse())).toEqual([[], [8n]]);
  });

  it("are nobody's when the second pod's object has not arrived", () => {
    const tasks = [
      [7n, 900n, 101n],
      [7n, 102n],
    ] as const;
    expect(cookies(tasks, { pods: [a] })).toEqual([[]]);
  });

  it("are a pod's although a task of no pod is in one", () => {
    const tasks = [
      [7n, 900n, 101n],
      [7n, 900n, 901n],
    ] as const;
    expect(cookies(tasks)).toEqual([[7n], []]);
  });

  it("follow a pod that has two directories", () => {
    const both = [directory(`pod${A}`), directory(`pod${A}`, "/cg/kubepods")];
    const tasks = [
      [7n, 900n, 101n],
      [7n, 102n],
    ] as const;
    expect(cookies(tasks, { pods: [a], directories: both })).toEqual([[7n]]);
  });
});

describe("the addresses at which a pod is itself", () => {
  const own = (pod: LocalPod, ...others: LocalPod[]) =>
    ownAddressesOf(pod, (address) => [pod, ...others].filter(({ ips }) => ips.includes(address)));

  it("are its own, of both families", () => {
    const dual = pod(A, { ips: ["192.0.2.1", "2001:db8::1"] });
    expect(own(dual, pod(B, { ips: ["192.0.2.2"] }))).toEqual(["192.0.2.1", "2001:db8::1"]);
  });

  it("are not those that another live pod has too: one of the two objects is late", () => {
    const [old, heir] = [pod(A, { ips: ["192.0.2.1", "2001:db8::1"] }), pod(B, { ips: ["192.0.2.1"] })];
    expect(own(old, heir)).toEqual(["2001:db8::1"]);
    expect(own(heir, old)).toEqual([]);
  });

  it("are none in the node's network", () => {
    expect(own(pod(A, { hostNetwork: true }))).toEqual([]);
  });
});
