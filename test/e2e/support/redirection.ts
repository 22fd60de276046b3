/** The kernel's half of the proxy without the proxy: real pods, and guards whose every verdict is given. */
import { join } from "node:path";
import { AgentState } from "../../../agent/dataplane/agent-state.ts";
import { Dataplane } from "../../../agent/dataplane/dataplane.ts";
import { decodeEvent, type KernelEvent } from "../../../agent/dataplane/event.ts";
import { Kernel, mountDepth } from "../../../agent/dataplane/kernel.ts";
import { ListenerTable } from "../../../agent/dataplane/listener-table.ts";
import { loadNative, splitRecords } from "../../../agent/dataplane/native.ts";
import { decodeRedirect, type Redirect, RedirectTable } from "../../../agent/dataplane/redirect-table.ts";
import { readEntries } from "../../../agent/dataplane/table.ts";
import type { WantPod } from "../../../agent/dataplane/want.ts";
import { systemClock } from "../../../agent/model/clock.ts";
import type { Verdict } from "../../../agent/model/verdict.ts";
import { realPod } from "../../bench/enforcement.ts";
import type { Lab } from "../../lab/lab.ts";
import type { PodHandle } from "../../lab/pod-handle.ts";

/** `address port` -> what every caller is told there. */
export type Verdicts = Readonly<Record<string, Verdict>>;

export const TIMEOUT_MS = 5000;

export interface RedirectionOptions {
  /** `node` is in the node's namespace: its cookie is the one that has no listener. */
  readonly pods: { readonly known: readonly PodHandle[]; readonly node: PodHandle };
  readonly verdicts: Verdicts;
  /** How many connects of one namespace may wait for the proxy. */
  readonly waiting?: number;
}

export class Redirection {
  readonly kernel: Kernel;
  readonly table: RedirectTable;
  readonly listeners: ListenerTable;
  readonly nodeCookie: bigint;
  readonly events: KernelEvent[] = [];
  readonly #pods: ReadonlyMap<string, WantPod>;
  readonly #dataplane: Dataplane;
  readonly #verdicts: Verdicts;

  /** Attaches nothing yet. */
  constructor(lab: Lab, { pods, verdicts, waiting }: RedirectionOptions) {
    const native = loadNative();
    this.nodeCookie = realPod(lab, pods.node, {}).netnsCookies[0] ?? 0n;
    this.kernel = new Kernel(native, {
      pinPath: join(lab.names.pinDir, "redirect"),
      cgroupRoot: lab.cgroupRoot,
      cgroupLevel: mountDepth(native, lab.cgroupRoot),
      nodeNetnsCookie: this.nodeCookie,
      eventsPerSecond: 1000,
    });
    this.listeners = new ListenerTable(this.kernel.maps, waiting);
    this.table = new RedirectTable(this.kernel.maps, (cookie) => this.listeners.take(cookie));
    this.#dataplane = new Dataplane(this.kernel.maps, systemClock);
    this.#pods = new Map(pods.known.map((pod) => [pod.uid, realPod(lab, pod, {})]));
    this.#verdicts = verdicts;
    this.kernel.readEvents(
      (batch) => this.events.push(...splitRecords(batch).flatMap((record) => decodeEvent(record) ?? [])),
      (error) => {
        throw error;
      },
    );
  }

  async enforce(): Promise<void> {
    await this.#dataplane.apply({
      nodeAddresses: [],
      pods: [...this.#pods.values()],
      guards: Object.entries(this.#verdicts).map(([at, verdict]) => {
        const [address = "", port] = at.split(" ");
        return {
          key: at,
          destinations: [{ address, port: Number(port) }],
          nodePorts: [],
          scope: "namespace",
          decide: () => verdict,
        };
      }),
    });
    this.kernel.attachSockops();
    this.kernel.attach();
  }

  cookie(pod: PodHandle): bigint {
    return this.#pods.get(pod.uid)?.netnsCookies[0] ?? 0n;
  }

  /** All that wait for the proxy, and all forwarded ones that are open. */
  entries(): readonly Redirect[] {
    const { redirects, forwarded_sockets } = this.kernel.maps;
    const entries = [...readEntries(redirects), ...readEntries(forwarded_sockets)];
    return entries.flatMap(({ value }) => decodeRedirect(value) ?? []);
  }

  uid(number: number): string | undefined {
    return this.#dataplane.podUid(number);
  }

  /** The agent was alive `ago` ms ago. `cgroup`: whose connects are not judged. */
  beat({ ago = 0, cgroup = 0n }: { readonly ago?: number; readonly cgroup?: bigint } = {}): void {
    const now = () => loadNative().bootTime() - BigInt(ago) * 1_000_000n;
    new AgentState(this.kernel.maps.agent_state, { cgroup, timeoutMs: TIMEOUT_MS }, now).beat();
  }

  close(): void {
    this.kernel.close();
  }
}
