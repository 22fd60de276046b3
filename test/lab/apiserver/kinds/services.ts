/** Services: defaulted, checked, and given the addresses and node ports they need. */
import { arrayOr, type JsonObject, objectOr, stringOr } from "../json.ts";
import type { KubeObject } from "../object.ts";
import { releaseAll, takeAll } from "../service-addresses.ts";
import { type Cause, invalid, invalidValue, required } from "../status.ts";
import type { Store } from "../store.ts";
import type { KindRules } from "./rules.ts";
import { allocateClusterIps, allocateNodePorts } from "./service-allocation.ts";

export const serviceRules: KindRules = {
  create(object, store) {
    const spec = withDefaults(objectOr(object.spec));
    object.spec = allocated(object, spec, undefined, store);
    object.status = { loadBalancer: {}, ...objectOr(object.status) };
  },
  update(next, current, store) {
    const before = objectOr(current.spec);
    const spec = withDefaults(withKeptValues(objectOr(next.spec), before));
    next.spec = allocated(next, spec, before, store);
  },
  // What an object holds is taken when it is stored, so that a refused or dry write takes nothing.
  committed(object, store) {
    takeAll(store.serviceAddresses, object);
  },
  removed(object, store) {
    releaseAll(store.serviceAddresses, object);
  },
};

function allocated(
  object: KubeObject,
  spec: JsonObject,
  before: JsonObject | undefined,
  store: Store,
): JsonObject {
  const causes = check(spec);
  const ips = causes.length > 0 ? {} : allocateClusterIps(store.serviceAddresses, spec, before, causes);
  const ports = causes.length > 0 ? [] : allocateNodePorts(store.serviceAddresses, spec, before, causes);
  if (causes.length > 0) throw invalid({ group: "", kind: "Service", name: object.metadata.name }, causes);
  return { ...spec, ...ips, ...(ports.length === 0 ? {} : { ports }) };
}

function withDefaults(spec: JsonObject): JsonObject {
  const type = stringOr(spec.type) || "ClusterIP";
  const ports = arrayOr(spec.ports).map((entry) => {
    const port = objectOr(entry);
    return { protocol: "TCP", ...port, targetPort: port.targetPort || port.port };
  });
  return {
    sessionAffinity: "None",
    ...(type === "ExternalName" ? {} : { internalTrafficPolicy: "Cluster" }),
    ...(isExternal(type) ? { externalTrafficPolicy: "Cluster" } : {}),
    ...(type === "LoadBalancer" ? { allocateLoadBalancerNodePorts: true } : {}),
    ...spec,
    type,
    ...(ports.length === 0 ? {} : { ports }),
  };
}

function isExternal(type: unknown): boolean {
  return type === "NodePort" || type === "LoadBalancer";
}

/** A writer that leaves out what the server allocated does not mean to give it up. */
function withKeptValues(spec: JsonObject, before: JsonObject): JsonObject {
  const type = spec.type ?? "ClusterIP";
  const kept: JsonObject = {};
  if (type !== "ExternalName" && before.type !== "ExternalName") {
    for (const field of ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]) {
      if (spec[field] === undefined && before[field] !== undefined) kept[field] = before[field];
    }
    // Changing one of the two forms alone must not be contradicted by what is kept of the other.
    if (spec.clusterIP !== undefined && spec.clusterIPs === undefined) delete kept.clusterIPs;
  }
  if (!isExternal(type)) return { ...spec, ...kept };
  const ports = arrayOr(spec.ports).map((entry) => {
    const port = objectOr(entry);
    const same = arrayOr(before.ports).find(
      (old) => objectOr(old).port === port.port && (port.protocol ?? "TCP") === objectOr(old).protocol,
    );
    const nodePort = port.nodePort ?? objectOr(same).nodePort;
    return nodePort === undefined ? port : { ...port, nodePort };
  });
  return { ...spec, ...kept, ports };
}

function check(spec: JsonObject): Cause[] {
  const { type, clusterIP } = spec;
  const types = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];
  if (!types.includes(String(type))) {
    return [invalidValue("spec.type", type, `supported values: ${types.join(", ")}`)];
  }
  if (type === "ExternalName") return spec.externalName ? [] : [required("spec.externalName")];
  const ports = arrayOr(spec.ports).map(objectOr);
  if (ports.length === 0) return clusterIP === "None" ? [] : [required("spec.ports")];
  const seen = new Set<string>();
  return ports.flatMap((port, index) => portCauses(port, `spec.ports[${index}]`, ports.length > 1, seen));
}

function portCauses(port: JsonObject, path: string, needsName: boolean, seen: Set<string>): Cause[] {
  const causes: Cause[] = [];
  const { name, port: number, protocol } = port;
  if (needsName && !name) causes.push(required(`${path}.name`));
  if (!Number.isInteger(number) || Number(number) < 1 || Number(number) > 65535) {
    causes.push(invalidValue(`${path}.port`, number ?? 0, "must be between 1 and 65535, inclusive"));
  }
  for (const [field, id] of [
    ["name", `name ${name}`],
    ["port", `${protocol} ${number}`],
  ] as const) {
    if (field === "name" && !name) continue;
    if (seen.has(id))
      causes.push({
        reason: "FieldValueDuplicate",
        field: `${path}.${field}`,
        message: `Duplicate value: ${JSON.stringify(port[field])}`,
      });
    seen.add(id);
  }
  return causes;
}
