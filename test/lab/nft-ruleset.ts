/** The node's nftables ruleset: Service addresses translated to backends, and nothing let out. */
import { NODE_IPV4, NODE_IPV6 } from "./addresses.ts";
import type { Backend, Family, Frontend } from "./backends.ts";

/**
 * Text for `nft -f`, which replaces the whole table in one step. Written for nft 1.0.6: it refuses the priority
 * name `dstnat` in an output chain.
 */
export function ruleset(table: string, frontends: readonly Frontend[]): string {
  const served = frontends.map((frontend, index) => ({ ...frontend, chain: `service-${index}` }));
  return `table inet ${table} {}
delete table inet ${table}
table inet ${table} {
${served.map(backendChain).join("")}
${addressMap("ipv4", served)}
${addressMap("ipv6", served)}
${nodePortMap("ipv4", served)}
${nodePortMap("ipv6", served)}
${loopSet("ipv4", served)}
${loopSet("ipv6", served)}
  chain translate {
    ip daddr . meta l4proto . th dport vmap @addresses-ipv4
    ip6 daddr . meta l4proto . th dport vmap @addresses-ipv6
    ip6 daddr ::1 return
    fib daddr type local meta nfproto ipv4 meta l4proto . th dport vmap @node-ports-ipv4
    fib daddr type local meta nfproto ipv6 meta l4proto . th dport vmap @node-ports-ipv6
  }
  chain prerouting { type nat hook prerouting priority -100; jump translate; }
  chain output { type nat hook output priority -100; jump translate; }
  # A backend must not answer past the node: not itself, nor an address it takes for its own loopback.
  chain postrouting {
    type nat hook postrouting priority 100;
    ct status dnat ip saddr . ip daddr @loops-ipv4 snat ip to ${NODE_IPV4}
    ct status dnat ip6 saddr . ip6 daddr @loops-ipv6 snat ip6 to ${NODE_IPV6}
    ct status dnat ip saddr 127.0.0.0/8 snat ip to ${NODE_IPV4}
  }
  # A translated packet leaves by a pod's veth. One that would leave by the uplink has nowhere to go.
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject with icmpx port-unreachable
  }
  chain forward { type filter hook forward priority 0; oifname "eth0" goto refuse; }
  # Here oifname is still the route before translation.
  chain leave { type filter hook output priority 0; ct status dnat return; oifname "eth0" goto refuse; }
}
`;
}

interface Served extends Frontend {
  readonly chain: string;
}

/** With no backend nothing is translated, and the packet is refused on its way out. */
function backendChain({ chain, family, protocol, backends }: Served): string {
  if (backends.length === 0) return `  chain ${chain} { return; }\n`;
  const choices = backends.map(({ address, port }, index) => `${index} : ${address} . ${port}`).join(", ");
  const to = family === "ipv4" ? "ip" : "ip6";
  const choose = `numgen random mod ${backends.length} map { ${choices} }`;
  return `  chain ${chain} { meta l4proto ${protocol} dnat ${to} to ${choose}; }\n`;
}

function addressMap(family: Family, served: readonly Served[]): string {
  const entries = ofFamily(family, served).flatMap(({ addresses, protocol, port, chain }) =>
    addresses.map((address) => [`${address} . ${protocol} . ${port}`, chain] as const),
  );
  return `  map addresses-${family} { type ${family}_addr . inet_proto . inet_service : verdict; ${elements(entries)} }`;
}

function nodePortMap(family: Family, served: readonly Served[]): string {
  const entries = ofFamily(family, served)
    .filter(({ nodePort }) => nodePort !== 0)
    .map(({ protocol, nodePort, chain }) => [`${protocol} . ${nodePort}`, chain] as const);
  return `  map node-ports-${family} { type inet_proto . inet_service : verdict; ${elements(entries)} }`;
}

/** A key that two Services claim goes to the first: a duplicate would make nft refuse the whole table. */
function elements(entries: readonly (readonly [string, string])[]): string {
  const chains = new Map<string, string>();
  for (const [key, chain] of entries) if (!chains.has(key)) chains.set(key, chain);
  if (chains.size === 0) return "";
  return `elements = { ${[...chains].map(([key, chain]) => `${key} : goto ${chain}`).join(", ")} };`;
}

function loopSet(family: Family, served: readonly Served[]): string {
  const addresses = new Set(ofFamily(family, served).flatMap(({ backends }) => backends.map(addressOf)));
  const pairs = [...addresses].map((address) => `${address} . ${address}`).join(", ");
  const members = addresses.size === 0 ? "" : `elements = { ${pairs} };`;
  return `  set loops-${family} { type ${family}_addr . ${family}_addr; ${members} }`;
}

function ofFamily(family: Family, served: readonly Served[]): Served[] {
  return served.filter((each) => each.family === family);
}

function addressOf({ address }: Backend): string {
  return address;
}
