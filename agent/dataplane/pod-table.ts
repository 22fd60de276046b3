/** `pods`, `pods_by_cgroup` and `pods_by_netns`: who a caller is. Numbers pods and namespaces. */
import { decodePodUid, encodePod, encodePodRef, encodeU32, encodeU64, POD_OVERSIZED } from "./abi.ts";
import { Registry } from "./numbers.ts";
import { type Entry, type KernelMap, keyText, Table } from "./table.ts";
import type { WantPod } from "./want.ts";

export class PodTable {
  readonly #pods: Table;
  readonly #byCgroup: Table;
  readonly #byNetns: Table;
  readonly #podNumbers = new Registry();
  readonly #namespaceNumbers = new Registry();
  /** Namespace number by UID, of pods that were in the kernel at start: the map holds no names. */
  readonly #kernelNamespaces = new Map<string, number>();
  readonly #uids = new Map<number, string>();

  constructor(pods: KernelMap, byCgroup: KernelMap, byNetns: KernelMap) {
    this.#pods = new Table(pods);
    this.#byCgroup = new Table(byCgroup);
    this.#byNetns = new Table(byNetns);
  }

  load(): void {
    for (const { key, value } of this.#pods.load()) {
      const number = key.readUInt32LE(0);
      const { uid, namespaceNumber } = decodePodUid(value);
      this.#podNumbers.adopt(uid, number);
      this.#uids.set(number, uid);
      this.#kernelNamespaces.set(uid, namespaceNumber);
      this.#namespaceNumbers.seen(namespaceNumber);
    }
    this.#byCgroup.load();
    this.#byNetns.load();
  }

  /** Marks numbers that some verdict still bears. */
  seen(pod: number, namespace: number): void {
    this.#podNumbers.seen(pod);
    this.#namespaceNumbers.seen(namespace);
  }

  podNumber(uid: string): number {
    return this.#podNumbers.take(uid);
  }

  namespaceNumber(namespace: string): number {
    return this.#namespaceNumbers.take(namespace);
  }

  /** UID of the pod a number stands for or stood for since this agent started; undefined if it never knew. */
  uid(number: number): string | undefined {
    return this.#uids.get(number);
  }

  /** Numbers the pods and writes what no hook looks at before `publish`. Returns entries written. */
  prepare(pods: readonly WantPod[]): number {
    for (const pod of pods) {
      const namespaceNumber = this.#kernelNamespaces.get(pod.identity.id);
      if (namespaceNumber !== undefined && this.#namespaceNumbers.get(pod.identity.namespace) === undefined) {
        this.#namespaceNumbers.adopt(pod.identity.namespace, namespaceNumber);
      }
      this.#uids.set(this.podNumber(pod.identity.id), pod.identity.id);
    }
    return this.#pods.put(
      pods.map((pod) => ({
        key: encodeU32(this.podNumber(pod.identity.id)),
        value: encodePod({
          uid: pod.identity.id,
          namespaceNumber: this.namespaceNumber(pod.identity.namespace),
          flags: pod.identity.errorCode !== "" ? POD_OVERSIZED : 0,
          addresses: pod.addresses,
        }),
      })),
    );
  }

  /** Makes the pods known to the hooks, and forgets the others. Their verdicts must be there. Returns entries changed. */
  publish(pods: readonly WantPod[]): number {
    const byCgroup = pods.flatMap((pod) =>
      pod.cgroupIds.map((id): Entry => ({ key: encodeU64(id), value: this.#ref(id, pod) })),
    );
    const byNetns = pods.flatMap((pod) =>
      pod.netnsCookies.map(
        (cookie): Entry => ({ key: encodeU64(cookie), value: encodeU32(this.podNumber(pod.identity.id)) }),
      ),
    );
    // A namespace whose pod is unknown would contradict every caller in it: the cgroups come first and leave last.
    return (
      this.#byCgroup.put(byCgroup) +
      this.#byNetns.put(byNetns) +
      this.#byNetns.delete(this.#byNetns.stale(keysOf(byNetns))) +
      this.#byCgroup.delete(this.#byCgroup.stale(keysOf(byCgroup)))
    );
  }

  /** Deletes pods that are not wanted. Call it after the grace period, with what is wanted then. */
  forget(pods: readonly WantPod[]): void {
    const wanted = new Set(pods.map((pod) => this.podNumber(pod.identity.id)));
    const stale = this.#pods.stale(new Set([...wanted].map((number) => keyText(encodeU32(number)))));
    this.#pods.delete(stale);
    for (const key of stale) {
      const uid = this.#uids.get(key.readUInt32LE(0));
      this.#uids.delete(key.readUInt32LE(0));
      if (uid === undefined) continue;
      this.#podNumbers.release(uid);
      this.#kernelNamespaces.delete(uid);
    }
  }

  #ref(cgroup: bigint, pod: WantPod): Buffer {
    const flags = pod.identity.errorCode !== "" ? POD_OVERSIZED : 0;
    const { id, namespace } = pod.identity;
    const [cookie = 0n] = pod.netnsCookies;
    return encodePodRef(cgroup, this.podNumber(id), this.namespaceNumber(namespace), flags, cookie);
  }
}

function keysOf(entries: readonly Entry[]): Set<string> {
  return new Set(entries.map(({ key }) => keyText(key)));
}
