/**
 * What a policy reads of an X.509 certificate: taken from its bytes and not from anybody's text of it, in which one name
 * could be made to look like two.
 */
import { X509Certificate } from "node:crypto";
import { formatAddress } from "../model/address.ts";
import { BOOLEAN, type Element, elementsOf, OBJECT_ID, objectId, SEQUENCE, textOf } from "./der.ts";

/** Words of the language, each for an attribute of a name; a name has one `common_name` and lists of the others. */
const ATTRIBUTES: ReadonlyMap<string, string> = new Map([
  ["2.5.4.3", "common_name"],
  ["2.5.4.6", "country"],
  ["2.5.4.7", "locality"],
  ["2.5.4.10", "organization"],
  ["2.5.4.11", "organizational_unit"],
  ["2.5.4.17", "postal_code"],
  ["2.5.4.8", "province"],
  ["2.5.4.9", "street_address"],
]);

/** As Go, and so ngrok, calls them. */
const SIGNATURES: ReadonlyMap<string, string> = new Map([
  ["1.2.840.113549.1.1.5", "SHA1-RSA"],
  ["1.2.840.113549.1.1.11", "SHA256-RSA"],
  ["1.2.840.113549.1.1.12", "SHA384-RSA"],
  ["1.2.840.113549.1.1.13", "SHA512-RSA"],
  ["1.2.840.10045.4.1", "ECDSA-SHA1"],
  ["1.2.840.10045.4.3.2", "ECDSA-SHA256"],
  ["1.2.840.10045.4.3.3", "ECDSA-SHA384"],
  ["1.2.840.10045.4.3.4", "ECDSA-SHA512"],
  ["1.3.101.112", "Ed25519"],
]);

const ALTERNATIVE_NAMES = "2.5.29.17";
const INTEGER = 0x02;
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;

/** The words of the language, and values of CEL. An absent certificate's. */
export const NO_CERTIFICATE = {
  issuer: noName(),
  subject: noName(),
  san: { dns_names: [], email_addresses: [], ip_addresses: [], uris: [] },
  serial_number: "",
  signature_algorithm: "",
  // No time at all would be an error to ask for; nothing has ever been valid so early.
  validity: { not_before: new Date(0), not_after: new Date(0) },
  extensions: [],
};

/** @throws Error when it is no certificate. */
export function readCertificate(der: Uint8Array): Readonly<Record<string, unknown>> {
  const [whole] = elementsOf(Buffer.from(der));
  const [signed, algorithm] = elementsOf(expect(whole, SEQUENCE));
  const parts = elementsOf(expect(signed, SEQUENCE));
  if (parts[0]?.tag === VERSION) parts.shift();
  const [serial, , issuer, , subject] = parts;
  const [list] = elementsOf(parts.find(({ tag }) => tag === EXTENSIONS)?.content ?? Buffer.alloc(0));
  const extensions = elementsOf(list?.content ?? Buffer.alloc(0)).map(extensionOf);
  const { validFromDate, validToDate } = new X509Certificate(Buffer.from(der));
  const [algorithmId] = elementsOf(expect(algorithm, SEQUENCE));
  const oid = objectId(expect(algorithmId, OBJECT_ID));
  return {
    issuer: nameOf(expect(issuer, SEQUENCE)),
    subject: nameOf(expect(subject, SEQUENCE)),
    san: alternativeNames(extensions.find(({ id }) => id === ALTERNATIVE_NAMES)?.value),
    serial_number: expect(serial, INTEGER)
      .toString("hex")
      .replace(/^0+(?=.)/, ""),
    signature_algorithm: SIGNATURES.get(oid) ?? oid,
    validity: { not_before: validFromDate, not_after: validToDate },
    extensions,
  };
}

interface Extension {
  readonly id: string;
  readonly critical: boolean;
  readonly value: Buffer;
}

function extensionOf(element: Element): Extension {
  const [id, ...rest] = elementsOf(expect(element, SEQUENCE));
  const value = rest.at(-1);
  if (value === undefined) throw new RangeError("an extension has no value");
  const [critical] = rest;
  const isCritical = critical?.tag === BOOLEAN && critical.content[0] !== 0;
  return { id: objectId(expect(id, OBJECT_ID)), critical: isCritical, value: value.content };
}

function noName(): Record<string, string | string[]> {
  const words = [...ATTRIBUTES.values()].map((word) => [word, word === "common_name" ? "" : []]);
  return Object.fromEntries(words);
}

/** Of several common names the last counts, which is the most specific. */
function nameOf(content: Buffer): Readonly<Record<string, string | string[]>> {
  const name = noName();
  for (const set of elementsOf(content)) {
    for (const attribute of elementsOf(set.content)) {
      const [type, value] = elementsOf(expect(attribute, SEQUENCE));
      const word = ATTRIBUTES.get(objectId(expect(type, OBJECT_ID)));
      if (word === undefined || value === undefined) continue;
      const list = name[word];
      if (Array.isArray(list)) list.push(textOf(value));
      else name[word] = textOf(value);
    }
  }
  return name;
}

function alternativeNames(value: Buffer | undefined): Readonly<Record<string, readonly string[]>> {
  const [list] = elementsOf(value ?? Buffer.alloc(0));
  const names = elementsOf(list?.content ?? Buffer.alloc(0));
  const texts = (kind: number) =>
    names.filter(({ tag }) => tag === kind).map(({ content }) => content.toString("latin1"));
  return {
    dns_names: texts(0x82),
    email_addresses: texts(0x81),
    ip_addresses: names.filter(({ tag }) => tag === 0x87).map(({ content }) => addressOf(content)),
    uris: texts(0x86),
  };
}

function addressOf(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length === 16) return formatAddress(bytes);
  throw new RangeError("an IP address has 4 or 16 bytes");
}

function expect(element: Element | undefined, tag: number): Buffer {
  if (element?.tag !== tag) throw new RangeError("it is no certificate");
  return element.content;
}
