/** Address ranges in CIDR notation. A range holds addresses of its own family only: `::/0` holds no IPv4 address. */
import { addressBytes, type IpAddress, isIpv4, parseAddress } from "./address.ts";

export interface Cidr {
  /** As written. */
  readonly text: string;
  readonly ipv4: boolean;
  /** 16 bytes, IPv4 as ::ffff:a.b.c.d. Bits behind the prefix are as written and mean nothing. */
  readonly bytes: Uint8Array;
  /** Of the 128 bits. */
  readonly prefix: number;
}

/** The range that `text` names (`192.0.2.0/24`, `2001:db8::/32`), or undefined. A lone address is not a range. */
export function parseCidr(text: string): Cidr | undefined {
  const parts = /^([^/]{1,64})\/(0|[1-9]\d{0,2})$/.exec(text);
  const [, host = "", bits = ""] = parts ?? [];
  const bytes = addressBytes(host);
  const address = parseAddress(host);
  if (bytes === undefined || address === undefined) return undefined;
  const prefix = host.includes(":") ? Number(bits) : Number(bits) + 96;
  if (prefix > 128) return undefined;
  // ::ffff:192.0.2.0/120 is a range of IPv4 addresses; a shorter prefix holds more than those and is of IPv6.
  return { text, ipv4: isIpv4(address) && prefix >= 96, bytes, prefix };
}

/** `address` is canonical, as everywhere. */
export function cidrContains(range: Cidr, address: IpAddress): boolean {
  if (isIpv4(address) !== range.ipv4) return false;
  const bytes = addressBytes(address);
  if (bytes === undefined) return false;
  const whole = range.prefix >> 3;
  for (let i = 0; i < whole; i++) if (bytes[i] !== range.bytes[i]) return false;
  const mask = (0xff00 >> (range.prefix & 7)) & 0xff;
  return mask === 0 || ((bytes[whole] ?? 0) & mask) === ((range.bytes[whole] ?? 0) & mask);
}
