/** Reads and checks the configuration of `terminate-tls`. What carries it out is the proxy. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { CLIENT_CHECKS, PrivateKey, TLS_VERSIONS, type TlsSettings, type TlsVersion } from "../model/tls.ts";
import { childPath } from "./json-path.ts";
import type { PolicyAction, Template } from "./policy.ts";
import type { Reading } from "./reading.ts";
import { type Fields, kindOf } from "./report.ts";
import { parseText, type TypedTemplate } from "./template.ts";

const UNREADABLE_CONFIG = "ERR_NGROK_2203";
const INVALID_CONFIG = "ERR_NGROK_2204";
/** It is mostly a file's name, as other programs take it. */
const NO_KEY = "it is no private key in PEM: write its text (-----BEGIN PRIVATE KEY-----), not a file's name";
const NO_CERTIFICATE =
  "it is no certificate in PEM: write its text (-----BEGIN CERTIFICATE-----), not a file's name";

/** What the policy depends on, in `reads`: whoever has no proxy cannot carry it out. */
export const TERMINATE_TLS = "terminate-tls";

type Action = Extract<PolicyAction, { type: "terminate-tls" }>;

const DEFAULT_VERSIONS = { min_version: "1.2", max_version: "1.3" } as const;
const VERIFY = "require-and-verify";
/** Each connection costs a signature, and reading them, of the thread that serves every pod. */
const MOST_KEY_BITS = 4096;
const LONGEST_CHAIN = 65_536;
const LONGEST_AUTHORITY = 8192;
const MOST_AUTHORITIES = 32;
const KEYS = [
  "min_version",
  "max_version",
  "server_private_key",
  "server_certificate",
  "mutual_tls_certificate_authorities",
  "mutual_tls_verification_strategy",
] as const;

/** Of an action with faults what is left of it: nobody will run it. */
export function parseTerminateTls(config: unknown, path: string, reading: Reading): PolicyAction {
  const { report } = reading;
  reading.spend(1, new Set([TERMINATE_TLS]));
  const fields =
    (config === undefined
      ? {}
      : report.object(UNREADABLE_CONFIG, path, config, "an object, or leave `config` out")) ?? {};
  report.unknownKeys(UNREADABLE_CONFIG, path, fields, KEYS);
  const versions = readVersions(fields, path, reading);
  const pair = readPair(fields, path, reading);
  const authorities = readAuthorities(
    fields.mutual_tls_certificate_authorities,
    childPath(path, "mutual_tls_certificate_authorities"),
    reading,
  );
  const clients = readStrategy(fields, authorities.length > 0, path, reading);
  reading.surroundings.setResult("terminate_tls");
  const action: Action = { type: "terminate-tls", ...versions, clients, authorities, ...(pair && { pair }) };
  return withSettings(action);
}

/** Where all of it is constant: once for all connections. */
function withSettings(action: Action): Action {
  const { pair, authorities } = action;
  if (pair === undefined) return action;
  const texts = [pair.certificate, pair.key, ...authorities].flatMap(({ constant }) => constant ?? []);
  if (texts.length < authorities.length + 2) return action;
  const [certificate = "", key = "", ...others] = texts.map(({ value }) => String(value));
  const settings = tlsSettings(action, certificate, key, others);
  return settings instanceof Error ? action : { ...action, settings };
}

/** The action with its texts evaluated. Error: they are not what they should be; it does not repeat them. */
export function tlsSettings(
  { minVersion, maxVersion, clients }: Action,
  certificate: string,
  key: string,
  authorities: readonly string[],
): TlsSettings | Error {
  const fault =
    pairFault(certificate, key)?.message ??
    (authorities.every(isCertificate) ? undefined : "an authority is no certificate in PEM");
  if (fault !== undefined) return new Error(fault);
  return { minVersion, maxVersion, certificate, key: new PrivateKey(key), authorities, clients };
}

function readVersions(
  fields: Fields,
  path: string,
  { report }: Reading,
): Pick<Action, "minVersion" | "maxVersion"> {
  const [least, most] = (["min_version", "max_version"] as const).map((key): TlsVersion | undefined => {
    const version = fields[key] ?? DEFAULT_VERSIONS[key];
    const known = TLS_VERSIONS.find((each) => each === String(version));
    if (typeof version === "string" && known !== undefined) return known;
    const why =
      known === undefined
        ? `it is none of ${TLS_VERSIONS.join(", ")}`
        : `it is ${kindOf(version)}: write "${version}" in quotes`;
    report.error(INVALID_CONFIG, childPath(path, key), why);
    return undefined;
  });
  if (least !== undefined && most !== undefined && least > most) {
    const message = "it is above max_version, so no version is left: lower it";
    report.error(INVALID_CONFIG, childPath(path, "min_version"), message);
  }
  return {
    minVersion: least ?? DEFAULT_VERSIONS.min_version,
    maxVersion: most ?? DEFAULT_VERSIONS.max_version,
  };
}

function readStrategy(
  fields: Fields,
  hasAuthorities: boolean,
  path: string,
  { report }: Reading,
): Action["clients"] {
  const written = fields.mutual_tls_verification_strategy;
  if (written === undefined && !hasAuthorities) return "ignore";
  const strategy = CLIENT_CHECKS.find((each) => each === (written ?? VERIFY));
  const strategyPath = childPath(path, "mutual_tls_verification_strategy");
  if (strategy === undefined) {
    const message = `it is none of ${CLIENT_CHECKS.join(", ")}: write one or remove it`;
    report.error(INVALID_CONFIG, strategyPath, message);
  } else if (strategy === VERIFY && fields.mutual_tls_certificate_authorities === undefined) {
    const message = "nobody can be verified without an authority: write mutual_tls_certificate_authorities";
    report.error(INVALID_CONFIG, strategyPath, message);
  }
  return strategy ?? VERIFY;
}

/** Messages never quote what is in the fields: one of them is a private key. */
function readPair(fields: Fields, path: string, reading: Reading): Action["pair"] {
  const { report } = reading;
  const [keyPath, certificatePath] = [
    childPath(path, "server_private_key"),
    childPath(path, "server_certificate"),
  ];
  const key = readText(fields.server_private_key, keyPath, reading);
  const certificate = readText(fields.server_certificate, certificatePath, reading);
  const [hasKey, hasCertificate] = [fields.server_private_key, fields.server_certificate].map(
    (value) => value !== undefined,
  );
  if (hasKey !== hasCertificate) {
    const message = "it is missing: a key and its certificate go together";
    report.error(INVALID_CONFIG, hasKey ? certificatePath : keyPath, message);
    return undefined;
  }
  if (key === undefined || certificate === undefined) return undefined;
  if (key.constant === undefined || certificate.constant === undefined) return { key, certificate };
  const fault = pairFault(String(certificate.constant.value), String(key.constant.value));
  if (fault?.key === true) {
    report.error(INVALID_CONFIG, keyPath, NO_KEY);
  }
  if (fault?.certificate === true) {
    report.error(INVALID_CONFIG, certificatePath, NO_CERTIFICATE);
  }
  if (fault?.isLong === true) {
    report.error(INVALID_CONFIG, keyPath, `it is over ${MOST_KEY_BITS} bits: use a shorter one`);
  } else if (fault !== undefined && fault.key !== true && fault.certificate !== true) {
    const message = "it is not of server_private_key: write the certificate that was made for that key";
    report.error(INVALID_CONFIG, certificatePath, message);
  }
  return { key, certificate };
}

interface PairFault {
  readonly message: string;
  readonly key?: boolean;
  readonly certificate?: boolean;
  readonly isLong?: boolean;
}

/** Does not repeat what it was given. */
function pairFault(certificate: string, key: string): PairFault | undefined {
  const privateKey = key.length > LONGEST_CHAIN ? undefined : attempt(() => createPrivateKey(key));
  const leaf =
    certificate.length > LONGEST_CHAIN ? undefined : attempt(() => new X509Certificate(certificate));
  if ((privateKey?.asymmetricKeyDetails?.modulusLength ?? 0) > MOST_KEY_BITS)
    return { message: `the key is over ${MOST_KEY_BITS} bits: use a shorter one`, isLong: true };
  if (privateKey === undefined) {
    return { message: "the key is no private key in PEM", key: true, certificate: leaf === undefined };
  }
  if (leaf === undefined) return { message: "the certificate is none in PEM", certificate: true };
  return belongs(leaf, privateKey) ? undefined : { message: "the certificate is not of the key" };
}

function readAuthorities(value: unknown, path: string, reading: Reading): readonly Template[] {
  if (value === undefined) return [];
  const { report } = reading;
  const items = report.list(UNREADABLE_CONFIG, path, value, "a list of certificates in PEM") ?? [];
  if (Array.isArray(value) && items.length === 0) {
    report.error(INVALID_CONFIG, path, "it is empty, so nobody can be verified: write one or remove it");
  }
  if (items.length > MOST_AUTHORITIES) {
    const message = `it has ${items.length} certificates: write at most ${MOST_AUTHORITIES}`;
    report.error(INVALID_CONFIG, path, message);
    return [];
  }
  return items.flatMap((item, index) => readAuthority(item, childPath(path, index), reading) ?? []);
}

function readAuthority(item: unknown, path: string, reading: Reading): Template | undefined {
  const template = item === undefined ? undefined : readText(item, path, reading);
  if (template?.constant === undefined || isCertificate(String(item))) return template;
  const known = typeof item === "string" && item.startsWith("ca_");
  const message = known
    ? "an id names a certificate in ngrok's cloud, which nothing here asks: write the certificate itself in PEM"
    : String(item).length > LONGEST_AUTHORITY
      ? `it has ${String(item).length} characters: write one certificate of at most ${LONGEST_AUTHORITY}`
      : NO_CERTIFICATE;
  reading.report.error(INVALID_CONFIG, path, message);
  return undefined;
}

function isCertificate(pem: string): boolean {
  return pem.length <= LONGEST_AUTHORITY && attempt(() => new X509Certificate(pem)) !== undefined;
}

function readText(value: unknown, path: string, reading: Reading): TypedTemplate | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "string") return parseText(value, path, reading);
  reading.report.error(INVALID_CONFIG, path, `it is ${kindOf(value)}: write it in PEM`);
  return undefined;
}

function belongs(certificate: X509Certificate, key: KeyObject): boolean {
  return attempt(() => certificate.checkPrivateKey(key)) === true;
}

function attempt<T>(operation: () => T): T | undefined {
  try {
    return operation();
  } catch {
    return undefined;
  }
}
