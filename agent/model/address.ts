/**
 * IP addresses. Everywhere outside this file an address is its canonical text: dotted IPv4, or IPv6 as
 * RFC 5952 writes it; an IPv4-mapped IPv6 address is the IPv4 address. Equal addresses are equal strings.
 */

/** Canonical text of an IP address, as made by `parseAddress`. */
export type IpAddress = string;

/** The canonical form of `text`, or undefined if it is not an IP address (a zone such as `%eth0` is not part of one). */
export function parseAddress(text: string): IpAddress | undefined {
  const bytes = addressBytes(text);
  return bytes === undefined ? undefined : formatAddress(bytes);
}

export function isIpv4(address: IpAddress): boolean {
  return !address.includes(":");
}

/** Also the unspecified addresses, which connect() takes for it. */
export function isLoopback(address: IpAddress): boolean {
  return address === "::1" || address === "::" || address === "0.0.0.0" || address.startsWith("127.");
}

/** 16 bytes in network order, IPv4 as ::ffff:a.b.c.d: the form the kernel maps hold. Undefined if `text` is no address. */
export function addressBytes(text: string): Uint8Array | undefined {
  return text.includes(":") ? ipv6Bytes(text) : mappedBytes(text);
}

/** Inverse of `addressBytes`. `bytes` holds exactly 16 bytes. */
export function formatAddress(bytes: Uint8Array): IpAddress {
  if (bytes.length !== 16) throw new RangeError(`an address has 16 bytes, not ${bytes.length}`);
  if (isMapped(bytes)) return `${bytes[12]}.${bytes[13]}.${bytes[14]}.${bytes[15]}`;
  const words = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  const gap = longestZeroRun(words);
  const hex = (from: number, to: number) =>
    words
      .slice(from, to)
      .map((word) => word.toString(16))
      .join(":");
  return gap === undefined ? hex(0, 8) : `${hex(0, gap.start)}::${hex(gap.start + gap.length, 8)}`;
}

/** Every connection has several: a loop takes a tenth of what array methods would. */
function isMapped(bytes: Uint8Array): boolean {
  for (let at = 0; at < 10; at++) if (bytes[at] !== 0) return false;
  return bytes[10] === 0xff && bytes[11] === 0xff;
}

function longestZeroRun(words: readonly number[]): { start: number; length: number } | undefined {
  let best: { start: number; length: number } | undefined;
  for (let start = 0; start < words.length; start++) {
    let length = 0;
    while (words[start + length] === 0) length++;
    if (length >= 2 && length > (best?.length ?? 0)) best = { start, length };
  }
  return best;
}

function ipv4Octets(text: string): number[] | undefined {
  const parts = text.split(".");
  // No leading zeros: some parsers read them as octal, and an address must mean one thing.
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)) {
    return undefined;
  }
  return parts.map(Number);
}

function mappedBytes(text: string): Uint8Array | undefined {
  const octets = ipv4Octets(text);
  return octets && Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...octets]);
}

function ipv6Bytes(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => (half === "" ? [] : groupBytes(half)));
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  if (tail === undefined) return head.length === 16 ? Uint8Array.from(head) : undefined;
  const zeros = 16 - head.length - tail.length;
  return zeros < 2 ? undefined : Uint8Array.from([...head, ...new Array<number>(zeros).fill(0), ...tail]);
}

function groupBytes(half: string): number[] | undefined {
  const groups = half.split(":");
  const bytes: number[] = [];
  for (const [index, group] of groups.entries()) {
    const octets = index === groups.length - 1 ? ipv4Octets(group) : undefined;
    if (octets !== undefined) bytes.push(...octets);
    else if (/^[0-9a-fA-F]{1,4}$/.test(group))
      bytes.push(Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff);
    else return undefined;
  }
  return bytes.length <= 16 ? bytes : undefined;
}
