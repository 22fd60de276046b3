/** Services for tests that bring no cluster: those that the tests dial and the objects name, each at the ports named. */
import { field, isRecord, text } from "../cluster/fields.ts";
import type { Snapshot } from "../cluster/snapshot.ts";
import type { IpAddress } from "../model/address.ts";
import { type Endpoint, nameKey, type Service } from "../model/objects.ts";
import { type EndpointUrl, parseEndpointUrl, parseForwardUrl, parseUpstreamUrl } from "../policy/url.ts";

/** A snapshot with what is missing of them. `dialled`: destinations as tests write them. */
export function withImaginedServices(snapshot: Snapshot, dialled: readonly string[]): Snapshot {
  const ports = new Map<string, Set<number>>();
  const name = (key: string, port: number | undefined) => {
    const known = ports.get(key) ?? new Set<number>();
    ports.set(key, known);
    if (port !== undefined && port > 0 && port < 65536) known.add(port);
  };
  for (const { key, port } of dialled.flatMap(serviceIn)) name(key, port);
  for (const endpoint of snapshot.endpoints) for (const { key, port } of urlsOf(endpoint)) name(key, port);
  for (const { namespace, targets } of snapshot.connectionPolicies) {
    for (const { service } of targets) name(`${namespace}/${service}`, undefined);
  }
  const sources = [...snapshot.endpoints, ...snapshot.connectionPolicies].map(({ policy }) => policy);
  const texts = sources.flatMap((source) => (source.kind === "inline" ? [source.value] : []));
  for (const value of [...texts, ...snapshot.trafficPolicies.map((each) => each.value)]) {
    for (const { key, port } of forwardsIn(value)) name(key, port);
  }
  const known = new Set(snapshot.services.map(nameKey));
  const imagined = [...ports]
    .filter(([key]) => !known.has(key))
    .map(([key, all], index) => service(key, all, index));
  return { ...snapshot, services: [...snapshot.services, ...imagined] };
}

interface Named {
  readonly key: string;
  readonly port: number | undefined;
}

function serviceIn(destination: string): readonly Named[] {
  const [, name, namespace, port] =
    /^([-\w]+)\.([-\w]+)(?:\.svc(?:\.cluster\.local)?)?(?::(\d+))?$/.exec(destination) ?? [];
  if (name === undefined || /^\d+$/.test(name)) return [];
  return [{ key: `${namespace}/${name}`, port: port === undefined ? undefined : Number(port) }];
}

function urlsOf({ url, bindings, upstreamUrl }: Endpoint): readonly Named[] {
  const own = bindings.includes("kubernetes") ? [parseEndpointUrl(url)] : [];
  const upstream = upstreamUrl === undefined ? [] : [parseUpstreamUrl(upstreamUrl)];
  return [...own, ...upstream].flatMap((each) => namedBy(each, true));
}

/** A url without a port leaves it to the Service, unless it is an endpoint's own or its upstream's. */
function namedBy(url: EndpointUrl | Error, withDefault: boolean): readonly Named[] {
  if (url instanceof Error || url.service === undefined) return [];
  return [{ key: nameKey(url.service), port: url.port ?? (withDefault ? url.defaultPort : undefined) }];
}

/** As the policy writes them; those with `${...}` name nothing yet. */
function forwardsIn(value: unknown): readonly Named[] {
  const rules = field(value, "on_tcp_connect");
  const actions = (Array.isArray(rules) ? rules : []).flatMap((rule: unknown) => {
    const list = field(rule, "actions");
    return Array.isArray(list) ? (list as readonly unknown[]) : [];
  });
  return actions.flatMap((action) => {
    const url = isRecord(action) ? text(field(field(action, "config"), "url")) : undefined;
    return url === undefined || url.includes("${") ? [] : namedBy(parseForwardUrl(url), false);
  });
}

/** 80 where nothing says which. */
function service(key: string, ports: ReadonlySet<number>, index: number): Service {
  const [namespace = "", name = ""] = key.split("/");
  return {
    uid: `Service/${key}`,
    namespace,
    name,
    type: "ClusterIP",
    clusterIps: [addressOf(index)],
    externalIps: [],
    loadBalancerIps: [],
    ports: [...(ports.size > 0 ? ports : [80])].map((port) => ({
      name: ports.size > 1 ? `p${port}` : "",
      protocol: "TCP",
      port,
      nodePort: 0,
    })),
    created: 0,
  };
}

/** Addresses for benchmarks (RFC 2544) that files/ gives to nobody. */
function addressOf(index: number): IpAddress {
  return `198.19.${128 + ((index >> 8) & 127)}.${index & 255}`;
}
