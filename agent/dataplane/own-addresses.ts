/** Every address at which this node answers: node ports and hostNetwork pods are reached at each of them. */
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { type IpAddress, parseAddress } from "../model/address.ts";

/** Both are always the node's. The kernel takes `::` for 127.0.0.1 on a socket bound to an IPv4 address, even without IPv6. */
const LOOPBACK: readonly IpAddress[] = ["127.0.0.1", "::1"];

/** In the network namespace of the process. Ranges routed to the node as a whole (`ip route add local 198.51.100.0/28`) are not in it. */
export function ownAddresses(): IpAddress[] {
  const interfaces = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const found = interfaces.flatMap(({ address }) => parseAddress(address) ?? []);
  return [...new Set([...LOOPBACK, ...found, ...localRoutes(readTrie())])];
}

/**
 * The addresses that IPv4 delivers to this machine, of a /proc/net/fib_trie. An interface that is down keeps its
 * IPv4 addresses, they answer, and getifaddrs' readers leave them out. (Its IPv6 addresses are gone.)
 */
export function localRoutes(trie: string): IpAddress[] {
  const leaves = trie.matchAll(/^ *\|-- ([\d.]+)\n(?: +\/\d+ .*\n)*? +\/32 host LOCAL$/gm);
  return [...new Set(Array.from(leaves, ([, address = ""]) => address))];
}

/** "" where the kernel was built without it. */
function readTrie(): string {
  try {
    return readFileSync("/proc/net/fib_trie", "utf8");
  } catch {
    return "";
  }
}
