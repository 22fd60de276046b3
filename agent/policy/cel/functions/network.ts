/** ngrok's questions about addresses. What is no address is in no range. */
import { type IpAddress, parseAddress } from "../../../model/address.ts";
import { type Cidr, cidrContains, parseCidr } from "../../../model/cidr.ts";
import { SCALAR, type Shape, size } from "../shape.ts";
import type { List } from "../value.ts";
import { overload } from "./overload.ts";

/** RFC 1918, and nothing else: that is what ngrok documents. */
const PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].map(parseCidr) as readonly Cidr[];

/** Reading an address takes about a microsecond. */
const READING = 15;

export const NETWORK = [
  overload(
    "inCidrRange(string, string): bool",
    (ip: string, cidr: string) => inRanges(ip, [cidr]),
    (operands) => ({ work: 2 * READING + characters(operands), result: SCALAR }),
  ),
  overload("inCidrRanges(string, list<string>): bool", inRanges, ([ip = SCALAR, ranges = SCALAR]) => ({
    work: READING * (1 + ranges.length) + characters([ip, ranges]),
    result: SCALAR,
  })),
  overload(
    "string.isPrivateIp(): bool",
    (ip: string) => {
      const address = addressOf(ip);
      return address !== undefined && PRIVATE.some((range) => cidrContains(range, address));
    },
    (operands) => ({ work: READING + characters(operands), result: SCALAR }),
  ),
];

function inRanges(ip: string, ranges: List): boolean {
  const address = addressOf(ip);
  if (address === undefined) return false;
  return ranges.some((text) => {
    const range = typeof text === "string" ? parseCidr(text) : undefined;
    return range !== undefined && cidrContains(range, address);
  });
}

/** No address has more than 45 characters. */
function addressOf(ip: string): IpAddress | undefined {
  return ip.length > 45 ? undefined : parseAddress(ip);
}

function characters(operands: readonly Shape[]): number {
  return operands.map(size).reduce((a, b) => a + b, 0) / 8;
}
