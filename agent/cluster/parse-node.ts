/** Nodes: the addresses at which node ports answer. */
import { addressBytes, formatAddress, type IpAddress, parseAddress } from "../model/address.ts";
import type { Node } from "../model/objects.ts";
import { type Fields, field, listField, type Report, text } from "./fields.ts";
import type { Metadata } from "./metadata.ts";
import { addresses } from "./parse-addresses.ts";

export function parseNode(object: Fields, metadata: Metadata, report: Report): Node {
  const list = listField(field(object, "status"), "addresses", "status", report);
  const found = list.flatMap((entry, index) => {
    const type = field(entry, "type");
    if (type !== "InternalIP" && type !== "ExternalIP") return []; // host names lead to the same addresses
    return [{ value: field(entry, "address"), path: `status.addresses[${index}].address` }];
  });
  const all = [
    ...addresses(found, report),
    ...podRanges(object).flatMap(ownOf),
    ...TUNNELS.flatMap((key) => addressOf(field(metadata.annotations, key))),
  ];
  return { name: metadata.name, addresses: [...new Set(all)] };
}

/** Where network plugins announce the addresses of their tunnels' ends on the node. */
const TUNNELS = [
  "projectcalico.org/IPv4IPIPTunnelAddr",
  "projectcalico.org/IPv4VXLANTunnelAddr",
  "projectcalico.org/IPv6VXLANTunnelAddr",
  "projectcalico.org/IPv4WireguardInterfaceAddr",
  "projectcalico.org/IPv6WireguardInterfaceAddr",
  "network.cilium.io/ipv4-cilium-host",
  "network.cilium.io/ipv6-cilium-host",
];

function podRanges(object: Fields): readonly string[] {
  const spec = field(object, "spec");
  const list = field(spec, "podCIDRs");
  return [field(spec, "podCIDR"), ...(Array.isArray(list) ? list : [])].flatMap((range) => text(range) ?? []);
}

/**
 * The addresses of a node's pod range that are commonly the node's own, and in no status: the bridge's is the second,
 * flannel's end of the tunnel the first. Pods of other nodes reach node ports there too.
 */
function ownOf(range: string): IpAddress[] {
  const [address = "", prefix = ""] = range.split("/");
  const bytes = addressBytes(address);
  const hostBits = (address.includes(":") ? 128 : 32) - Number(prefix);
  const last = bytes?.[15];
  if (bytes === undefined || last === undefined || !(hostBits >= 1)) return [];
  return [formatAddress(bytes), formatAddress(Uint8Array.from([...bytes.subarray(0, 15), last | 1]))];
}

function addressOf(value: unknown): IpAddress[] {
  const address = parseAddress(text(value)?.split("/")[0] ?? "");
  return address === undefined ? [] : [address];
}
