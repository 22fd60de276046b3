/** Reads DER, as far as certificates need it. Whatever is no DER is a RangeError. */

export interface Element {
  /** The first byte: class, whether it holds others, and number below 31. */
  readonly tag: number;
  readonly content: Buffer;
}

export const SEQUENCE = 0x30;
export const BOOLEAN = 0x01;
export const OBJECT_ID = 0x06;
const UTF16 = 0x1e;

/** The elements that `bytes` is made of, one behind the other. */
export function elementsOf(bytes: Buffer): Element[] {
  const elements: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes.readUInt8(at);
    const { length, start } = lengthAt(bytes, at + 1);
    if ((tag & 0x1f) === 0x1f || start + length > bytes.length) throw new RangeError("it is no DER");
    elements.push({ tag, content: bytes.subarray(start, start + length) });
    at = start + length;
  }
  return elements;
}

function lengthAt(bytes: Buffer, at: number): { readonly length: number; readonly start: number } {
  const first = bytes.readUInt8(at);
  if (first < 0x80) return { length: first, start: at + 1 };
  const size = first & 0x7f;
  if (size === 0 || size > 4) throw new RangeError("it is no DER");
  return { length: bytes.readUIntBE(at + 1, size), start: at + 1 + size };
}

/** `1.2.840.113549.1.1.11`. */
export function objectId(content: Buffer): string {
  const numbers: bigint[] = [];
  let number = 0n;
  for (const byte of content) {
    number = (number << 7n) | BigInt(byte & 0x7f);
    if (byte >= 0x80) continue;
    numbers.push(number);
    number = 0n;
  }
  const [first = 0n, ...rest] = numbers;
  const root = first < 80n ? first / 40n : 2n;
  return [root, first - root * 40n, ...rest].join(".");
}

/** Any of ASN.1's texts. */
export function textOf({ tag, content }: Element): string {
  return tag === UTF16 ? utf16(content) : content.toString(tag === 0x0c ? "utf8" : "latin1");
}

function utf16(content: Buffer): string {
  if (content.length % 2 !== 0) throw new RangeError("it is no DER");
  return Buffer.from(content).swap16().toString("utf16le");
}
