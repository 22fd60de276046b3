/** Podgate's programs with maps of their own, put in force and taken out again between two measurements. */
import { unlinkSync } from "node:fs";
import { join } from "node:path";
import { Dataplane } from "../../agent/dataplane/dataplane.ts";
import { decodeEvent } from "../../agent/dataplane/event.ts";
import { Kernel, linkNames, linkPin, mountDepth } from "../../agent/dataplane/kernel.ts";
import { type BpfProgram, loadNative, splitRecords } from "../../agent/dataplane/native.ts";
import { NetnsScan } from "../../agent/dataplane/netns-scan.ts";
import type { WantPod } from "../../agent/dataplane/want.ts";
import { systemClock } from "../../agent/model/clock.ts";
import type { Lab } from "../lab/lab.ts";
import type { PodHandle } from "../lab/pod-handle.ts";
import { identityOf } from "./population.ts";

export class Enforcement {
  readonly dataplane: Dataplane;
  readonly #kernel: Kernel;
  readonly #pinPath: string;
  readonly #connect4: BpfProgram;
  #attached = false;
  /** Verdict events that the ring buffer brought. */
  events = 0;

  /** `name`: of the pin directory. */
  constructor(lab: Lab, name: string) {
    const native = loadNative();
    this.#pinPath = join(lab.names.pinDir, name);
    this.#kernel = new Kernel(native, {
      pinPath: this.#pinPath,
      cgroupRoot: lab.cgroupRoot,
      cgroupLevel: mountDepth(native, lab.cgroupRoot),
      nodeNetnsCookie: native.netnsCookie(),
      eventsPerSecond: 10,
    });
    this.#connect4 = this.#kernel.program("connect4");
    this.dataplane = new Dataplane(this.#kernel.maps, systemClock);
    this.#kernel.readEvents(
      (batch) => {
        for (const record of splitRecords(batch)) if (decodeEvent(record) !== undefined) this.events += 1;
      },
      (error) => {
        throw error;
      },
    );
  }

  attach(): void {
    if (!this.#attached) {
      this.#kernel.attachSockops();
      this.#kernel.attach();
    }
    this.#attached = true;
  }

  detach(): void {
    if (!this.#attached) return;
    for (const name of linkNames) {
      const pin = linkPin(this.#pinPath, name);
      const link = loadNative().BpfLink.open(pin);
      link.detach();
      link.close();
      unlinkSync(pin);
    }
    this.#attached = false;
  }

  /** Runs of connect4 so far and the time they took, while the kernel's statistics are on. */
  runs(): { readonly count: bigint; readonly ns: bigint } {
    const { runCount, runTimeNs } = this.#connect4.info();
    return { count: runCount, ns: runTimeNs };
  }

  close(): void {
    this.detach();
    this.#kernel.close();
  }
}

/** A running pod of the lab as the agent would register it. */
export function realPod(lab: Lab, pod: PodHandle, annotations: Readonly<Record<string, string>>): WantPod {
  const native = loadNative();
  const cgroupId = native.cgroupId(pod.cgroup);
  const scan = new NetnsScan(native, lab.cgroupRoot);
  try {
    const tasks = scan.read().filter(({ child, grandchild }) => [child, grandchild].includes(cgroupId));
    const identity = identityOf({
      id: pod.uid,
      name: pod.name,
      namespace: pod.namespace,
      annotations: new Map(Object.entries(annotations)),
    });
    const netnsCookies = [...new Set(tasks.map(({ cookie }) => cookie))];
    return { identity, cgroupIds: [cgroupId], netnsCookies, addresses: [pod.ipv4, pod.ipv6] };
  } finally {
    scan.close();
  }
}
