/** Says which cgroup directories and network namespaces stand for which pod of this node. Never guesses. */
import type { IpAddress } from "../model/address.ts";
import type { LocalPod, Pod } from "../model/objects.ts";
import { podKey } from "./cgroup-path.ts";
import type { PodCgroup } from "./cgroup-tree.ts";

/** One task under the kubepods root: its ancestors one and two levels below the root (0: none), its namespace. */
export interface TaskNetns {
  readonly cookie: bigint;
  readonly child: bigint;
  readonly grandchild: bigint;
}

export interface RegistrationOptions {
  /** "cgroup": hostNetwork pods are identified too, by their directory alone. */
  readonly hostNetworkIdentity: "none" | "cgroup";
  /** 0: unknown, and then no cookie is evidence, since any could be the node's. */
  readonly nodeNetnsCookie: bigint;
}

export interface RegisteredPod {
  readonly pod: LocalPod;
  /** At least one. */
  readonly cgroupIds: readonly bigint[];
  /** Their paths. */
  readonly cgroupPaths: readonly string[];
  /** Empty: nothing is known of its namespace, and the cgroup decides alone. */
  readonly netnsCookies: readonly bigint[];
}

/** Every pod given is in exactly one of the lists. */
export interface Registration {
  readonly registered: readonly RegisteredPod[];
  readonly unresolved: readonly { readonly pod: LocalPod; readonly reason: string }[];
}

/** Bytes that the kernel's `struct pod` has for a UID. */
const UID_BYTES = 40;

/**
 * Namespaces of one pod that are evidence. A pod may make thousands within itself, and the kernel's map is for all pods;
 * in those beyond, the cgroup decides alone. Cookies only ever grow: the first is the one the pod was given.
 */
const MAX_COOKIES = 16;

/** `cgroupIdOf` throws when a directory is gone, which is as usual as pods that end. */
export function registerPods(
  localPods: readonly LocalPod[],
  podCgroups: readonly PodCgroup[],
  netnsOfCgroups: readonly TaskNetns[],
  cgroupIdOf: (path: string) => bigint,
  options: RegistrationOptions,
): Registration {
  const directories = podCgroups.map((cgroup) => ({
    claimants: claimantsOf(cgroup, localPods),
    key: podKey(cgroup),
    path: cgroup.path,
    id: idOf(cgroup, cgroupIdOf),
  }));
  const cookiesOf = cookiesByKey(ownersOfCookies(directories, netnsOfCgroups, options.nodeNetnsCookie));
  const registered: RegisteredPod[] = [];
  const unresolved: { pod: LocalPod; reason: string }[] = [];
  for (const pod of localPods) {
    const own = directories.filter(({ claimants }) => claimants.includes(pod));
    const reason = reasonAgainst(pod, own, options);
    if (reason !== undefined) {
      unresolved.push({ pod, reason });
      continue;
    }
    const keys = new Set(own.map(({ key }) => key));
    const cookies = [...keys].flatMap((key) => cookiesOf.get(key) ?? []);
    const live = own.flatMap(({ id, path }) => (id instanceof Error ? [] : { id, path }));
    registered.push({
      pod,
      cgroupIds: live.map(({ id }) => id),
      cgroupPaths: live.map(({ path }) => path),
      netnsCookies: pod.hostNetwork ? [] : cookies,
    });
  }
  return { registered, unresolved };
}

/**
 * Pods whose object is gone while their directory is still there: deleted by force, or faster than their last process.
 * A UID is never used twice, so what was known of them still holds, and they must not become nobody by being deleted.
 * A mirror pod has another UID each time it is made, and its directory may be its successor's: it does not linger.
 */
export function lingeringPods(
  before: readonly LocalPod[],
  localPods: readonly LocalPod[],
  podCgroups: readonly PodCgroup[],
): ReadonlyMap<string, LocalPod> {
  const listed = new Set(localPods.map((pod) => pod.uid));
  const directories = new Set(podCgroups.map(podKey));
  const remaining = (pod: LocalPod) => !listed.has(pod.uid) && directories.has(pod.uid);
  return new Map(before.filter(remaining).map((pod) => [pod.uid, pod]));
}

/**
 * The addresses at which a pod is itself, which it may always dial: not one that another live pod has too. When a
 * pod's address is given away its object says so seconds later, and until then it would be let into its heir.
 */
export function ownAddressesOf(
  pod: LocalPod,
  claimants: (address: IpAddress) => readonly Pod[],
): readonly IpAddress[] {
  if (pod.hostNetwork) return [];
  return pod.ips.filter((ip) => !claimants(ip).some((other) => other.uid !== pod.uid));
}

interface Directory {
  readonly claimants: readonly LocalPod[];
  /** The UID or hash in its name: directories with one key are one pod's. */
  readonly key: string;
  readonly path: string;
  readonly id: bigint | Error;
}

/**
 * Pods that the directory may belong to; only one that claims it alone gets it. A completed pod has no process
 * left. A hash stands for a static pod only while nobody has it for a UID.
 */
function claimantsOf(cgroup: PodCgroup, localPods: readonly LocalPod[]): LocalPod[] {
  const key = podKey(cgroup);
  const byUid = localPods.filter((pod) => pod.uid === key);
  const claimants =
    "uid" in cgroup || byUid.length > 0 ? byUid : localPods.filter((pod) => pod.configHash === key);
  return claimants.filter((pod) => !pod.completed);
}

function idOf(cgroup: PodCgroup, cgroupIdOf: (path: string) => bigint): bigint | Error {
  try {
    return cgroupIdOf(cgroup.path);
  } catch (error) {
    return new Error(`read the id of ${cgroup.path}: ${(error as Error).message}`, { cause: error });
  }
}

/** Why a pod is not registered, or undefined. `own`: the directories it claims. */
function reasonAgainst(
  pod: LocalPod,
  own: readonly Directory[],
  options: RegistrationOptions,
): string | undefined {
  if (pod.completed) return "it is completed";
  if (pod.hostNetwork && options.hostNetworkIdentity === "none") return "it uses the host's network";
  if (Buffer.byteLength(pod.uid) > UID_BYTES) return `its UID is longer than ${UID_BYTES} bytes`;
  const contested = own.find(({ claimants }) => claimants.length > 1);
  if (contested !== undefined)
    return `${contested.claimants.length} live pods claim the directory of ${contested.key}`;
  if (own.some(({ id }) => typeof id === "bigint")) return undefined;
  const unread = own.find(({ id }) => id instanceof Error)?.id;
  return unread instanceof Error ? unread.message : "it has no directory under the kubepods root yet";
}

/**
 * Cookie -> key of the only pod whose tasks have it. Directories without a known pod count as pods too: tasks of
 * two in one namespace are two pods' tasks, whether or not their objects have arrived.
 */
function ownersOfCookies(
  directories: readonly Directory[],
  tasks: readonly TaskNetns[],
  nodeNetnsCookie: bigint,
): Map<bigint, string> {
  const keyOf = new Map(directories.map(({ id, key }) => [id, key]));
  const owners = new Map<bigint, string>();
  const shared = new Set<bigint>();
  if (nodeNetnsCookie === 0n) return owners;
  for (const { cookie, child, grandchild } of tasks) {
    // In the order of the connect hook: under a QoS directory the pod is the grandchild, else the child.
    const key = keyOf.get(grandchild) ?? keyOf.get(child);
    if (key === undefined || cookie === nodeNetnsCookie) continue;
    if (owners.has(cookie) && owners.get(cookie) !== key) shared.add(cookie);
    owners.set(cookie, key);
  }
  for (const cookie of shared) owners.delete(cookie);
  return owners;
}

/** The first few cookies of each key, in their order. */
function cookiesByKey(owners: ReadonlyMap<bigint, string>): ReadonlyMap<string, readonly bigint[]> {
  const cookies = Map.groupBy(owners.keys(), (cookie) => owners.get(cookie) ?? "");
  return new Map(
    Array.from(cookies, ([key, all]) => [key, all.sort((a, b) => (a < b ? -1 : 1)).slice(0, MAX_COOKIES)]),
  );
}
