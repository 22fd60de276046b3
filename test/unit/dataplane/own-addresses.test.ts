import { expect, test } from "vitest";
import { localRoutes, ownAddresses } from "../../../agent/dataplane/own-addresses.ts";

/** As Linux writes it: a bridge that is down has 203.0.113.77/24, and a range is local as a whole. */
const TRIE = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 10.1.2.3
        /32 host LOCAL
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     +-- 192.0.0.0/4 2 0 2
        |-- 198.51.100.0
           /28 host LOCAL
        |-- 203.0.113.0
           /24 link UNICAST
           /32 host LOCAL
        |-- 203.0.113.77
           /32 host LOCAL
Local:
  +-- 0.0.0.0/0 3 0 5
     |-- 203.0.113.77
        /32 host LOCAL
`;

test("an address that IPv4 delivers to the machine is its own, whatever its interface is doing", () => {
  expect(localRoutes(TRIE)).toEqual(["10.1.2.3", "127.0.0.1", "203.0.113.0", "203.0.113.77"]);
});

test("both loopback addresses are a node's own, each once", () => {
  const addresses = ownAddresses();
  expect(addresses.filter((address) => address === "127.0.0.1")).toHaveLength(1);
  expect(addresses.filter((address) => address === "::1")).toHaveLength(1);
});
