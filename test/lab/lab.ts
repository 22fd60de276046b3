/** A cluster in a box: node, API server and controllers, started and stopped as one. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AddressPool, SERVICE_CIDRS } from "./addresses.ts";
import { type AgentOptions, agentObjects, READY_LINE } from "./agent.ts";
import { ApiClient, isStatus } from "./api-client.ts";
import { type ApiServer, startApiServer } from "./apiserver/server.ts";
import { removeDeadLabs, removeLeftovers } from "./cleanup.ts";
import { Controllers } from "./controllers.ts";
import type { KubeObject, Pod } from "./kube-objects.ts";
import type { Kubelet } from "./kubelet.ts";
import { claim, liveOwner } from "./lock.ts";
import { checkMachine, furnish } from "./machine.ts";
import { applyObjects, objectPath, parseManifests, readManifests } from "./manifests.ts";
import { type CgroupDriver, type LabNames, labNames } from "./names.ts";
import { inNetns } from "./node.ts";
import { listenInNode, type NodeListener } from "./node-listener.ts";
import { kubepodsRoot } from "./pod-cgroup.ts";
import { findPod, PodHandle } from "./pod-handle.ts";
import { readLog, runToRead } from "./pod-logs.ts";
import { readRecord } from "./pod-record.ts";
import { isSettled, podState } from "./settled.ts";
import { type Patience, until } from "./until.ts";

export interface LabOptions {
  /** A whole lab name or what follows `podgate-lab-`; labs of different names run side by side. */
  readonly name?: string;
  readonly driver?: CgroupDriver;
  /** What it does now, for people who wait. */
  readonly progress?: (line: string) => void;
  /** What went wrong in a controller, which tries again. */
  readonly failed?: (what: string, error: unknown) => void;
  /** This process runs nothing else, so `down` may end it. */
  readonly daemon?: boolean;
  /** For the next `up` to compare: see `Owner`. */
  readonly flags?: readonly string[];
}

const CRDS = fileURLToPath(new URL("../../charts/podgate/crds", import.meta.url));

/** Removes what an earlier lab of the name left. Throws, leaving nothing, if the lab cannot start or still runs elsewhere. */
export async function startLab(options: LabOptions = {}): Promise<Lab> {
  const names = labNames(options.name);
  await checkMachine();
  const owner = liveOwner(names);
  if (owner !== undefined) throw new Error(`start lab ${names.name}: process ${owner.pid} runs it already`);
  await removeLeftovers(names);
  await removeDeadLabs();
  // Its kubeconfig, logs and pins are for root alone.
  mkdirSync(names.runDir, { mode: 0o700 });
  const lab = new Lab(names, options);
  try {
    claim(names, { daemon: options.daemon ?? false, flags: options.flags ?? [] });
    await lab.start();
    return lab;
  } catch (error) {
    await lab.stop();
    throw error;
  }
}

export class Lab {
  readonly names: LabNames;
  readonly driver: CgroupDriver;
  readonly #options: LabOptions;
  readonly #progress: (line: string) => void;
  readonly #failures: string[] = [];
  #api: ApiServer | undefined;
  #client: ApiClient | undefined;
  #listener: NodeListener | undefined;
  #controllers: Controllers | undefined;
  #stopping: Promise<void> | undefined;

  constructor(names: LabNames, options: LabOptions) {
    this.names = names;
    this.driver = options.driver ?? "systemd";
    this.#options = options;
    this.#progress = options.progress ?? (() => {});
  }

  get api(): ApiServer {
    return present(this.#api);
  }

  get client(): ApiClient {
    return present(this.#client);
  }

  get kubelet(): Kubelet {
    return present(this.#controllers).kubelet;
  }

  get kubeconfigPath(): string {
    return this.names.kubeconfig;
  }

  /** The directory that holds the pods' cgroups. */
  get cgroupRoot(): string {
    return join(this.names.cgroup, kubepodsRoot(this.driver));
  }

  /** The command line that runs `argv` in the node's network namespace. */
  inNode(argv: readonly string[]): string[] {
    return inNetns(this.names.nodeNetns, argv);
  }

  /** Called once, by `startLab`. */
  async start(): Promise<void> {
    this.#progress("making the node's network, cgroups and pin directory");
    await furnish(this.names, this.driver);
    this.#progress("starting the API server");
    this.#api = await startApiServer({
      serviceCidrs: SERVICE_CIDRS,
      logs: (namespace, pod, container, request) => this.#log(namespace, pod, container, request),
    });
    this.#listener = await listenInNode(this.names.nodeNetns, Number(new URL(this.#api.url).port));
    writeFileSync(this.names.kubeconfig, this.#api.kubeconfig(), { mode: 0o600 });
    this.#client = new ApiClient(this.#api.url);
    if (existsSync(CRDS)) await this.apply(readManifests([CRDS]));
    this.#progress("starting the kubelet and the Service controllers");
    this.#controllers = new Controllers({
      names: this.names,
      driver: this.driver,
      addresses: new AddressPool(),
      client: this.#client,
      failed: (what, error) => this.#fail(what, error),
    });
    await this.#controllers.start();
    const { daemon = false, flags = [] } = this.#options;
    claim(this.names, { daemon, flags, url: this.#api.url });
  }

  /** Creates or updates objects, or those of a YAML text. Does not wait for what comes of them: see `settled`. */
  async apply(objects: string | readonly KubeObject[]): Promise<void> {
    await applyObjects(this.client, typeof objects === "string" ? parseManifests(objects) : objects);
  }

  /** Deletes an object as kubectl would and waits until it is gone. */
  async delete(object: KubeObject, options: { gracePeriodSeconds?: number } = {}): Promise<void> {
    const { path } = await objectPath(this.client, object);
    await this.client.delete(path, options);
    await until(`${object.kind} ${object.metadata.name} to be gone`, () =>
      this.client.get(path).then(
        () => false,
        (error: unknown) => isStatus(error, 404) || Promise.reject(error),
      ),
    );
  }

  /** Deletes a pod and waits until nothing of it is left. */
  async deletePod(
    namespace: string,
    name: string,
    options: { gracePeriodSeconds?: number } = {},
  ): Promise<void> {
    await this.delete({ apiVersion: "v1", kind: "Pod", metadata: { name, namespace } }, options);
    await until(
      `pod ${namespace}/${name} to end`,
      () => readRecord(this.names, namespace, name) === undefined,
    );
  }

  /** Every pod is ready or has ended, and Services lead to those that are ready. */
  async settled(patience: Patience = {}): Promise<void> {
    const { store } = this.api;
    const detail = () =>
      `: ${store.list("pods").map(podState).join("; ")}${this.#failures.map((text) => `; ${text}`).join("")}`;
    await until(
      "pods and Services to settle",
      () => isSettled(store, present(this.#controllers)),
      patience,
      detail,
    );
  }

  /** The probe's first value that is neither undefined nor false. */
  waitFor<T>(
    what: string,
    probe: () => T | undefined | false | Promise<T | undefined | false>,
    patience: Patience = {},
  ): Promise<T> {
    return until(what, probe, patience);
  }

  /** Throws, naming the pods there are, if it does not run. */
  pod(namespace: string, name: string): PodHandle {
    return findPod(this.names, namespace, name);
  }

  /** Runs a pod before the API server has its object. `pod.metadata.uid` must be set. */
  async runUnannounced(pod: Pod): Promise<PodHandle> {
    const worker = this.kubelet.runUnannounced(pod);
    const handle = () => {
      const record = worker.record();
      return record.containers.length > 0 && new PodHandle(record);
    };
    return until(`pod ${pod.metadata.name} to run`, handle);
  }

  /** Everything a container wrote in its newest run; "" if it has not run. */
  async log(namespace: string, pod: string, container?: string): Promise<string> {
    const request = {
      follow: false,
      previous: false,
      timestamps: false,
      signal: new AbortController().signal,
    };
    const name = container ?? this.#podObject(namespace, pod)?.spec.containers[0]?.name ?? "";
    let text = "";
    for await (const piece of this.#log(namespace, pod, name, request) ?? []) text += piece;
    return text;
  }

  /** Starts the agent on the node and waits until its log says that it is ready. Returns its pod's name. */
  async startAgent(options: AgentOptions = {}, patience: Patience = {}): Promise<string> {
    const [namespace, pod] = agentObjects(this.names, this.driver, options);
    await this.apply([namespace, pod]);
    const { name } = pod.metadata;
    const log = () => this.log(namespace.metadata.name, name);
    try {
      const ready = async () => (options.readyLine ?? READY_LINE).test(await log());
      await until("the agent to be ready", ready, { timeoutMs: 30_000, intervalMs: 20, ...patience });
    } catch (error) {
      throw new Error(`start the agent: it is not ready; it wrote:\n${(await log()).slice(-4000)}`, {
        cause: error,
      });
    }
    return name;
  }

  /** Leaves nothing behind. Safe to call twice. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    await this.#controllers?.stop();
    this.#client?.close();
    await this.#listener?.close();
    await this.#api?.close();
    await removeLeftovers(this.names);
  }

  #fail(what: string, error: unknown): void {
    if (this.#stopping !== undefined) return;
    this.#failures.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    this.#options.failed?.(what, error);
  }

  #podObject(namespace: string, name: string): Pod | undefined {
    return this.api.store.find("pods", namespace, name) as Pod | undefined;
  }

  #log(
    namespace: string,
    pod: string,
    container: string,
    request: Parameters<typeof readLog>[1] & { readonly previous: boolean },
  ): AsyncIterable<string> | undefined {
    const uid = this.#podObject(namespace, pod)?.metadata.uid ?? "";
    const directory = join(this.names.logDir, uid, container);
    const run = runToRead(directory, request.previous);
    if (run === undefined) return undefined;
    return readLog(join(directory, `${run}.log`), request, () => {
      return runToRead(directory, false) === run && this.kubelet.isRunning(uid, container);
    });
  }
}

function present<T>(part: T | undefined): T {
  if (part === undefined) throw new Error("use the lab: it has not started");
  return part;
}
