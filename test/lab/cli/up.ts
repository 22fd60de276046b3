/** `up`: starts a lab in the background, or finds it running, and puts manifests into it. */
import { AGENT_NAMESPACE } from "../agent.ts";
import { ApiClient } from "../api-client.ts";
import { leftovers } from "../cleanup.ts";
import { type EndpointSlice, keyOf, type Pod, type Service } from "../kube-objects.ts";
import { liveOwner } from "../lock.ts";
import { applyObjects, readManifests } from "../manifests.ts";
import { type LabNames, labNames } from "../names.ts";
import { isStable, podState } from "../settled.ts";
import { until } from "../until.ts";
import { counted } from "./counted.ts";
import { type DaemonOptions, startDaemon, startFlags } from "./daemon.ts";

export async function up(paths: readonly string[], options: DaemonOptions): Promise<void> {
  const names = labNames(options.name);
  // Before anything is started: a file that cannot be read should cost nothing.
  const objects = readManifests(paths);
  const client = new ApiClient(await runningLab(names, options));
  try {
    if (objects.length > 0) progress(`applying ${counted(objects.length, "object")}`);
    await applyObjects(client, objects);
    const pods = await readyPods(client);
    const services = await servedServices(client);
    console.log(summary(names, pods, services));
  } finally {
    client.close();
  }
}

/** The URL of the lab's API server. */
async function runningLab(names: LabNames, options: DaemonOptions): Promise<string> {
  const owner = liveOwner(names);
  if (owner?.url !== undefined) {
    const late = startFlags(options).filter((flag) => !owner.flags?.includes(flag));
    if (late.length > 0) {
      throw new Error(
        `${names.name} runs already, without ${late.join(" ")}: end it with \`down\` to start it so`,
      );
    }
    progress(`${names.name} runs already`);
    return owner.url;
  }
  if (owner === undefined && leftovers(names).length > 0)
    progress(`removing what an earlier ${names.name} left behind`);
  return startDaemon(options, progress);
}

async function readyPods(client: ApiClient): Promise<Pod[]> {
  let pods: Pod[] = [];
  let reported = -1;
  const detail = () =>
    `:\n${pods
      .filter((pod) => !isStable(pod))
      .map((pod) => `  ${podState(pod)}`)
      .join("\n")}`;
  const ready = async () => {
    pods = await list<Pod>(client, "/api/v1/pods");
    const count = pods.filter(isStable).length;
    if (count !== reported) progress(`${count} of ${pods.length} pods ready`);
    reported = count;
    return count === pods.length;
  };
  await until("all pods to be ready", ready, { timeoutMs: 60_000, intervalMs: 50 }, detail);
  return pods;
}

async function list<T>(client: ApiClient, path: string): Promise<T[]> {
  return ((await client.json(path)) as { items: T[] }).items;
}

/** Those that lead somewhere. */
async function servedServices(client: ApiClient): Promise<Service[]> {
  const slices = await list<EndpointSlice>(client, "/apis/discovery.k8s.io/v1/endpointslices");
  const served = new Set(
    slices
      .filter(({ endpoints = [] }) => endpoints.length > 0)
      .map(({ metadata }) => `${metadata.namespace}/${metadata.labels?.["kubernetes.io/service-name"]}`),
  );
  const services = await list<Service>(client, "/api/v1/services");
  return services.filter((service) => served.has(keyOf(service)) && service.spec.ports?.[0] !== undefined);
}

/** The KUBECONFIG line and three commands to try, with names that exist. */
function summary(names: LabNames, pods: readonly Pod[], services: readonly Service[]): string {
  const own = pods.filter(({ metadata }) => metadata.namespace !== AGENT_NAMESPACE);
  const agent = pods.find(({ metadata }) => metadata.namespace === AGENT_NAMESPACE);
  const callers = own.filter(({ spec, status }) => status?.phase === "Running" && !spec.hostNetwork);
  // Somebody else's Service says more than one's own.
  const service = services.find(({ metadata }) => metadata.name !== "kubernetes");
  const elsewhere = callers.filter(({ metadata }) => metadata.namespace !== service?.metadata.namespace);
  const caller = elsewhere.at(-1) ?? callers.at(-1);
  const lab = names.name === "podgate-lab" ? "npm run lab --" : `npm run lab -- --name ${names.name}`;
  const dial = service === undefined ? "true" : `curl -sS -m 5 http://${serviceHost(service)}`;
  const commands = [
    ...(caller === undefined ? ["kubectl get pods -A -o wide"] : [`${lab} exec ${keyOf(caller)} -- ${dial}`]),
    agent === undefined
      ? "kubectl get services,endpointslices -A"
      : `kubectl logs -n ${AGENT_NAMESPACE} ${agent.metadata.name} -f`,
    `${lab} down`,
  ];
  return [
    "",
    `${names.name} runs ${counted(pods.length - (agent ? 1 : 0), "pod")}${agent ? " and the agent" : " and no agent"}. Point kubectl at it:`,
    "",
    `  export KUBECONFIG=${names.kubeconfig}`,
    "",
    "Try:",
    ...commands.map((command) => `  ${command}`),
  ].join("\n");
}

function serviceHost({ metadata, spec }: Service): string {
  const port = spec.ports?.[0]?.port ?? 80;
  return `${metadata.name}.${metadata.namespace}${port === 80 ? "" : `:${port}`}`;
}

function progress(line: string): void {
  console.log(`- ${line}`);
}
