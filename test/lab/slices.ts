/** The EndpointSlices a Service with a selector should have. */
import { createHash } from "node:crypto";
import type { EndpointSlice, Pod, Service, ServicePort, SliceEndpoint, SlicePort } from "./kube-objects.ts";

export const MANAGED_BY = "endpointslice-controller.k8s.io";
/** As the real controller cuts them. */
const MAX_ENDPOINTS = 100;

export function desiredSlices(services: readonly Service[], pods: readonly Pod[]): EndpointSlice[] {
  const byNamespace = Map.groupBy(pods, (pod) => pod.metadata.namespace ?? "");
  return services.flatMap((service) => {
    const selector = Object.entries(service.spec.selector ?? {});
    if (selector.length === 0 || service.spec.type === "ExternalName") return [];
    const selected = (byNamespace.get(service.metadata.namespace ?? "") ?? []).filter((pod) =>
      selector.every(([key, value]) => pod.metadata.labels?.[key] === value),
    );
    return families(service).flatMap((family) => familySlices(service, selected, family));
  });
}

type Family = "IPv4" | "IPv6";

function families({ spec }: Service): Family[] {
  if (spec.ipFamilies !== undefined && spec.ipFamilies.length > 0) return spec.ipFamilies as Family[];
  return spec.clusterIP?.includes(":") ? ["IPv6"] : ["IPv4"];
}

/** Pods whose named target port has different numbers go to different slices. */
function familySlices(service: Service, pods: readonly Pod[], family: Family): EndpointSlice[] {
  const placed = pods.flatMap((pod) => {
    const address = podAddress(pod, family);
    return address === undefined
      ? []
      : [{ endpoint: sliceEndpoint(service, pod, address), ports: slicePorts(service, pod) }];
  });
  const groups = Map.groupBy(placed, ({ ports }) => JSON.stringify(ports));
  // A Service that selects nobody has an empty slice.
  if (groups.size === 0) return [slice(service, family, [], [], 0)];
  return [...groups.values()].flatMap((members) => {
    const endpoints = members.map(({ endpoint }) => endpoint);
    const count = Math.ceil(endpoints.length / MAX_ENDPOINTS);
    return Array.from({ length: count }, (_, part) => {
      const chunk = endpoints.slice(part * MAX_ENDPOINTS, (part + 1) * MAX_ENDPOINTS);
      return slice(service, family, members[0]?.ports ?? [], chunk, part);
    });
  });
}

/** Undefined if the pod cannot be an endpoint: it has ended or has no address of the family. */
function podAddress({ status }: Pod, family: Family): string | undefined {
  if (status?.phase === "Succeeded" || status?.phase === "Failed") return undefined;
  return status?.podIPs?.map(({ ip }) => ip).find((ip) => ip.includes(":") === (family === "IPv6"));
}

function sliceEndpoint(service: Service, pod: Pod, address: string): SliceEndpoint {
  const { namespace = "", name, uid = "" } = pod.metadata;
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const serving =
    pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
  const ready = (serving && !terminating) || service.spec.publishNotReadyAddresses === true;
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    nodeName: pod.spec.nodeName ?? "",
    targetRef: { kind: "Pod", namespace, name, uid },
  };
}

function slicePorts(service: Service, pod: Pod): SlicePort[] {
  return (service.spec.ports ?? []).flatMap((port) => {
    const number = targetPort(port, pod);
    const protocol = port.protocol ?? "TCP";
    return number === undefined ? [] : [{ name: port.name ?? "", protocol, port: number }];
  });
}

/** Undefined if no container of the pod declares the name. */
function targetPort(
  { port, targetPort: target = port, protocol = "TCP" }: ServicePort,
  pod: Pod,
): number | undefined {
  if (typeof target === "number") return target === 0 ? port : target;
  const declared = pod.spec.containers.flatMap((container) => container.ports ?? []);
  return declared.find((each) => each.name === target && (each.protocol ?? "TCP") === protocol)
    ?.containerPort;
}

function slice(
  service: Service,
  addressType: Family,
  ports: SlicePort[],
  endpoints: SliceEndpoint[],
  part: number,
): EndpointSlice {
  const { namespace = "", name, uid = "" } = service.metadata;
  const hash = createHash("sha256")
    .update(JSON.stringify([uid, addressType, ports, part]))
    .digest("hex")
    .slice(0, 6);
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${name}-${hash}`,
      namespace,
      labels: { "kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": MANAGED_BY },
      ownerReferences: [
        { apiVersion: "v1", kind: "Service", name, uid, controller: true, blockOwnerDeletion: true },
      ],
    },
    addressType,
    ports,
    endpoints,
  };
}
