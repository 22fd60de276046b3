/** A lab with the real agent in it, and callers that dial: what the tests of documented behaviour stand on. */
import { expect, vi } from "vitest";
import { leftovers } from "../../lab/cleanup.ts";
import { must } from "../../lab/command.ts";
import type { KubeObject, Service } from "../../lab/kube-objects.ts";
import { type Lab, startLab } from "../../lab/lab.ts";
import type { PodHandle } from "../../lab/pod-handle.ts";
import type { Attempt, Attempts, Expected, Family } from "./attempt.ts";
import { type Dialled, dial, freshComm } from "./dial.ts";
import { denyAll, nameOf } from "./endpoints.ts";
import { guard, namespaces, service } from "./objects.ts";
import { type VerdictLine, verdictLines } from "./verdict-lines.ts";

/** An address of each family, and a port. */
export interface Destination extends Readonly<Record<Family, string>> {
  readonly port: number;
}

export interface Acceptance {
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
}

/** Enough for every connect of a test but a barrage: what has no line was not judged. */
const EVERY_LINE = ["--events-per-second", "200"];
const SENTINEL = "sentinel.sentinel:80";
const RESOURCES: Readonly<Record<string, string>> = {
  AgentEndpoint: "agentendpoints.ngrok.k8s.ngrok.com",
  CloudEndpoint: "cloudendpoints.ngrok.k8s.ngrok.com",
  ConnectionPolicy: "connectionpolicies.podgate.dev",
};

/** `objects`: manifests or objects that are there before the agent starts. Does not start it. */
export async function openStage(
  name: string,
  objects: readonly (string | readonly KubeObject[])[],
): Promise<Stage> {
  const lab = await startLab({ name: `${name}-${process.pid}` });
  try {
    // Never answers and denies everybody: its verdict's line says that all lines before it have been written.
    await lab.apply([
      ...namespaces("sentinel"),
      service("sentinel", "sentinel"),
      guard("sentinel", "sentinel", [denyAll]),
    ]);
    for (const some of objects) await lab.apply(some);
    await lab.settled();
    return new Stage(lab);
  } catch (error) {
    await lab.stop();
    throw error;
  }
}

export class Stage {
  readonly lab: Lab;
  #agent = "";

  constructor(lab: Lab) {
    this.lab = lab;
  }

  /** The agent's pod, in namespace podgate-system. */
  get agent(): string {
    return this.#agent;
  }

  async startAgent(...args: readonly string[]): Promise<void> {
    this.#agent = await this.lab.startAgent({ args: [...EVERY_LINE, ...args] });
  }

  /** `command`: the program and the words before its flags. */
  async startAgentAs(command: readonly string[], ...args: readonly string[]): Promise<void> {
    this.#agent = await this.lab.startAgent({ command, broker: true, args: [...EVERY_LINE, ...args] });
  }

  /** Agent and broker with so many descriptors each, and no more. */
  async startAgentWith(descriptors: number, ...args: readonly string[]): Promise<void> {
    const under = ["prlimit", `--nofile=${descriptors}:${descriptors}`];
    this.#agent = await this.lab.startAgent({ under, args: [...EVERY_LINE, ...args] });
  }

  /** Each under words before its command line: of a program that becomes it. */
  async startAgentUnder(
    under: { readonly agent: readonly string[]; readonly broker: readonly string[] },
    ...args: readonly string[]
  ): Promise<void> {
    const { agent, broker } = under;
    this.#agent = await this.lab.startAgent({
      under: agent,
      brokerUnder: broker,
      args: [...EVERY_LINE, ...args],
    });
  }

  /** Without a socket broker: what only a proxy can decide is refused. */
  async startAgentAlone(...args: readonly string[]): Promise<void> {
    this.#agent = await this.lab.startAgent({ broker: false, args: [...EVERY_LINE, ...args] });
  }

  /** Ends it as a rolling update would. */
  stopAgent(): Promise<void> {
    return this.lab.deletePod("podgate-system", this.#agent);
  }

  async restartAgent(...args: readonly string[]): Promise<void> {
    await this.stopAgent();
    await this.startAgent(...args);
  }

  pod(key: string): PodHandle {
    const { namespace, name } = nameOf(key);
    return this.lab.pod(namespace, name);
  }

  /** What cluster DNS would say of `service.namespace:port`. */
  service(at: string): Destination {
    const [, name = "", namespace, port] = /^([^.]+)\.([^:]+):(\d+)$/.exec(at) ?? [];
    const { spec } = this.lab.api.store.get("services", namespace, name) as unknown as Service;
    const find = (wanted: boolean) => spec.clusterIPs?.find((ip) => ip.includes(":") === wanted);
    const [ipv4, ipv6] = [find(false), find(true)];
    if (!ipv4 || !ipv6) throw new Error(`dial ${at}: the Service has no address of each family`);
    return { IPv4: ipv4, IPv6: ipv6, port: Number(port) };
  }

  podAt(key: string, port: number): Destination {
    const { ipv4, ipv6 } = this.pod(key);
    return { IPv4: ipv4, IPv6: ipv6, port };
  }

  /** Dials over both families. `to`: `service.namespace:port`, or where else. */
  async dial(from: string | PodHandle, to: string | Destination): Promise<Attempts> {
    const caller = typeof from === "string" ? this.pod(from) : from;
    const at = typeof to === "string" ? this.service(to) : to;
    const [ipv4, ipv6] = await Promise.all([dial(caller, at.IPv4, at.port), dial(caller, at.IPv6, at.port)]);
    const lines = await this.linesUntilNow(caller);
    return { IPv4: attempt(ipv4, caller.ipv4, lines), IPv6: attempt(ipv6, caller.ipv6, lines) };
  }

  /** Every verdict line, those of all connects before this call among them. */
  async linesUntilNow(caller: PodHandle): Promise<readonly VerdictLine[]> {
    const { IPv4, port } = this.service(SENTINEL);
    const comm = freshComm();
    const { error } = await dial(caller, IPv4, port, { comm });
    if (error !== "EPERM") throw new Error(`dial the sentinel: ${error ?? "it answered"} instead of EPERM`);
    return this.lab.waitFor("the sentinel's line", async () => {
      const lines = verdictLines(await this.log());
      return lines.some(({ process }) => process?.comm === comm) && lines;
    });
  }

  /** Every watch of pods begins again from a list, the lab's own too: whatever was sent to them, they know the truth. */
  async relistPods(): Promise<void> {
    this.lab.api.faults.compact();
    this.lab.api.faults.expireWatches({ resource: "pods" });
    await this.lab.settled();
  }

  log(): Promise<string> {
    return this.lab.log("podgate-system", this.#agent);
  }

  /** Waits until dialling comes to what is expected. */
  async until(from: string | PodHandle, to: string | Destination, expected: Expected): Promise<void> {
    const meets = async () => expect(await this.dial(from, to)).toMatchObject(expected);
    await vi.waitFor(meets, { timeout: 15_000, interval: 20 });
  }

  /** Waits until the object's `Accepted` condition is as expected. */
  async untilAccepted(kind: string, key: string, expected: Partial<Acceptance> | Expected): Promise<void> {
    const meets = () => expect(this.#accepted(kind, key)).toMatchObject(expected);
    await vi.waitFor(meets, { timeout: 25_000, interval: 50 });
  }

  #accepted(kind: string, key: string): Acceptance | undefined {
    const { namespace, name } = nameOf(key);
    const object = this.lab.api.store.find(RESOURCES[kind] ?? kind, namespace, name);
    const { conditions = [] } = (object?.status ?? {}) as { conditions?: (Acceptance & { type: string })[] };
    return conditions.find(({ type }) => type === "Accepted");
  }

  generation(kind: string, key: string): number {
    const { namespace, name } = nameOf(key);
    return this.lab.api.store.get(RESOURCES[kind] ?? kind, namespace, name).metadata.generation ?? 0;
  }

  /** The real kubectl. */
  kubectl(
    args: readonly string[],
    { env, ...options }: { input?: string; env?: Record<string, string> } = {},
  ) {
    const environment = { ...process.env, ...env, KUBECONFIG: this.lab.kubeconfigPath };
    return must(["kubectl", ...args], { ...options, env: environment });
  }

  /** Leaves nothing behind, and says so. */
  async close(): Promise<void> {
    await this.lab.stop();
    expect(leftovers(this.lab.names)).toEqual([]);
  }
}

function attempt(dialled: Dialled, own: string, lines: readonly VerdictLine[]): Attempt {
  const found = lines.find(({ process }) => process?.comm === dialled.comm);
  const line = found && { ...found, pod: found.pod ?? null };
  if (dialled.error !== undefined) return { saw: dialled.error, line };
  const [saw = "", source] = dialled.reply?.split(" ") ?? [];
  return { saw, source: source === own ? "own" : (source ?? ""), line };
}
