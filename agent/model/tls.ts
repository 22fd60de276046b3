/** TLS as a policy wants it terminated, and how that went: what happens between two halves of an evaluation. */

export const TLS_VERSIONS = ["1.0", "1.1", "1.2", "1.3"] as const;
export type TlsVersion = (typeof TLS_VERSIONS)[number];

export const CLIENT_CHECKS = ["require-and-verify", "require-any", "request"] as const;

/** Has no field that a log line, an error or `JSON.stringify` could show. */
export class PrivateKey {
  readonly #pem: string;

  constructor(pem: string) {
    this.#pem = pem;
  }

  /** Only for who makes TLS of it. */
  reveal(): string {
    return this.#pem;
  }
}

export interface TlsSettings {
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  /** PEM, and behind it those of its issuers that clients need. */
  readonly certificate: string;
  readonly key: PrivateKey;
  /** PEM: who may have issued a client's certificate. Not empty where clients are verified. */
  readonly authorities: readonly string[];
  /** Of a client's certificate: "ignore" does not ask for one, and "request" does without. */
  readonly clients: (typeof CLIENT_CHECKS)[number] | "ignore";
}

export interface TlsSession {
  /** With what the handshake was made; undefined: it is long past, and nobody insists on how it was made. */
  readonly settings?: TlsSettings;
  readonly version: TlsVersion;
  /** IANA's name. */
  readonly cipherSuite: string;
  /** The name that the client asked for; "" if none. */
  readonly sni: string;
  /** DER. */
  readonly server: Uint8Array;
  /** DER; undefined: it showed none. Verified only where the settings say so. */
  readonly client?: Uint8Array;
}

/** Whether a handshake made with `a` is as good as one with `b`. */
export function sameSettings(a: TlsSettings, b: TlsSettings): boolean {
  if (a === b) return true;
  const parts = (settings: TlsSettings) => {
    const { minVersion, maxVersion, certificate, key, authorities, clients } = settings;
    return JSON.stringify([minVersion, maxVersion, certificate, key.reveal(), authorities, clients]);
  };
  return parts(a) === parts(b);
}
