/** What `terminate-tls` leaves behind for later rules, under `actions.ngrok.terminate_tls`. */
import type { TlsSession } from "../model/tls.ts";
import { NO_CERTIFICATE, readCertificate } from "./certificate.ts";
import { tooLarge } from "./plain-value.ts";

/** @throws Error when a certificate is none, or larger than what the cost of expressions allows for. */
export function tlsResult(session: TlsSession): Readonly<Record<string, unknown>> {
  const { version, cipherSuite, sni, server, client } = session;
  return {
    version,
    cipher_suite: cipherSuite,
    sni,
    server: certificate("the server's", server),
    client: client === undefined ? NO_CERTIFICATE : certificate("the client's", client),
    // A failed handshake ends the connection, and there are no ids of authorities to warn of.
    error_code: "",
    error_message: "",
    warnings: [],
  };
}

function certificate(whose: string, der: Uint8Array): Readonly<Record<string, unknown>> {
  let read: ReturnType<typeof readCertificate>;
  try {
    read = readCertificate(der);
  } catch (cause) {
    throw new Error(`${whose} certificate cannot be read`, { cause });
  }
  const { validity: _, ...rest } = read;
  const fault = tooLarge(rest);
  if (fault !== undefined) throw new Error(`${whose} certificate is too large: ${fault.message}`);
  return read;
}
