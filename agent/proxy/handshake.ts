/** Shakes hands with a client as a policy says. What is no TLS, or not such TLS, is reset. */
import { constants, X509Certificate } from "node:crypto";
import { createServer, DEFAULT_CIPHERS, type Server, type TLSSocket } from "node:tls";
import { TLS_VERSIONS, type TlsSession, type TlsSettings, type TlsVersion } from "../model/tls.ts";
import type { SecuredEnd } from "./connecting.ts";
import { destroyLater, RawSocket, type SetReset, TlsEnd } from "./tls-end.ts";

export interface Secured {
  readonly session: TlsSession;
  readonly end: SecuredEnd;
}

/**
 * Takes over the accepted socket `fd`. Rejects, when it has been reset, with an Error that says why; it never repeats
 * what the settings hold. `signal` resets it until the handshake is made.
 */
export type ShakeHands = (
  fd: number,
  settings: TlsSettings,
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
) => Promise<Secured>;

/** OpenSSL refuses what TLS 1.0 and 1.1 sign with unless asked to be lenient. */
const LENIENT = `${DEFAULT_CIPHERS}:@SECLEVEL=0`;

/**
 * In the order of our preference. Of a hybrid with ML-KEM OpenSSL keeps 7 KB for as long as the connection lives, and what it
 * would protect against, who records bytes today, is not where they go: they do not leave the pod's loopback.
 */
const GROUPS =
  process.versions.openssl < "3.5"
    ? "auto"
    : "X25519:P-256:X448:P-384:P-521:ffdhe2048:ffdhe3072:X25519MLKEM768:SecP256r1MLKEM768:SecP384r1MLKEM1024";

/** Who waits for a handshake. */
interface Waiting {
  readonly secured: (socket: TLSSocket) => void;
  readonly failed: (why: string) => void;
}

/** A socket below TLS. It outlives the handshake, so it refers to nothing of that which nobody needs any more. */
class Below extends RawSocket {
  /** Until it is over. */
  waiting: Waiting | undefined;

  /**
   * TLS keeps a buffer of the size of the first bytes that it gets, 1 KB at least, and one of 16 KB when the first is full;
   * 64 KB if it reads them from the kernel itself. So we read them, and it gets them in pieces.
   */
  override read(size = Math.min(this.readableLength, 1000) || undefined): unknown {
    return super.read(size);
  }
}

/** What all connections with the same settings have in common. */
interface Common {
  readonly server: Server;
  /** DER. */
  readonly certificate: Uint8Array;
}

export function shakingHands(native: SetReset): ShakeHands {
  const known = new WeakMap<TlsSettings, Common>();
  /** @throws Error when OpenSSL cannot use what they hold. */
  const commonOf = (settings: TlsSettings): Common => {
    const common = known.get(settings) ?? {
      server: serverOf(settings),
      certificate: new X509Certificate(settings.certificate).raw,
    };
    known.set(settings, common);
    return common;
  };
  return (fd, settings, { timeoutMs, signal }) =>
    new Promise((resolve, reject) => {
      const raw = new Below(fd, native);
      const finish = () => {
        raw.waiting = undefined;
        clearTimeout(timer);
        signal.removeEventListener("abort", abort);
      };
      const failed = (why: string) => {
        finish();
        destroyLater(raw);
        reject(new Error(`TLS handshake: ${why}`));
      };
      const abort = () => failed("the agent stops");
      const timer = setTimeout(() => failed(`not made in ${timeoutMs / 1000} s`), timeoutMs);
      signal.addEventListener("abort", abort);
      const common = attempt(() => commonOf(settings));
      // OpenSSL's words may be about what must not be repeated.
      if (common instanceof Error)
        return failed("OpenSSL cannot use the certificate, the key or an authority");
      const { server, certificate } = common;
      const secured = (socket: TLSSocket) => {
        const end = new TlsEnd(socket, raw);
        const session = attempt(() => sessionOf(socket, settings, certificate));
        if (session instanceof Error) return failed(session.message);
        finish();
        // Its last words are not written yet.
        setImmediate(() => resolve({ session, end }));
      };
      raw.waiting = { secured, failed };
      raw.on("close", leave);
      raw.once("readable", () => server.emit("connection", raw));
    });
}

function leave(this: Below): void {
  this.waiting?.failed("the client went away");
}

/**
 * It never listens, and has no end of a connection: who waits for that is told. Sessions are not resumed, so that every
 * client shows its certificate every time.
 */
function serverOf(settings: TlsSettings): Server {
  const { minVersion, maxVersion, certificate, key, authorities, clients } = settings;
  const server = createServer({
    cert: certificate,
    key: key.reveal(),
    // Without a list, those whom all the world trusts would be trusted.
    ca: [...authorities],
    minVersion: wireName(minVersion),
    maxVersion: wireName(maxVersion),
    ecdhCurve: GROUPS,
    requestCert: clients !== "ignore",
    // Who is not welcome is reset, by us, and we can say why.
    rejectUnauthorized: false,
    // Nor is it this that counts the time.
    handshakeTimeout: 2 ** 31 - 1,
    secureOptions: constants.SSL_OP_NO_TICKET,
    ...(minVersion < "1.2" && { ciphers: LENIENT }),
  });
  server.on("tlsClientError", (error, socket) => waitingFor(socket)?.failed(words(error)));
  server.on("secureConnection", (socket) => waitingFor(socket)?.secured(socket));
  return server;
}

/** Node's types leave out which socket is below. */
function waitingFor(socket: TLSSocket): Waiting | undefined {
  return (socket as { _parent?: Below })._parent?.waiting;
}

function clientFault(socket: TLSSocket, { clients }: TlsSettings): string | undefined {
  if (clients === "ignore" || clients === "request") return undefined;
  if (socket.getPeerX509Certificate() === undefined) return "the client has shown no certificate";
  if (clients === "require-any" || socket.authorized) return undefined;
  return `the client's certificate is refused: ${String(socket.authorizationError)}`;
}

/** @throws Error when the client is not who the settings want. */
function sessionOf(socket: TLSSocket, settings: TlsSettings, server: Uint8Array): TlsSession {
  const fault = clientFault(socket, settings);
  if (fault !== undefined) throw new Error(fault);
  const protocol = socket.getProtocol();
  const version = TLS_VERSIONS.find((each) => wireName(each) === protocol);
  if (version === undefined) throw new Error("the handshake came to no version of TLS");
  const client = socket.getPeerX509Certificate();
  return {
    settings,
    version,
    cipherSuite: socket.getCipher().standardName,
    sni: nameOf(socket),
    server,
    ...(client && { client: client.raw }),
  };
}

/** Node's types leave it out; false where the client named nobody. */
function nameOf(socket: TLSSocket): string {
  const { servername } = socket as { servername?: unknown };
  return typeof servername === "string" ? servername : "";
}

function wireName(version: TlsVersion): "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3" {
  return version === "1.0" ? "TLSv1" : `TLSv${version}`;
}

const WORDS: Readonly<Record<string, string>> = {
  ERR_SSL_UNSUPPORTED_PROTOCOL: "the client has no version of TLS that is allowed",
  ERR_SSL_HTTP_REQUEST: "the client speaks HTTP, not TLS",
  ERR_SSL_WRONG_VERSION_NUMBER: "the client does not speak TLS",
  ERR_SSL_NO_SHARED_CIPHER: "client and server have no cipher suite in common",
  ECONNRESET: "the client went away",
};

/** A code and no more: OpenSSL's own text has addresses of memory in it. */
function words(error: Error & { readonly code?: string }): string {
  const { code = "it failed" } = error;
  // Nobody but the client sends us alerts. The version in the name is that which brought the alert, not the client's.
  const alert = /^ERR_SSL_.*_ALERT_(.*)$/.exec(code)?.[1];
  return (
    WORDS[code] ?? (alert ? `the client refuses: ${spaced(alert)}` : spaced(code.replace(/^ERR_SSL_/, "")))
  );
}

const spaced = (name: string) => name.toLowerCase().replaceAll("_", " ");

function attempt<T>(operation: () => T): T | Error {
  try {
    return operation();
  } catch (error) {
    return error as Error;
  }
}
