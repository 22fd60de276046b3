/** Shakes hands with a client as a policy says. What is no TLS, or not such TLS, is reset. */
import { constants, X509Certificate } from "node:crypto";
import { createServer, DEFAULT_CIPHERS, type Server, type TLSSocket } from "node:tls";
import type { Native } from "../dataplane/native.ts";
import { TLS_VERSIONS, type TlsSession, type TlsSettings, type TlsVersion } from "../model/tls.ts";
import type { SecuredEnd } from "./connecting.ts";
import { destroyLater, RawSocket, TlsEnd } from "./tls-end.ts";

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

export const shakingHands =
  (native: Pick<Native, "resetOnClose">): ShakeHands =>
  (fd, settings, { timeoutMs, signal }) =>
    new Promise((resolve, reject) => {
      const raw = new RawSocket(fd, native);
      let isOver = false;
      const finish = () => {
        isOver = true;
        clearTimeout(timer);
        signal.removeEventListener("abort", abort);
      };
      const fail = (why: string) => {
        if (isOver) return;
        finish();
        destroyLater(raw);
        reject(new Error(`TLS handshake: ${why}`));
      };
      const abort = () => fail("the agent stops");
      const timer = setTimeout(() => fail(`not made in ${timeoutMs / 1000} s`), timeoutMs);
      signal.addEventListener("abort", abort);
      raw.on("close", () => fail("the client went away"));
      try {
        const server = serverOf(settings, timeoutMs);
        server.on("tlsClientError", (error) => fail(words(error)));
        server.on("secureConnection", (socket) => {
          const end = new TlsEnd(socket, raw);
          const session = attempt(() => sessionOf(socket, settings));
          if (isOver) return;
          if (session instanceof Error) return fail(session.message);
          finish();
          // Its last words are not written yet.
          setImmediate(() => resolve({ session, end }));
        });
        server.emit("connection", raw);
      } catch {
        // OpenSSL's words may be about what must not be repeated.
        fail("OpenSSL cannot use the certificate, the key or an authority");
      }
    });

/**
 * It never listens. One for each connection, so that one connection's events are its own; sessions are not resumed, so that
 * every client shows its certificate every time.
 */
function serverOf(settings: TlsSettings, timeoutMs: number): Server {
  const { minVersion, maxVersion, certificate, key, authorities, clients } = settings;
  return createServer({
    cert: certificate,
    key: key.reveal(),
    // Without a list, those whom all the world trusts would be trusted.
    ca: [...authorities],
    minVersion: wireName(minVersion),
    maxVersion: wireName(maxVersion),
    requestCert: clients !== "ignore",
    // Who is not welcome is reset, by us, and we can say why.
    rejectUnauthorized: false,
    handshakeTimeout: timeoutMs,
    secureOptions: constants.SSL_OP_NO_TICKET,
    ...(minVersion < "1.2" && { ciphers: LENIENT }),
  });
}

function clientFault(socket: TLSSocket, { clients }: TlsSettings): string | undefined {
  if (clients === "ignore" || clients === "request") return undefined;
  if (socket.getPeerX509Certificate() === undefined) return "the client has shown no certificate";
  if (clients === "require-any" || socket.authorized) return undefined;
  return `the client's certificate is refused: ${String(socket.authorizationError)}`;
}

/** @throws Error when the client is not who the settings want. */
function sessionOf(socket: TLSSocket, settings: TlsSettings): TlsSession {
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
    server: new X509Certificate(settings.certificate).raw,
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
  ERR_TLS_HANDSHAKE_TIMEOUT: "it took too long",
  ECONNRESET: "the client went away",
};

/** A code and no more: OpenSSL's own text has addresses of memory in it. */
function words(error: Error & { readonly code?: string }): string {
  const { code = "it failed" } = error;
  return (
    WORDS[code] ??
    code
      .replace(/^ERR_SSL_/, "")
      .toLowerCase()
      .replaceAll("_", " ")
  );
}

function attempt<T>(operation: () => T): T | Error {
  try {
    return operation();
  } catch (error) {
    return error as Error;
  }
}
