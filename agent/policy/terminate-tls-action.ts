/** Reads and checks the configuration of `terminate-tls`. What carries it out is the proxy. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { childPath } from "./json-path.ts";
import type { PolicyAction } from "./policy.ts";
import type { Reading } from "./reading.ts";
import { type Fields, kindOf } from "./report.ts";
import { parseText, type TypedTemplate } from "./template.ts";

const UNREADABLE_CONFIG = "ERR_NGROK_2203";
const INVALID_CONFIG = "ERR_NGROK_2204";

/** What the policy depends on, in `reads`: whoever has no proxy cannot carry it out. */
export const TERMINATE_TLS = "terminate-tls";

const VERSIONS = ["1.0", "1.1", "1.2", "1.3"];
const STRATEGIES = ["require-and-verify", "require-any", "request"];
const KEYS = [
  "min_version",
  "max_version",
  "server_private_key",
  "server_certificate",
  "mutual_tls_certificate_authorities",
  "mutual_tls_verification_strategy",
];

export function parseTerminateTls(config: unknown, path: string, reading: Reading): PolicyAction {
  const { report } = reading;
  report.warn("PODGATE_NEEDS_PROXY", path, "terminate-tls needs the proxy, which is not built yet");
  reading.spend(1, new Set([TERMINATE_TLS]));
  const fields =
    config === undefined
      ? {}
      : report.object(UNREADABLE_CONFIG, path, config, "an object, or leave `config` out");
  if (fields === undefined) return { type: "terminate-tls" };
  report.unknownKeys(UNREADABLE_CONFIG, path, fields, KEYS);
  checkVersions(fields, path, reading);
  checkPair(fields, path, reading);
  checkAuthorities(fields.mutual_tls_certificate_authorities, childPath(path, KEYS[4] ?? ""), reading);
  const strategy = fields.mutual_tls_verification_strategy;
  if (strategy !== undefined && !(typeof strategy === "string" && STRATEGIES.includes(strategy))) {
    const message = `it is none of ${STRATEGIES.join(", ")}: write one or remove it`;
    report.error(INVALID_CONFIG, childPath(path, "mutual_tls_verification_strategy"), message);
  }
  return { type: "terminate-tls" };
}

function checkVersions(fields: Fields, path: string, { report }: Reading): void {
  const [least, most] = (["min_version", "max_version"] as const).map((key) => {
    const version = fields[key] ?? (key === "min_version" ? "1.2" : "1.3");
    const at = VERSIONS.indexOf(String(version));
    if (typeof version === "string" && at >= 0) return at;
    const why =
      at >= 0
        ? `it is ${kindOf(version)}: write "${version}" in quotes`
        : `it is none of ${VERSIONS.join(", ")}`;
    report.error(INVALID_CONFIG, childPath(path, key), why);
    return undefined;
  });
  if (least !== undefined && most !== undefined && least > most) {
    const message = "it is above max_version, so no version is left: lower it";
    report.error(INVALID_CONFIG, childPath(path, "min_version"), message);
  }
}

/** Messages never quote what is in the fields: one of them is a private key. */
function checkPair(fields: Fields, path: string, reading: Reading): void {
  const { report } = reading;
  const key = readText(fields.server_private_key, childPath(path, "server_private_key"), reading);
  const certificate = readText(fields.server_certificate, childPath(path, "server_certificate"), reading);
  const [hasKey, hasCertificate] = [fields.server_private_key, fields.server_certificate].map(
    (value) => value !== undefined,
  );
  if (hasKey !== hasCertificate) {
    const missing = hasKey ? "server_certificate" : "server_private_key";
    report.error(
      INVALID_CONFIG,
      childPath(path, missing),
      "it is missing: a key and its certificate go together",
    );
    return;
  }
  if (key?.constant === undefined || certificate?.constant === undefined) return;
  const privateKey = attempt(() => createPrivateKey(String(key.constant?.value)));
  const leaf = attempt(() => new X509Certificate(String(certificate.constant?.value)));
  if (privateKey === undefined) {
    report.error(
      INVALID_CONFIG,
      childPath(path, "server_private_key"),
      "it is no private key in PEM: write one",
    );
  }
  if (leaf === undefined) {
    report.error(
      INVALID_CONFIG,
      childPath(path, "server_certificate"),
      "it is no certificate in PEM: write one",
    );
  }
  if (privateKey !== undefined && leaf !== undefined && !belongs(leaf, privateKey)) {
    const message = "it is not of server_private_key: write the certificate that was made for that key";
    report.error(INVALID_CONFIG, childPath(path, "server_certificate"), message);
  }
}

function checkAuthorities(value: unknown, path: string, reading: Reading): void {
  if (value === undefined) return;
  const { report } = reading;
  const items = report.list(UNREADABLE_CONFIG, path, value, "a list of certificates in PEM") ?? [];
  for (const [index, item] of items.entries()) {
    const itemPath = childPath(path, index);
    const template = readText(item, itemPath, reading);
    if (item === undefined || template?.constant === undefined) continue;
    if (attempt(() => new X509Certificate(String(item))) !== undefined) continue;
    const known = typeof item === "string" && item.startsWith("ca_");
    const message = known
      ? "an id names a certificate in ngrok's cloud, which nothing here asks: write the certificate itself in PEM"
      : "it is no certificate in PEM: write one";
    report.error(INVALID_CONFIG, itemPath, message);
  }
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
