/** Which addresses a Service answers on, and which backends answer there: what the ruleset is made of. */
import type { EndpointSlice, Service, ServicePort } from "./kube-objects.ts";

export type Family = "ipv4" | "ipv6";

export interface Backend {
  readonly address: string;
  readonly port: number;
}

/** One port of one Service in one family. */
export interface Frontend {
  readonly family: Family;
  readonly protocol: "tcp" | "udp";
  readonly addresses: readonly string[];
  readonly port: number;
  /** 0: none. */
  readonly nodePort: number;
  /** Ready ones; empty if there are none. */
  readonly backends: readonly Backend[];
}

export function frontends(services: readonly Service[], slices: readonly EndpointSlice[]): Frontend[] {
  const byService = Map.groupBy(slices, (slice) => {
    return `${slice.metadata.namespace}/${slice.metadata.labels?.["kubernetes.io/service-name"] ?? ""}`;
  });
  return services.filter(isRouted).flatMap((service) => {
    const own = byService.get(`${service.metadata.namespace}/${service.metadata.name}`) ?? [];
    return (service.spec.ports ?? []).flatMap((port) =>
      (["ipv4", "ipv6"] as const).flatMap((family) => frontend(service, port, family, own)),
    );
  });
}

/** A headless or ExternalName Service has no address of its own. */
function isRouted({ spec }: Service): boolean {
  return (
    spec.type !== "ExternalName" && spec.clusterIP !== undefined && !["", "None"].includes(spec.clusterIP)
  );
}

function frontend(
  service: Service,
  port: ServicePort,
  family: Family,
  slices: readonly EndpointSlice[],
): Frontend[] {
  const protocol = (port.protocol ?? "TCP").toLowerCase();
  if (protocol !== "tcp" && protocol !== "udp") return [];
  const addresses = serviceAddresses(service).filter((address) => familyOf(address) === family);
  const answersOnNode = service.spec.type === "NodePort" || service.spec.type === "LoadBalancer";
  const hasFamily = (service.spec.clusterIPs ?? [service.spec.clusterIP ?? ""]).some(
    (ip) => familyOf(ip) === family,
  );
  const nodePort = answersOnNode && hasFamily ? (port.nodePort ?? 0) : 0;
  if (addresses.length === 0 && nodePort === 0) return [];
  return [
    { family, protocol, addresses, port: port.port, nodePort, backends: backends(port, family, slices) },
  ];
}

function serviceAddresses({ spec, status }: Service): string[] {
  const balancer = (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => (ip === undefined ? [] : [ip]));
  return [...(spec.clusterIPs ?? [spec.clusterIP ?? ""]), ...(spec.externalIPs ?? []), ...balancer];
}

/** A slice's port is matched by name, as kube-proxy does: the name is the Service port's. */
function backends(port: ServicePort, family: Family, slices: readonly EndpointSlice[]): Backend[] {
  const found = slices
    .filter((slice) => slice.addressType === (family === "ipv4" ? "IPv4" : "IPv6"))
    .flatMap((slice) => {
      const named = slice.ports?.find(
        ({ name = "", protocol = "TCP" }) =>
          name === (port.name ?? "") && protocol === (port.protocol ?? "TCP"),
      );
      if (named?.port === undefined) return [];
      const number = named.port;
      const ready = (slice.endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false);
      return ready.flatMap(({ addresses }) => addresses.map((address) => ({ address, port: number })));
    });
  return [...new Map(found.map((backend) => [`${backend.address} ${backend.port}`, backend])).values()];
}

function familyOf(address: string): Family {
  return address.includes(":") ? "ipv6" : "ipv4";
}
