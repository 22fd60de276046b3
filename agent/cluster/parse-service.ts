/** Services: every address and port that leads to their backends. */
import type { Service, ServicePort } from "../model/objects.ts";
import {
  describe,
  type Fields,
  field,
  listField,
  numberField,
  type Report,
  text,
  textField,
} from "./fields.ts";
import type { Metadata } from "./metadata.ts";
import { addresses, elements } from "./parse-addresses.ts";

export function parseService(object: Fields, metadata: Metadata, report: Report): Service {
  const spec = field(object, "spec");
  const balancer = field(field(object, "status"), "loadBalancer");
  const ingress = listField(balancer, "ingress", "status.loadBalancer", report);
  return {
    uid: metadata.uid,
    namespace: metadata.namespace,
    name: metadata.name,
    type: serviceType(spec, report),
    clusterIps: clusterIps(spec, report),
    externalIps: addresses(
      elements(listField(spec, "externalIPs", "spec", report), "spec.externalIPs"),
      report,
    ),
    loadBalancerIps: addresses(
      ingress.flatMap((entry, index) => {
        const value = field(entry, "ip") ?? ""; // or a host name, which is no address of ours
        return value === "" ? [] : [{ value, path: `status.loadBalancer.ingress[${index}].ip` }];
      }),
      report,
    ),
    ports: servicePorts(spec, report),
    created: created(metadata.creationTimestamp),
  };
}

/** An unknown type is read as ClusterIP: it takes no address away from the guard. */
function serviceType(spec: unknown, report: Report): Service["type"] {
  const type = field(spec, "type") ?? "ClusterIP";
  if (type === "ClusterIP" || type === "NodePort" || type === "LoadBalancer" || type === "ExternalName") {
    return type;
  }
  report("spec.type", `is ${describe(type)}, not a type of Service`);
  return "ClusterIP";
}

function clusterIps(spec: unknown, report: Report) {
  const list = elements(listField(spec, "clusterIPs", "spec", report), "spec.clusterIPs");
  const found = [{ value: field(spec, "clusterIP") ?? "", path: "spec.clusterIP" }, ...list];
  return addresses(
    found.filter(({ value }) => value !== "" && value !== "None"),
    report,
  );
}

function servicePorts(spec: unknown, report: Report): readonly ServicePort[] {
  return listField(spec, "ports", "spec", report).flatMap((entry, index) => {
    const path = `spec.ports[${index}]`;
    const port = numberField(entry, "port", path, [1, 65535], report);
    if (port === undefined) {
      report(path, "has no port");
      return [];
    }
    return [
      {
        name: textField(entry, "name", path, report),
        protocol: textField(entry, "protocol", path, report) || "TCP",
        port,
        nodePort: numberField(entry, "nodePort", path, [0, 65535], report) ?? 0,
      },
    ];
  });
}

/** Without a date it is the youngest: nobody gets another's address by leaving it out. */
function created(timestamp: unknown): number {
  const ms = Date.parse(text(timestamp) ?? "");
  return Number.isNaN(ms) ? Number.MAX_SAFE_INTEGER : ms;
}
