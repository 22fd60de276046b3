/** `kubectl get services` and `kubectl get endpointslices`. */
import { arrayOr, at, objectOr, stringOr } from "../json.ts";
import type { KubeObject } from "../object.ts";
import { ageColumn, type Column, column, nameColumn, wide } from "./column.ts";

export const serviceColumns: readonly Column[] = [
  nameColumn,
  column("Type", (service) => at(service, "spec.type")),
  column("Cluster-IP", (service) => stringOr(at(service, "spec.clusterIP")) || "<none>"),
  column("External-IP", externalIp),
  column("Port(s)", ports),
  ageColumn,
  wide("Selector", selector),
];

function externalIp(service: KubeObject): string {
  const type = at(service, "spec.type");
  if (type === "ExternalName") return stringOr(at(service, "spec.externalName"));
  const given = arrayOr(at(service, "status.loadBalancer.ingress")).map(
    (ingress) => stringOr(objectOr(ingress).ip) || stringOr(objectOr(ingress).hostname),
  );
  const all = [
    ...(type === "LoadBalancer" ? given : []),
    ...arrayOr(at(service, "spec.externalIPs")).map(String),
  ];
  return all.length > 0 ? all.join(",") : type === "LoadBalancer" ? "<pending>" : "<none>";
}

function ports(service: KubeObject): string {
  const texts = arrayOr(at(service, "spec.ports")).map((entry) => {
    const { port, nodePort, protocol } = objectOr(entry);
    return nodePort ? `${port}:${nodePort}/${protocol}` : `${port}/${protocol}`;
  });
  return texts.join(",") || "<none>";
}

function selector(service: KubeObject): string {
  const pairs = Object.entries(objectOr(at(service, "spec.selector"))).map(
    ([key, value]) => `${key}=${value}`,
  );
  return pairs.sort().join(",") || "<none>";
}

export const endpointSliceColumns: readonly Column[] = [
  nameColumn,
  column("AddressType", (slice) => slice.addressType),
  column("Ports", (slice) =>
    shortened(
      arrayOr(slice.ports).map((port) => objectOr(port).port ?? "*"),
      "<unset>",
    ),
  ),
  column("Endpoints", (slice) =>
    shortened(
      arrayOr(slice.endpoints).flatMap((endpoint) => arrayOr(objectOr(endpoint).addresses)),
      "<unset>",
    ),
  ),
  ageColumn,
];

/** The first three, and how many more. */
function shortened(values: readonly unknown[], none: string): string {
  if (values.length === 0) return none;
  const shown = values.slice(0, 3).join(",");
  return values.length > 3 ? `${shown} + ${values.length - 3} more...` : shown;
}
