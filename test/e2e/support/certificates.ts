/** Keys and certificates, made by openssl. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** PEM, both. */
export interface Pair {
  readonly certificate: string;
  readonly key: string;
}

export interface Wish {
  /** `/O=Bank/CN=teller`. */
  readonly subject: string;
  /** As openssl writes it: `DNS:a.example,URI:spiffe://a`. */
  readonly names?: string;
  /** Without one it is its own issuer. */
  readonly issuer?: Pair;
}

export function makePair({ subject, names, issuer }: Wish): Pair {
  const directory = mkdtempSync(join(tmpdir(), "podgate-pair-"));
  const file = (name: string) => join(directory, name);
  const openssl = (...args: readonly string[]) => execFileSync("openssl", args, { stdio: "pipe" });
  try {
    const key = [
      "-nodes",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-keyout",
      file("key"),
    ];
    const extensions = names === undefined ? [] : ["-addext", `subjectAltName=${names}`];
    const made = ["req", ...key, "-subj", subject, "-out", file("out")];
    if (issuer === undefined) {
      openssl(...made, ...extensions, "-x509", "-days", "2");
      return { certificate: readFileSync(file("out"), "utf8"), key: readFileSync(file("key"), "utf8") };
    }
    openssl(...made, ...extensions);
    writeFileSync(file("issuer.crt"), issuer.certificate);
    writeFileSync(file("issuer.key"), issuer.key);
    const signer = ["-CA", file("issuer.crt"), "-CAkey", file("issuer.key"), "-CAcreateserial"];
    openssl(
      "x509",
      "-req",
      "-in",
      file("out"),
      ...signer,
      "-days",
      "2",
      "-copy_extensions",
      "copyall",
      "-out",
      file("crt"),
    );
    return { certificate: readFileSync(file("crt"), "utf8"), key: readFileSync(file("key"), "utf8") };
  } finally {
    rmSync(directory, { recursive: true });
  }
}
