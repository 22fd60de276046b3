/** The addresses and node ports a Service gets: those it asks for, those it has, or free ones. Takes nothing. */
import { type IpAddress, parseAddress } from "../../../../agent/model/address.ts";
import { arrayOr, type JsonObject, objectOr, stringOr } from "../json.ts";
import { nodePortRange, type ServiceAddresses } from "../service-addresses.ts";
import { type Cause, invalidValue } from "../status.ts";

/** The fields of spec that say which cluster IPs the Service has. Takes nothing yet; puts failures into `causes`. */
export function allocateClusterIps(
  addresses: ServiceAddresses,
  spec: JsonObject,
  before: JsonObject | undefined,
  causes: Cause[],
): JsonObject {
  if (spec.type === "ExternalName") {
    return { clusterIP: undefined, clusterIPs: undefined, ipFamilies: undefined, ipFamilyPolicy: undefined };
  }
  const asked = askedIps(spec);
  const families = chooseFamilies(addresses, spec, asked, causes);
  const policy = spec.ipFamilyPolicy ?? (families.length > 1 ? "RequireDualStack" : "SingleStack");
  const common = { ipFamilies: families, ipFamilyPolicy: policy };
  if (asked[0] === "None") return { ...common, clusterIP: "None", clusterIPs: ["None"] };
  const own = arrayOr(before?.clusterIPs).map(String);
  checkUnchanged(own, asked, causes);
  const ips = families.map((family, index) => {
    const wanted = asked[index] ?? (own[index] === "None" ? undefined : own[index]);
    return chooseIp(addresses, family, wanted, own, `spec.clusterIPs[${index}]`, causes);
  });
  return { ...common, clusterIP: ips[0], clusterIPs: ips };
}

function askedIps(spec: JsonObject): string[] {
  const list = arrayOr(spec.clusterIPs).map(String);
  const single = stringOr(spec.clusterIP);
  return list.length > 0 ? list : single === "" ? [] : [single];
}

function checkUnchanged(own: readonly string[], asked: readonly string[], causes: Cause[]): void {
  const [first] = own;
  if (first === undefined || asked[0] === undefined || asked[0] === first) return;
  causes.push(invalidValue("spec.clusterIPs[0]", asked[0], "may not change once set"));
}

function chooseFamilies(
  addresses: ServiceAddresses,
  spec: JsonObject,
  asked: readonly string[],
  causes: Cause[],
): string[] {
  const known = addresses.ranges.map(({ family }) => family as string);
  const ofIps = asked.filter((ip) => ip !== "None").map((ip) => (ip.includes(":") ? "IPv6" : "IPv4"));
  const named = arrayOr(spec.ipFamilies).map(String);
  const first = named.length > 0 ? named : ofIps.length > 0 ? ofIps : known.slice(0, 1);
  for (const [index, family] of first.entries()) {
    if (!known.includes(family)) {
      causes.push(invalidValue(`spec.ipFamilies[${index}]`, family, "not configured on this cluster"));
    }
  }
  const policy = spec.ipFamilyPolicy;
  if (policy === "SingleStack") return first.slice(0, 1);
  if (policy === undefined) return first;
  if (policy === "RequireDualStack" && known.length < 2) {
    causes.push(
      invalidValue("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services"),
    );
  }
  return [...first, ...known.filter((family) => !first.includes(family))];
}

function chooseIp(
  addresses: ServiceAddresses,
  family: string,
  wanted: string | undefined,
  own: readonly string[],
  path: string,
  causes: Cause[],
): IpAddress | undefined {
  const range = addresses.rangeOf(family);
  if (range === undefined) return undefined;
  if (wanted === undefined) {
    const ip = range.free();
    if (ip === undefined) causes.push(invalidValue(path, family, `range ${range.cidr} is full`));
    return ip;
  }
  const ip = parseAddress(wanted);
  const fail = (why: string) => void causes.push(invalidValue(path, wanted, why));
  if (ip === undefined) fail("must be a valid IP address");
  else if (!range.contains(ip)) {
    fail(
      `failed to allocate IP ${ip}: the provided IP (${ip}) is not in the valid range. The range of valid IPs is ${range.cidr}`,
    );
  } else if (range.has(ip) && !own.includes(ip))
    fail(`failed to allocate IP ${ip}: provided IP is already allocated`);
  return ip;
}

/** The ports with the node ports that the type needs, and without those it has no use for. */
export function allocateNodePorts(
  addresses: ServiceAddresses,
  spec: JsonObject,
  before: JsonObject | undefined,
  causes: Cause[],
): JsonObject[] {
  const { type } = spec;
  const automatic =
    type === "NodePort" || (type === "LoadBalancer" && spec.allocateLoadBalancerNodePorts !== false);
  const own = arrayOr(before?.ports).map((port) => `${objectOr(port).protocol} ${objectOr(port).nodePort}`);
  const planned = new Set<number>();
  return arrayOr(spec.ports).map((entry, index) => {
    const { nodePort: asked, ...port } = objectOr(entry);
    const path = `spec.ports[${index}].nodePort`;
    if (type === "ClusterIP" || type === "ExternalName") return port;
    if (!asked && !automatic) return port;
    const nodePort = asked ? Number(asked) : addresses.freePort(port.protocol, planned);
    if (nodePort === undefined) {
      causes.push(invalidValue(path, null, "every node port is taken"));
      return port;
    }
    planned.add(nodePort);
    checkNodePort(addresses, nodePort, port.protocol, own, path, causes);
    return { ...port, nodePort };
  });
}

function checkNodePort(
  addresses: ServiceAddresses,
  port: number,
  protocol: unknown,
  own: readonly string[],
  path: string,
  causes: Cause[],
): void {
  const { first, last } = nodePortRange;
  if (!Number.isInteger(port) || port < first || port > last) {
    causes.push(
      invalidValue(
        path,
        port,
        `provided port is not in the valid range. The range of valid ports is ${first}-${last}`,
      ),
    );
  } else if (addresses.hasPort(port, protocol) && !own.includes(`${protocol} ${port}`)) {
    causes.push(invalidValue(path, port, "provided port is already allocated"));
  }
}
