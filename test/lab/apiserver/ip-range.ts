/** A range of addresses to give out: each once, and one given back not again soon. */
import { addressBytes, formatAddress, type IpAddress, isIpv4 } from "../../../agent/model/address.ts";

export class IpRange {
  readonly cidr: string;
  readonly family: "IPv4" | "IPv6";
  readonly #base: bigint;
  /** Addresses from the base on, of which the first is never given out by itself and the last never at all. */
  readonly #size: bigint;
  readonly #taken = new Set<IpAddress>();
  #cursor = 1n;

  /** Throws for text that is no CIDR. */
  constructor(cidr: string) {
    const [text = "", length = ""] = cidr.split("/");
    const bytes = addressBytes(text);
    const width = text.includes(":") ? 128 : 32;
    const prefix = Number(length);
    if (bytes === undefined || !/^\d+$/.test(length) || prefix > width - 2) {
      throw new Error(`read service range ${JSON.stringify(cidr)}: it is no CIDR such as 10.96.0.0/16`);
    }
    this.cidr = cidr;
    this.family = width === 32 ? "IPv4" : "IPv6";
    this.#size = 1n << BigInt(width - prefix);
    this.#base = toNumber(bytes) & ~(this.#size - 1n);
  }

  /** The first address that is a host's: the API server's own Service has it. */
  get first(): IpAddress {
    return toAddress(this.#base + 1n);
  }

  contains(address: IpAddress): boolean {
    const bytes = addressBytes(address);
    if (bytes === undefined || isIpv4(address) !== (this.family === "IPv4")) return false;
    const offset = toNumber(bytes) - this.#base;
    return offset > 0n && offset < this.#size - 1n;
  }

  has(address: IpAddress): boolean {
    return this.#taken.has(address);
  }

  take(address: IpAddress): void {
    this.#taken.add(address);
  }

  /** Undefined: all are taken. Takes nothing. */
  free(): IpAddress | undefined {
    for (let tried = 0n; tried < this.#size && tried < 1_000_000n; tried++) {
      this.#cursor = this.#cursor >= this.#size - 2n ? 1n : this.#cursor + 1n;
      const address = toAddress(this.#base + this.#cursor);
      if (this.contains(address) && !this.#taken.has(address)) return address;
    }
    return undefined;
  }

  giveBack(address: IpAddress): void {
    this.#taken.delete(address);
  }
}

function toNumber(bytes: Uint8Array): bigint {
  return bytes.reduce((number, byte) => (number << 8n) | BigInt(byte), 0n);
}

function toAddress(number: bigint): IpAddress {
  const bytes = Uint8Array.from({ length: 16 }, (_, index) =>
    Number((number >> BigInt(8 * (15 - index))) & 0xffn),
  );
  return formatAddress(bytes);
}
