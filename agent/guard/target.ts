/** A Service as the target of a forward: at which port and address, or why not. */
import { addressBytes, type IpAddress, isIpv4 } from "../model/address.ts";
import type { Service, ServicePort } from "../model/objects.ts";
import type { ForwardTarget } from "../model/verdict.ts";
import type { EndpointUrl } from "../policy/url.ts";
import type { ServiceRef } from "./guard.ts";
import { isLinkLocal } from "./link-local.ts";
import { type Services, tcpPorts } from "./services.ts";

export type Target =
  /** The Service that was dialled: the connection goes where it was going. */
  | { readonly kind: "home" }
  | { readonly kind: "forward"; readonly forward: ForwardTarget }
  | { readonly kind: "refused"; readonly reason: "target-not-found" | "target-not-routable" };

/** Where a connection that was dialled at `home` goes when a policy sends it to the Service that `url` names. */
export function targetOf(url: EndpointUrl, home: readonly ServiceRef[], services: Services): Target {
  if (url.service === undefined) return { kind: "refused", reason: "target-not-routable" };
  const key = `${url.service.namespace}/${url.service.name}`;
  const atHome = home.some(
    ({ service, port }) => service === key && (url.port === undefined || url.port === port),
  );
  if (atHome) return { kind: "home" };
  const service = services.get(key);
  if (service === undefined) return { kind: "refused", reason: "target-not-found" };
  const port = preferredPort(url, tcpPorts(service));
  const ipv4 = addressOf(service, isIpv4);
  const ipv6 = addressOf(service, (address) => !isIpv4(address));
  if (port === undefined || (ipv4 === undefined && ipv6 === undefined)) {
    return { kind: "refused", reason: "target-not-routable" };
  }
  return {
    kind: "forward",
    forward: { service: key, port, ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) },
  };
}

/** The url's port, else its scheme's if the Service has it, else the Service's only one. */
export function preferredPort(url: EndpointUrl, tcp: readonly ServicePort[]): number | undefined {
  const ports = tcp.map(({ port }) => port);
  const wanted = url.port ?? url.defaultPort;
  if (ports.includes(wanted)) return wanted;
  return url.port === undefined && ports.length === 1 ? ports[0] : undefined;
}

/** Headless and ExternalName Services have none. */
function addressOf(service: Service, ofFamily: (address: IpAddress) => boolean): IpAddress | undefined {
  return service.clusterIps.find((address) => ofFamily(address) && isTarget(address));
}

/**
 * Not the caller itself, nor what only its link or nobody has: whoever could send a connection there would reach, with
 * the pod's eyes, what listens for the pod alone. Of kernel and proxy alike.
 */
export function isTarget(address: IpAddress): boolean {
  const bytes = addressBytes(address);
  if (bytes === undefined) return false;
  const [a = 0, b = 0] = bytes.subarray(12);
  if (isIpv4(address)) {
    const linkLocal = a === 169 && b === 254;
    return a !== 0 && a !== 127 && !linkLocal && a < 224;
  }
  const reserved = bytes.subarray(0, 12).every((byte) => byte === 0); // ::, ::1, and IPv4 in disguise
  return bytes[0] !== 0xff && !isLinkLocal(address) && !reserved;
}
