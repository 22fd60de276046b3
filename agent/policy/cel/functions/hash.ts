/** Checksums and hashes of text, as hexadecimal digits or base64. */
import { createHash } from "node:crypto";
import { SCALAR } from "../shape.ts";
import { Failure } from "../value.ts";
import { overload } from "./overload.ts";
import { xxhash64 } from "./xxhash64.ts";

const crc32 = checksum(32, 0xedb88320n);
/** ISO 3309. */
const crc64 = checksum(64, 0xd800000000000000n);

const HASHES: Readonly<Record<string, (text: Buffer) => Buffer>> = {
  crc32,
  crc64,
  xxhash64,
  md5: (text) => createHash("md5").update(text).digest(),
  sha1: (text) => createHash("sha1").update(text).digest(),
  sha256: (text) => createHash("sha256").update(text).digest(),
  sha512: (text) => createHash("sha512").update(text).digest(),
};

export const HASHES_OF_TEXT = Object.entries(HASHES).flatMap(([name, hash]) => {
  const encode = (text: string, format: unknown) => {
    // Without a format the last argument is the frame.
    if (format !== "base64" && format !== "hex" && typeof format === "string") {
      return new Failure(`${name}() gives "hex" or "base64"`);
    }
    return hash(Buffer.from(text)).toString(format === "base64" ? "base64" : "hex");
  };
  const estimate = ([text = SCALAR]: readonly { length: number }[]) => ({
    // Three bytes for a character at most; measured some 100 ns a byte for the checksums, which are the slowest.
    work: 50 + 3 * text.length,
    result: { length: 128 },
  });
  return [
    overload(`hash.${name}(string): string`, encode, estimate),
    overload(`hash.${name}(string, string): string`, encode, estimate),
    overload(`string.${name}(): string`, encode, estimate),
    overload(`string.${name}(string): string`, encode, estimate),
  ];
});

/** A cyclic redundancy check whose register starts and ends inverted, lowest bit first. */
function checksum(bits: 32 | 64, polynomial: bigint): (text: Buffer) => Buffer {
  const ones = (1n << BigInt(bits)) - 1n;
  const table = Array.from({ length: 256 }, (_, byte) => {
    let register = BigInt(byte);
    for (let bit = 0; bit < 8; bit++) register = (register >> 1n) ^ (register & 1n ? polynomial : 0n);
    return register;
  });
  return (text) => {
    let register = ones;
    for (const byte of text) register = (register >> 8n) ^ (table[Number(register & 0xffn) ^ byte] ?? 0n);
    return Buffer.from((register ^ ones).toString(16).padStart(bits / 4, "0"), "hex");
  };
}
