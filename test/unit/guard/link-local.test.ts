import { expect, test } from "vitest";
import { NO_CONTEXT } from "../../../agent/guard/context.ts";
import type { Guard, GuardPolicy } from "../../../agent/guard/guard.ts";
import { linkLocalPorts } from "../../../agent/guard/link-local.ts";
import type { Door, Services } from "../../../agent/guard/services.ts";

const BACKEND = { address: "198.51.100.1", port: 8080, verified: true };
const door: Door = {
  service: "payments/ledger",
  port: 80,
  key: "payments/ledger:80",
  fronts: ["192.0.2.10"],
  nodePort: 30080,
  backends: [BACKEND],
};
const services: Services = { get: () => undefined, doors: [door], doorsOf: () => [door] };

function guard(audit: boolean): Guard {
  const policy: GuardPolicy = {
    object: { kind: "CloudEndpoint", namespace: "payments", name: "ledger" },
    inForce: { kind: "refusal", reason: "policy-invalid" },
    audit,
    connectOnly: false,
    fallThrough: { kind: "allow" },
    home: [],
    endpoint: { id: "uid", url: "", protocol: "", host: "", port: 0 },
  };
  const at = (address: string, port: number) => ({ address, port, protocol: "TCP" as const });
  return {
    key: "g",
    destinations: [at("192.0.2.10", 80), at("198.51.100.1", 8080)],
    nodePorts: [30080],
    policies: [policy],
    context: NO_CONTEXT,
  };
}

test("link-local addresses are refused at the ports of guarded backends, not at those of ClusterIPs", () => {
  expect(linkLocalPorts([guard(false)], services)).toEqual([8080]);
});

test("an audited policy refuses nothing at link-local addresses either", () => {
  expect(linkLocalPorts([guard(true)], services)).toEqual([]);
});
