/** Address ranges as `inCidrRange` and `restrict-ips` read them: IPv4 is IPv6 in ::ffff:0:0/96, bits after the prefix count for nothing. */
import { addressBytes } from "../../model/address.ts";

export interface Cidr {
  /** 16 bytes in network order. */
  readonly address: Uint8Array;
  /** Bits that must be equal, of 128. */
  readonly bits: number;
}

/** A range such as `192.0.2.1/24`; undefined if it is none. An address alone is not a range. */
export function parseCidr(text: string): Cidr | undefined {
  const [, before = "", digits = ""] = /^([^/]{2,45})\/(\d{1,3})$/.exec(text) ?? [];
  const address = addressBytes(before);
  if (address === undefined) return undefined;
  const bits = Number(digits) + (before.includes(":") ? 0 : 96);
  return bits <= 128 ? { address, bits } : undefined;
}

/** Whether `address`, 16 bytes in network order, lies in the range. */
export function contains({ address: first, bits }: Cidr, address: Uint8Array): boolean {
  const whole = bits >> 3;
  for (let index = 0; index < whole; index++) if (first[index] !== address[index]) return false;
  const mask = (0xff00 >> (bits & 7)) & 0xff;
  return (((first[whole] ?? 0) ^ (address[whole] ?? 0)) & mask) === 0;
}
