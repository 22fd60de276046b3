/** What the guards make of `terminate-tls`: the kernel leaves it to the proxy, which asks twice. */
import { X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import { decideConnection } from "../../../agent/guard/decide.ts";
import { revocation } from "../../../agent/guard/revocation.ts";
import type { TlsSettings } from "../../../agent/model/tls.ts";
import type { Verdict } from "../../../agent/model/verdict.ts";
import { makePair } from "../../e2e/support/certificates.ts";
import { boundAgent, Cluster, caller, deny, type Rule, service } from "./builders.ts";

const own = makePair({ subject: "/CN=ledger" });
const other = makePair({ subject: "/CN=other" });
const services = [service("payments/ledger", ["192.0.2.10"], [80])];
const payments = caller("payments/web", {}, { addresses: ["203.0.113.5"] });
const terminate = (pair = own): Rule => ({
  actions: [
    {
      type: "terminate-tls",
      config: { server_private_key: pair.key, server_certificate: pair.certificate },
    },
  ],
});
const endpoint = (name: string, rules: readonly Rule[], parts = {}) =>
  boundAgent(`payments/${name}`, "tls://ledger.payments:80", "tcp://ledger.payments:80", rules, parts);
const cluster = (...endpoints: ReturnType<typeof endpoint>[]) => new Cluster({ services, endpoints });

/** What is said of a connection, with TLS terminated by `tls` if there is one. */
function verdict(made: Cluster, tls?: TlsSettings): Verdict {
  const guard = made.set.guards[0];
  if (guard === undefined) throw new Error("no guard");
  const connection = {
    client: { ip: "203.0.113.5", port: 40_000 },
    server: { ip: "192.0.2.10", port: 80 },
    start: 0,
    now: 0,
  };
  const server = new X509Certificate(own.certificate).raw;
  const session = tls && { settings: tls, version: "1.3" as const, cipherSuite: "", sni: "", server };
  return decideConnection(
    guard,
    payments,
    { ...connection, ...(session && { tls: session }) },
    made.set.routes,
  );
}

function handshakeOf(made: Cluster): TlsSettings {
  const { handshake } = verdict(made);
  if (handshake === undefined) throw new Error("it wants no handshake");
  return handshake;
}

describe("an endpoint that terminates TLS", () => {
  test("is accepted, says where it is decided, and leaves the kernel's verdict to the proxy", () => {
    const made = cluster(endpoint("e", [terminate()]));
    expect(made.condition("AgentEndpoint/payments/e")).toMatchObject({
      accepted: true,
      message: "guards payments/ledger:80; decided in the proxy: it terminates TLS (rule 0)",
    });
    expect(made.outcome(payments, "192.0.2.10:80")).toBe("proxy");
  });

  test("is asked for a handshake, and then what it says", () => {
    const made = cluster(endpoint("e", [terminate()]));
    expect(verdict(made)).toMatchObject({
      action: "proxy",
      error: "it terminates TLS: the proxy decides",
      policy: { name: "e" },
    });
    expect(verdict(made, handshakeOf(made))).toMatchObject({ action: "allow", endsTls: true });
  });

  test("never gets to a handshake where another policy denies", () => {
    const made = cluster(endpoint("a", [terminate()]), endpoint("b", [{ actions: [deny] }]));
    expect(verdict(made)).toMatchObject({ action: "deny", policy: { name: "b" } });
  });

  test("agrees with another that has the same certificate, and with no other", () => {
    const same = cluster(endpoint("a", [terminate()]), endpoint("b", [terminate()]));
    expect(verdict(same, handshakeOf(same))).toMatchObject({ action: "allow", endsTls: true });
    const differing = cluster(endpoint("a", [terminate()]), endpoint("b", [terminate(other)]));
    expect(verdict(differing, handshakeOf(differing))).toMatchObject({
      action: "deny",
      reason: "expression-error",
      policy: { name: "b" },
    });
  });

  test("ends what a later rule forbids by now, and nothing for a new certificate", () => {
    const later = { expressions: ['actions.ngrok.terminate_tls.version == "1.3"'], actions: [deny] };
    const before = cluster(endpoint("e", [terminate()]));
    const tls = {
      settings: handshakeOf(before),
      version: "1.3" as const,
      cipherSuite: "",
      sni: "",
      server: new X509Certificate(own.certificate).raw,
    };
    const at = { address: "192.0.2.10", port: 80 };
    const open = { client: { address: "203.0.113.5", port: 40_000 }, dialled: at, remote: at, tls };
    const nowIs = (made: Cluster) => {
      const guarded = {
        guardAt: () => made.set.guards[0],
        routes: made.set.routes,
        linkLocalPorts: new Set<number>(),
      };
      if (payments.kind !== "pod") throw new Error("no pod");
      return revocation(open, { identity: payments.pod, ownAddresses: [], isOnNode: false }, guarded, 0);
    };
    expect(nowIs(before)).toBeUndefined();
    expect(nowIs(cluster(endpoint("e", [terminate(other)])))).toBeUndefined();
    expect(nowIs(cluster(endpoint("e", [terminate(), later])))).toMatchObject({ action: "deny", rule: 1 });
  });

  test("terminates nothing while it only audits", () => {
    const made = cluster(endpoint("e", [terminate()], { audit: true }));
    expect(verdict(made)).toMatchObject({ action: "allow", audited: { action: "proxy" } });
    expect(verdict(made)).not.toHaveProperty("handshake");
  });
});
