/** The lab's controllers, all fed by the same mirrors of the API server. */
import type { ApiClient } from "./api-client.ts";
import { Coalesced } from "./coalesced.ts";
import { syncEndpointSlices } from "./endpointslices.ts";
import { writeHosts } from "./hosts.ts";
import type { EndpointSlice, KubeObject, Pod, Service } from "./kube-objects.ts";
import { Kubelet } from "./kubelet.ts";
import { assignLoadBalancers } from "./load-balancers.ts";
import { Mirror } from "./mirror.ts";
import type { SandboxHost } from "./sandbox.ts";
import { schedule } from "./scheduler.ts";
import { ServiceProxy } from "./services.ts";
import { until } from "./until.ts";

export interface ControllersSetting extends Omit<SandboxHost, "services"> {
  readonly client: ApiClient;
  readonly failed: (what: string, error: unknown) => void;
}

export class Controllers {
  readonly kubelet: Kubelet;
  readonly #setting: ControllersSetting;
  readonly #pods: Mirror<Pod>;
  readonly #services: Mirror<Service>;
  readonly #slices: Mirror<EndpointSlice>;
  readonly #proxy: ServiceProxy;
  readonly #jobs: readonly Coalesced[];
  #lastFailure = "nothing failed";

  constructor(setting: ControllersSetting) {
    const { client, names } = setting;
    this.#setting = setting;
    this.#proxy = new ServiceProxy(names);
    const podJob = this.#job("run pods", () => this.#runPods());
    const sliceJob = this.#job("keep EndpointSlices", () => this.#keepSlices());
    const proxyJob = this.#job("route Services", () => this.#routeServices());
    const balancerJob = this.#job("assign load balancers", () =>
      assignLoadBalancers(client, this.#services.all()),
    );
    this.#jobs = [podJob, sliceJob, proxyJob, balancerJob];
    const changes =
      (...jobs: Coalesced[]) =>
      () => {
        for (const job of jobs) job.trigger();
      };
    this.#pods = new Mirror(client, "/api/v1/pods", changes(podJob, sliceJob));
    this.#services = new Mirror(client, "/api/v1/services", changes(sliceJob, proxyJob, balancerJob));
    this.#slices = new Mirror(
      client,
      "/apis/discovery.k8s.io/v1/endpointslices",
      changes(sliceJob, proxyJob),
    );
    this.kubelet = new Kubelet({
      ...setting,
      pods: () => this.#pods,
      services: () => this.#services.all(),
    });
  }

  async start(): Promise<void> {
    await this.kubelet.register();
    await Promise.all([this.#pods.start(), this.#services.start(), this.#slices.start()]);
    await until(
      "the controllers to begin",
      () => this.isIdle,
      {},
      () => `: ${this.#lastFailure}`,
    );
  }

  /** Every job has done what its mirrors show. */
  get isIdle(): boolean {
    return this.#jobs.every((job) => job.isIdle);
  }

  /** Whether the mirrors show exactly these objects. */
  hasSeen(
    pods: readonly KubeObject[],
    services: readonly KubeObject[],
    slices: readonly KubeObject[],
  ): boolean {
    return (
      isMirrored(this.#pods, pods) && isMirrored(this.#services, services) && isMirrored(this.#slices, slices)
    );
  }

  async stop(): Promise<void> {
    await Promise.all([this.#pods, this.#services, this.#slices].map((mirror) => mirror.stop()));
    await Promise.all(this.#jobs.map((job) => job.stop()));
    await this.kubelet.stop();
  }

  async #runPods(): Promise<void> {
    await schedule(this.#setting.client, this.#pods.all());
    this.kubelet.sync();
  }

  #keepSlices(): Promise<void> {
    return syncEndpointSlices(
      this.#setting.client,
      this.#services.all(),
      this.#pods.all(),
      this.#slices.all(),
    );
  }

  async #routeServices(): Promise<void> {
    writeHosts(this.#setting.names, this.#services.all());
    await this.#proxy.sync(this.#services.all(), this.#slices.all());
  }

  #job(what: string, job: () => Promise<void>): Coalesced {
    return new Coalesced(job, (error) => {
      this.#lastFailure = `${what}: ${error instanceof Error ? error.message : String(error)}`;
      this.#setting.failed(what, error);
    });
  }
}

function isMirrored(mirror: Mirror<KubeObject>, objects: readonly KubeObject[]): boolean {
  const mirrored = mirror.all();
  return (
    mirrored.length === objects.length &&
    objects.every(({ metadata }) => {
      const seen = mirror.get(metadata.namespace ?? "", metadata.name);
      return seen?.metadata.resourceVersion === metadata.resourceVersion;
    })
  );
}
