/**
 * What a cluster's controllers would add to applied manifests: addresses of pods, and the EndpointSlices of Services
 * with a selector. Whatever a file says itself stays as it says.
 */
import { field, isRecord, text } from "../cluster/fields.ts";
import type { Snapshot } from "../cluster/snapshot.ts";
import { type IpAddress, parseAddress } from "../model/address.ts";
import { type EndpointSlice, type LocalPod, nameKey, type Service } from "../model/objects.ts";
import type { FileCluster } from "./file-snapshot.ts";

/** The snapshot as it would be some seconds after `kubectl apply`. */
export function withControllers({ snapshot, objects }: FileCluster): Snapshot {
  const written = new Map<string, unknown>();
  for (const entry of objects) {
    if ((entry.kind === "Pod" || entry.kind === "Service") && "metadata" in entry) {
      written.set(`${entry.kind}/${nameKey(entry.metadata)}`, entry.manifest.value);
    }
  }
  const pods = withAddresses(snapshot.localPods);
  const known = new Set(snapshot.endpointSlices.map((slice) => `${slice.namespace}/${slice.serviceName}`));
  const slices = snapshot.services
    .filter((service) => !known.has(nameKey(service)))
    .flatMap((service) => slicesOf(service, pods, written));
  return {
    ...snapshot,
    pods,
    localPods: pods,
    endpointSlices: [...snapshot.endpointSlices, ...slices],
  };
}

/** The upper half of the addresses for benchmarks (RFC 2544); Services have the lower. */
function withAddresses(pods: readonly LocalPod[]): readonly LocalPod[] {
  let given = 0;
  return pods.map((pod) => {
    if (pod.ips.length > 0 || pod.hostNetwork) return pod;
    given++;
    const address = parseAddress(`198.19.${(given >> 8) & 255}.${given & 255}`);
    return address === undefined ? pod : { ...pod, ips: [address] };
  });
}

/** One for each pod: named target ports may be another number in each. */
function slicesOf(
  service: Service,
  pods: readonly LocalPod[],
  written: ReadonlyMap<string, unknown>,
): readonly EndpointSlice[] {
  const spec = field(written.get(`Service/${nameKey(service)}`), "spec");
  const selector = field(spec, "selector");
  if (!isRecord(selector) || Object.keys(selector).length === 0) return [];
  return pods
    .filter((pod) => pod.namespace === service.namespace && !pod.completed)
    .flatMap((pod) => {
      const value = written.get(`Pod/${nameKey(pod)}`);
      const labels = field(field(value, "metadata"), "labels");
      const selected = Object.entries(selector).every(([key, wanted]) => field(labels, key) === wanted);
      return selected ? [sliceOf(service, pod.name, pod.ips, targetPorts(service, spec, value))] : [];
    });
}

function sliceOf(
  { namespace, name }: Service,
  pod: string,
  addresses: readonly IpAddress[],
  ports: EndpointSlice["ports"],
): EndpointSlice {
  return { namespace, name: `${name}-${pod}`, serviceName: name, addresses, ports };
}

function targetPorts(service: Service, spec: unknown, pod: unknown): EndpointSlice["ports"] {
  const list = field(spec, "ports");
  const entries = Array.isArray(list) ? list : [];
  return service.ports.flatMap(({ name, protocol, port }) => {
    const entry = entries.find(
      (each) => field(each, "port") === port && (field(each, "name") ?? "") === name,
    );
    const target = field(entry, "targetPort") ?? port;
    const number = typeof target === "number" ? target : containerPort(pod, text(target) ?? "");
    return number === undefined ? [] : [{ name, protocol, port: number }];
  });
}

function containerPort(pod: unknown, name: string): number | undefined {
  const containers = field(field(pod, "spec"), "containers");
  for (const container of Array.isArray(containers) ? containers : []) {
    const ports = field(container, "ports");
    for (const port of Array.isArray(ports) ? ports : []) {
      const number = field(port, "containerPort");
      if (field(port, "name") === name && typeof number === "number") return number;
    }
  }
  return undefined;
}
