/** Where a connection goes, as a person writes it: a Service, a pod or an address, at a port. */
import { tcpPorts } from "../guard/services.ts";
import { type IpAddress, isIpv4, parseAddress } from "../model/address.ts";
import { nameKey, type Service } from "../model/objects.ts";
import type { World } from "./world.ts";

export interface Place {
  /** As it was written. */
  readonly text: string;
  readonly address: IpAddress;
  readonly port: number;
}

export type Family = 4 | 6;

/**
 * `service.namespace[:port]`, `namespace/pod:port` or `address:port`; a Service's port may be its name, and need not be
 * written where there is one only. `family`: which address to dial, where there are several.
 */
export function findPlace(world: World, text: string, family: Family = 4): Place | Error {
  const { host, port } = splitPort(text);
  const address = parseAddress(host);
  const found =
    address !== undefined
      ? numbered(port, (number) => ({ address, port: number }))
      : host.includes("/")
        ? podPlace(world, host, port, family)
        : servicePlace(world, host, port, family);
  if (found instanceof Error) return new Error(`dial ${text}: ${found.message}`, { cause: found });
  return { text, ...found };
}

type Found = { readonly address: IpAddress; readonly port: number } | Error;

function servicePlace(world: World, host: string, port: string | undefined, family: Family): Found {
  const [name = "", namespace = "", ...rest] = host.split(".");
  if (name === "" || namespace === "" || !["", "svc", "svc.cluster.local"].includes(rest.join("."))) {
    return new Error("write service.namespace:port, namespace/pod:port or address:port");
  }
  const { services } = world.guardSet.routes;
  const key = `${namespace}/${name}`;
  const service = services.get(key);
  if (service === undefined) return new Error(`there is no Service ${key}`);
  const number = servicePort(service, port);
  if (number instanceof Error) return number;
  const door = services.doorsOf(key).find((each) => each.port === number);
  const front = preferred(service.clusterIps, family);
  if (front !== undefined) return { address: front, port: number };
  // Headless: its name leads to the pods themselves.
  const backends = door?.backends.filter(({ verified }) => verified) ?? [];
  const backend = preferred(
    backends.map(({ address }) => address),
    family,
  );
  const target = backends.find(({ address }) => address === backend);
  return (
    target ?? new Error(`Service ${key} has no address: it is headless without pods, or an ExternalName`)
  );
}

function servicePort(service: Service, port: string | undefined): number | Error {
  const ports = tcpPorts(service);
  const offered = ports.map((each) => (each.name === "" ? `${each.port}` : `${each.port} (${each.name})`));
  const [only, another] = ports;
  if (port === undefined) {
    if (only !== undefined && another === undefined) return only.port;
    return new Error(`write a port of Service ${nameKey(service)}: ${offered.join(", ") || "it has none"}`);
  }
  const found = ports.find((each) => `${each.port}` === port || (each.name === port && port !== ""));
  if (found !== undefined) return found.port;
  return new Error(
    `Service ${nameKey(service)} has no TCP port ${port}: it has ${offered.join(", ") || "none"}`,
  );
}

function podPlace(world: World, key: string, port: string | undefined, family: Family): Found {
  const pod = world.snapshot.localPods.find((each) => nameKey(each) === key);
  if (pod === undefined) return new Error(`there is no pod ${key}${asService(world, key)}`);
  const address = preferred(pod.ips, family);
  if (address === undefined) return new Error(`pod ${key} has no address yet`);
  return numbered(port, (number) => ({ address, port: number }));
}

/** A Service written as a pod is. */
function asService({ guardSet }: World, key: string): string {
  const service = guardSet.routes.services.get(key);
  return service === undefined ? "" : `: write the Service as ${service.name}.${service.namespace}`;
}

function numbered(port: string | undefined, found: (port: number) => Found): Found {
  const number = Number(port);
  if (port === undefined) return new Error("write the port too, as :8080");
  if (!/^\d{1,5}$/.test(port) || number < 1 || number > 65535) {
    return new Error(`\`${port}\` is no port from 1 to 65535`);
  }
  return found(number);
}

function preferred(addresses: readonly IpAddress[], family: Family): IpAddress | undefined {
  return addresses.find((address) => isIpv4(address) === (family === 4)) ?? addresses[0];
}

function splitPort(text: string): { host: string; port: string | undefined } {
  if (parseAddress(text) !== undefined) return { host: text, port: undefined };
  const [, host = "", port] = /^(.*?)(?::([^:\]]*))?$/.exec(text) ?? [];
  return { host: host.replace(/^\[(.*)\]$/, "$1"), port };
}
