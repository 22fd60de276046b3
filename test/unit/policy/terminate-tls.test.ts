import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parsePolicy } from "../../../agent/policy/parse.ts";

const directory = mkdtempSync(join(tmpdir(), "podgate-tls-"));
const read = (name: string) => readFileSync(join(directory, name), "utf8");

beforeAll(() => {
  for (const name of ["one", "other"]) {
    const files = ["-keyout", join(directory, `${name}.key`), "-out", join(directory, `${name}.crt`)];
    const options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", `/CN=${name}`];
    execFileSync("openssl", ["req", "-x509", "-nodes", "-days", "2", ...options, ...files], {
      stdio: "ignore",
    });
  }
});

afterAll(() => rmSync(directory, { recursive: true }));

/** Path below the config and message of each error, or "accepted". */
function check(config: unknown): string[] | "accepted" {
  const parsed = parsePolicy({ on_tcp_connect: [{ actions: [{ type: "terminate-tls", config }] }] }, "");
  if (parsed.ok) return "accepted";
  return parsed.diagnostics.map(({ path, message }) => `${path.replace(/^.*\.config\.?/, "")}: ${message}`);
}

describe("the configuration of terminate-tls", () => {
  it("may be absent, and may hold everything the documents list", () => {
    expect(check(undefined)).toBe("accepted");
    expect(
      check({
        min_version: "1.2",
        max_version: "1.3",
        server_private_key: read("one.key"),
        server_certificate: read("one.crt"),
        mutual_tls_certificate_authorities: [read("other.crt")],
        mutual_tls_verification_strategy: "require-any",
      }),
    ).toBe("accepted");
  });

  it("wants somebody to verify clients by, unless any will do", () => {
    expect(check({ mutual_tls_verification_strategy: "require-and-verify" })).toEqual([
      "mutual_tls_verification_strategy: nobody can be verified without an authority: write mutual_tls_certificate_authorities",
    ]);
    expect(check({ mutual_tls_certificate_authorities: [] })).toEqual([
      "mutual_tls_certificate_authorities: it is empty, so nobody can be verified: write one or remove it",
    ]);
    expect(check({ mutual_tls_verification_strategy: "request" })).toBe("accepted");
  });

  it("takes nothing with which one connection would hold up all others", () => {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 4104 });
    const key = privateKey.export({ type: "pkcs8", format: "pem" });
    expect(check({ server_private_key: key, server_certificate: read("one.crt") })).toEqual([
      "server_private_key: it is over 4096 bits: use a shorter one",
    ]);
    const authorities = (length: number) => ({
      mutual_tls_certificate_authorities: Array.from({ length }, () => read("one.crt")),
    });
    expect(check(authorities(32))).toBe("accepted");
    expect(check(authorities(33))).toEqual([
      "mutual_tls_certificate_authorities: it has 33 certificates: write at most 32",
    ]);
    const long = read("one.crt").repeat(20);
    expect(check({ mutual_tls_certificate_authorities: [long] })).toEqual([
      `mutual_tls_certificate_authorities[0]: it has ${long.length} characters: write one certificate of at most 8192`,
    ]);
  });

  it("wants the certificate of its own key", () => {
    expect(check({ server_private_key: read("one.key"), server_certificate: read("other.crt") })).toEqual([
      "server_certificate: it is not of server_private_key: write the certificate that was made for that key",
    ]);
  });

  it("wants PEM, and never repeats what it was given", () => {
    const secret = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----";
    const faults = check({ server_private_key: secret, server_certificate: "hunter2" });
    expect(faults).toEqual([
      "server_private_key: it is no private key in PEM: write its text (-----BEGIN PRIVATE KEY-----), not a file's name",
      "server_certificate: it is no certificate in PEM: write its text (-----BEGIN CERTIFICATE-----), not a file's name",
    ]);
    expect(JSON.stringify(faults)).not.toContain("hunter2");
  });

  it("leaves to the evaluation what an expression makes", () => {
    const config = { server_private_key: "${conn.k8s.pod.id}", server_certificate: "${conn.k8s.pod.id}" };
    expect(check(config)).toBe("accepted");
    expect(check({ server_private_key: "${conn.k8s.pod.di}", server_certificate: "x" })).toEqual([
      expect.stringMatching(/^server_private_key: there is no variable/),
    ]);
  });

  it("tells all its faults at once", () => {
    expect(check({ min_version: "2", mutual_tls_certificate_authorities: ["x", 1], nope: 1 })).toHaveLength(
      4,
    );
  });
});
