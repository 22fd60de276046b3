/** `terminate-tls` splits an evaluation in two: what comes before the handshake, and what its result decides. */
import { X509Certificate } from "node:crypto";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import type { TlsSession, TlsSettings } from "../../../agent/model/tls.ts";
import { parsePolicy } from "../../../agent/policy/parse.ts";
import type { Outcome } from "../../../agent/policy/policy.ts";
import { makePair } from "../../e2e/support/certificates.ts";
import { AHEAD, ask, CONNECTION, pod, policyOf } from "./builders.ts";

const RESULT = "actions.ngrok.terminate_tls";
const own = makePair({ subject: "/O=Bank/CN=vault.bank", names: "DNS:vault.bank" });
const other = makePair({ subject: "/CN=other" });
const teller = makePair({
  subject: "/C=DE/C=AT/O=Bank/CN=teller",
  names: "DNS:t.example,email:t@bank.example,URI:spiffe://bank/t,IP:192.0.2.1,IP:2001:db8::1",
});
const der = (pem: string) => new X509Certificate(pem).raw;

const terminate = (pair = own, config = {}) => ({
  type: "terminate-tls",
  config: { server_private_key: pair.key, server_certificate: pair.certificate, ...config },
});
const rule = (...actions: unknown[]) => ({ actions });
const when = (expression: string) => ({ expressions: [expression], actions: [{ type: "deny" }] });

/** What it asks for first. */
function handshakeOf(policy: ReturnType<typeof policyOf>): TlsSettings {
  const outcome = ask(policy, pod(), CONNECTION);
  if (outcome.kind !== "undecided" || outcome.handshake === undefined) throw new Error(outcome.kind);
  return outcome.handshake;
}

/** What it says when TLS has been terminated as it wanted. */
function afterwards(policy: ReturnType<typeof policyOf>, over: Partial<TlsSession> = {}): Outcome {
  const settings = over.settings ?? handshakeOf(policy);
  const session = {
    settings,
    version: "1.3",
    cipherSuite: "TLS_AES_128_GCM_SHA256",
    sni: "vault.bank",
    server: der(own.certificate),
    ...over,
  } as const;
  return ask(policy, pod(), { ...CONNECTION, tls: session });
}

describe("before the handshake", () => {
  test("rules in front of it decide, and what comes behind is left open", () => {
    expect(ask(policyOf(when("true"), rule(terminate())), pod(), AHEAD)).toMatchObject({
      kind: "deny",
      rule: 0,
    });
    expect(ask(policyOf(when("false"), rule(terminate()), when("true")), pod(), AHEAD)).toMatchObject({
      kind: "undecided",
      rule: 1,
      needs: ["terminate-tls"],
      handshake: { minVersion: "1.2", maxVersion: "1.3", clients: "ignore" },
    });
  });

  test("its settings are the same object for every connection, unless they hang on it", () => {
    const fixed = policyOf(rule(terminate()));
    expect(handshakeOf(fixed)).toBe(handshakeOf(fixed));
    const certificate = `\${conn.client_port > 0 ? ${JSON.stringify(own.certificate)} : ""}`;
    const hanging = policyOf(rule(terminate({ ...own, certificate })));
    expect(ask(hanging, pod(), AHEAD)).toMatchObject({ kind: "undecided", needs: ["conn.client_port"] });
    expect(handshakeOf(hanging).certificate).toBe(own.certificate);
  });

  test("what an expression makes is checked when it is made, and the error does not repeat it", () => {
    const policy = policyOf(rule(terminate({ certificate: "${conn.client_ip}", key: "${conn.client_ip}" })));
    const outcome = ask(policy, pod(), CONNECTION);
    expect(outcome).toMatchObject({
      kind: "deny",
      reason: "expression-error",
      error: "the key is no private key in PEM",
    });
    expect(JSON.stringify(outcome)).not.toContain("192.0.2.7");
  });

  test("nothing shows the key", () => {
    const settings = handshakeOf(policyOf(rule(terminate())));
    const piece = own.key.split("\n")[1] ?? "";
    expect(piece.length).toBeGreaterThan(40);
    for (const text of [JSON.stringify(settings), inspect(settings, { depth: 9, showHidden: true })]) {
      expect(text).not.toContain(piece);
    }
    expect(settings.key.reveal()).toContain(piece);
  });
});

describe("after it", () => {
  test("the evaluation goes on behind the action, and says that TLS was terminated", () => {
    const policy = policyOf(rule(terminate()), when(`${RESULT}.version == "1.2"`));
    expect(afterwards(policy)).toEqual({ kind: "fell-through", endsTls: true });
    expect(afterwards(policy, { version: "1.2" })).toEqual({
      kind: "deny",
      reason: "rule",
      rule: 1,
      endsTls: true,
    });
  });

  test.each<[string, boolean]>([
    [`${RESULT}.sni == "vault.bank"`, true],
    [`${RESULT}.cipher_suite == "TLS_AES_128_GCM_SHA256"`, true],
    [`${RESULT}.error_code == "" && ${RESULT}.error_message == "" && size(${RESULT}.warnings) == 0`, true],
    [`${RESULT}.server.subject.common_name == "vault.bank"`, true],
    [`${RESULT}.server.subject.organization == ["Bank"]`, true],
    [`${RESULT}.server.san.dns_names == ["vault.bank"]`, true],
    [`${RESULT}.server.signature_algorithm == "ECDSA-SHA256"`, true],
    [`${RESULT}.server.extensions.exists(e, e.id == "2.5.29.17" && !e.critical)`, true],
    [`${RESULT}.client.issuer.common_name == "teller"`, true],
    [`${RESULT}.client.subject.country == ["DE", "AT"]`, true],
    [`"t.example" in ${RESULT}.client.san.dns_names`, true],
    [`${RESULT}.client.san.email_addresses == ["t@bank.example"]`, true],
    [`${RESULT}.client.san.uris == ["spiffe://bank/t"]`, true],
    [`${RESULT}.client.san.ip_addresses == ["192.0.2.1", "2001:db8::1"]`, true],
    [`${RESULT}.client.serial_number.matches("^[1-9a-f][0-9a-f]+$")`, true],
    [`${RESULT}.client.validity.not_after > ${RESULT}.client.validity.not_before`, true],
    [`${RESULT}.client.validity.not_after < timestamp("2020-01-01T00:00:00Z")`, false],
    [`${RESULT}.client.subject.postal_code == []`, true],
  ])("a rule reads %s", (expression, value) => {
    const outcome = afterwards(policyOf(rule(terminate()), when(expression)), {
      client: der(teller.certificate),
    });
    expect(outcome.kind).toBe(value ? "deny" : "fell-through");
    expect(outcome).not.toHaveProperty("error");
  });

  test("a client without a certificate is nobody in everything", () => {
    const fields = ["client.subject.common_name", "client.issuer.common_name", "client.serial_number"];
    for (const field of fields) {
      expect(afterwards(policyOf(rule(terminate()), when(`${RESULT}.${field} != ""`))).kind).toBe(
        "fell-through",
      );
    }
  });

  test("a certificate larger than expressions are made for denies", () => {
    const names = Array.from({ length: 400 }, (_, at) => `DNS:n${at}.example`).join(",");
    const large = makePair({ subject: "/CN=large", names });
    expect(afterwards(policyOf(rule(terminate())), { client: der(large.certificate) })).toMatchObject({
      kind: "deny",
      reason: "expression-error",
      error: expect.stringMatching(/^the client's certificate is too large: /),
    });
  });

  test("bytes that are no certificate deny", () => {
    const whole = der(teller.certificate);
    for (let at = 0; at < whole.length; at += 7) {
      const cut = afterwards(policyOf(rule(terminate())), { client: whole.subarray(0, at) });
      expect(cut).toMatchObject({ kind: "deny", error: "the client's certificate cannot be read" });
    }
  });

  test("a second action terminates nothing again: it agrees or denies", () => {
    expect(afterwards(policyOf(rule(terminate()), rule(terminate()))).kind).toBe("fell-through");
    expect(afterwards(policyOf(rule(terminate()), rule(terminate(other))))).toMatchObject({
      kind: "deny",
      reason: "expression-error",
      rule: 1,
      error: "TLS has been terminated as another action says",
    });
    expect(afterwards(policyOf(rule(terminate()), rule(terminate(own, { min_version: "1.3" })))).kind).toBe(
      "deny",
    );
  });

  test("a policy that does not ask for it does not say that it was terminated", () => {
    const session = { settings: handshakeOf(policyOf(rule(terminate()))) };
    expect(afterwards(policyOf(when("false")), session)).toEqual({ kind: "fell-through" });
  });
});

test("what is no variable of a later rule is an error of the policy", () => {
  for (const name of [`${RESULT}.client`, `${RESULT}.client.san`, `${RESULT}.nope`]) {
    const parsed = parsePolicy({ on_tcp_connect: [rule(terminate()), when(`${name} == ""`)] }, "");
    expect(parsed.ok, name).toBe(false);
  }
  const before = parsePolicy({ on_tcp_connect: [when(`${RESULT}.sni == ""`), rule(terminate())] }, "");
  expect(before.ok).toBe(false);
});
