/**
 * Which ends of connections somebody asks about, for the addon to leave out all others where it reads the kernel's table
 * (native/sieve.h). It lets all of those through and a few more, and is never larger than 32 KiB.
 */
import { randomBytes } from "node:crypto";
import { addressBytes, type IpAddress } from "../model/address.ts";

/** Without an address: any with that port. */
export interface End {
  readonly address?: IpAddress;
  readonly port: number;
}

const SEED_LENGTH = 4;
const LEAST_BYTES = 8;
const MOST_BYTES = 32 * 1024;
/** One in as many of the others gets through. */
const BITS_PER_END = 64;
const ANY_ADDRESS = new Uint8Array(16);

/** Empty, for about so many. Each call makes another: which others get through cannot be known ahead. */
export function makeSieve(ends: number): Uint8Array {
  const wanted = 2 ** Math.ceil(Math.log2((ends * BITS_PER_END) / 8));
  const sieve = new Uint8Array(SEED_LENGTH + Math.min(Math.max(wanted, LEAST_BYTES), MOST_BYTES));
  sieve.set(randomBytes(SEED_LENGTH));
  return sieve;
}

/** fe80::/10 is one address here, as it is to the kernel's programs: fe80::. */
export function addToSieve(sieve: Uint8Array, { address, port }: End): void {
  const bytes = address === undefined ? ANY_ADDRESS : addressBytes(address);
  if (bytes === undefined) throw new RangeError(`add ${address} to a sieve: it is no address`);
  const seed = new DataView(sieve.buffer, sieve.byteOffset).getUint32(0, true);
  const bit = hash(seed, bytes, port) & ((sieve.length - SEED_LENGTH) * 8 - 1);
  const at = SEED_LENGTH + (bit >>> 3);
  sieve[at] = (sieve[at] ?? 0) | (1 << (bit & 7));
}

function hash(seed: number, address: Uint8Array, port: number): number {
  let value = 2166136261 ^ seed;
  for (const byte of address) value = Math.imul(value ^ byte, 16777619);
  value = Math.imul(value ^ (port >>> 8), 16777619);
  value = Math.imul(value ^ (port & 0xff), 16777619);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return value ^ (value >>> 16);
}
