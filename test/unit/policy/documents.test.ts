import { describe, expect, it } from "vitest";
import type { Identity } from "../../../agent/model/identity.ts";
import { parsePolicy } from "../../../agent/policy/parse.ts";
import { ask, decide, deny, forward, M, nobody, oversized, pod, policyOf, rule } from "./builders.ts";

/** The policies of the documents, written as the API server hands them over. */
const failClosed = policyOf(rule(`${M}.error_code != ""`), rule(`${M}.namespace != "payments"`), forward);
const failOpen = policyOf(rule(`${M}.error_code == "" && ${M}.namespace != "payments"`), forward);
const byName = policyOf(
  rule(`${M}.error_code != ""`),
  rule(`!(${M}.name in ["worker-a", "worker-b"])`),
  forward,
);
const byAnnotation = policyOf(
  rule(`${M}.error_code != ""`),
  rule(`${M}.annotations["k8s.ngrok.com/environment"] != "production"`),
  forward,
);
const tenant = policyOf(rule(`${M}.error_code != ""`), rule(`${M}.namespace != "tenant1"`), forward);

const environment = (value: string) => pod({ annotations: new Map([["k8s.ngrok.com/environment", value]]) });

describe("the documented examples", () => {
  it.each<[string, typeof failClosed, Identity, string]>([
    ["fail-closed lets a pod of the namespace through", failClosed, pod(), "forward 2"],
    ["fail-closed denies a pod of another", failClosed, pod({ namespace: "sandbox" }), "deny 1"],
    ["fail-closed denies a longer name", failClosed, pod({ namespace: "payments-2" }), "deny 1"],
    ["fail-closed denies whoever cannot be found", failClosed, nobody, "deny 0"],
    ["fail-closed denies 28000 in the namespace", failClosed, oversized, "deny 0"],
    ["fail-open lets a pod of the namespace through", failOpen, pod(), "forward 1"],
    ["fail-open denies a pod of another", failOpen, pod({ namespace: "sandbox" }), "deny 0"],
    ["fail-open lets whoever cannot be found through", failOpen, nobody, "forward 1"],
    ["fail-open lets 28000 through", failOpen, oversized, "forward 1"],
    ["the allow-list lets a worker through", byName, pod({ name: "worker-b" }), "forward 2"],
    ["the allow-list denies another", byName, pod({ name: "worker-c" }), "deny 1"],
    ["the allow-list denies a name that only begins alike", byName, pod({ name: "worker-a2" }), "deny 1"],
    ["the annotation lets production through", byAnnotation, environment("production"), "forward 2"],
    ["the annotation denies staging", byAnnotation, environment("staging"), "deny 1"],
    ["the annotation denies whoever cannot be found", byAnnotation, nobody, "deny 0"],
    ["multi-tenant lets its tenant through", tenant, pod({ namespace: "tenant1" }), "forward 2"],
    ["multi-tenant denies another tenant", tenant, pod({ namespace: "tenant10" }), "deny 1"],
  ])("%s", (_title, policy, identity, expected) => {
    expect(decide(policy, identity)).toBe(expected);
  });

  it("13: denies a pod without the annotation, and says which expression failed on what", () => {
    expect(ask(byAnnotation, pod())).toEqual({
      kind: "deny",
      reason: "expression-error",
      rule: 1,
      expression: 0,
      error: "no such key: k8s.ngrok.com/environment",
    });
  });

  it("hands on the url that was written", () => {
    expect(ask(failClosed, pod())).toEqual({
      kind: "forward",
      rule: 2,
      url: "http://my-service.my-namespace.internal",
    });
  });

  it("refuses the allow-list that YAML has mangled, names its path and says to quote it", () => {
    const rules = [rule(`${M}.error_code != ""`), rule('in ["worker-a", "worker-b"])'), forward];
    const parsed = parsePolicy({ on_tcp_connect: rules }, "spec.trafficPolicy.policy");
    expect(parsed).toEqual({
      ok: false,
      readsPod: true,
      diagnostics: [
        expect.objectContaining({
          code: "ERR_NGROK_2200",
          path: "spec.trafficPolicy.policy.on_tcp_connect[1].expressions[0]",
          message: expect.stringContaining('quote the expression (- "!(...)")'),
        }),
      ],
    });
  });

  it.each([
    'conn.k8s.pod.id == "4b2c1a0e-7f3d-11ee-b962-0242ac120002"',
    "conn.k8s.pod.metadata.name == 'a'",
    "conn.k8s.pod.metadata.namespace == 'payments'",
    "conn.k8s.pod.metadata.annotations['k8s.ngrok.com/tenant-id'] == 'tenant-abc'",
    "conn.k8s.pod.metadata.error_code == ''",
    "conn.k8s.pod.metadata.error_message == ''",
  ])("matches the one-liner %s", (expression) => {
    const annotations = new Map([["k8s.ngrok.com/tenant-id", "tenant-abc"]]);
    expect(decide(policyOf(rule(expression)), pod({ annotations }))).toBe("deny 0");
  });

  it("sees only the error of a caller that cannot be found", () => {
    const empty = `conn.k8s.pod.id == "" && ${M}.name == "" && ${M}.namespace == "" && ${M}.annotations == {}`;
    const error = `${M}.error_code == "ERR_NGROK_28001" && ${M}.error_message != ""`;
    expect(decide(policyOf(rule(empty, error)), nobody)).toBe("deny 0");
  });

  it("keeps id, name and namespace of a pod with 28000", () => {
    const whole = `conn.k8s.pod.id != "" && ${M}.name == "a" && ${M}.namespace == "payments"`;
    const error = `${M}.error_code == "ERR_NGROK_28000" && ${M}.error_message != ""`;
    expect(decide(policyOf(rule(whole, error)), oversized)).toBe("deny 0");
  });

  it("18: tells a namespace from another that joins to the same text, and a dot from any character", () => {
    const joined = policyOf(rule(`${M}.namespace == "a-b" && ${M}.name == "c"`));
    expect(decide(joined, pod({ namespace: "a", name: "b-c" }))).toBe("fell-through");
    expect(decide(joined, pod({ namespace: "a-b", name: "c" }))).toBe("deny 0");
    const dotted = policyOf(rule(`${M}.name == "a.b"`));
    expect(decide(dotted, pod({ name: "axb" }))).toBe("fell-through");
  });

  it("17: reads annotation keys that JavaScript knows as keys and nothing else", () => {
    const before = Object.getOwnPropertyNames(Object.prototype);
    for (const key of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
      expect(decide(policyOf(rule(`${JSON.stringify(key)} in ${M}.annotations`)), pod())).toBe(
        "fell-through",
      );
      const surfaced = pod({ annotations: new Map([[key, "x"]]) });
      expect(decide(policyOf(rule(`${M}.annotations["${key}"] == "x"`)), surfaced)).toBe("deny 0");
      expect(decide(policyOf(rule(`${M}.annotations["${key}"] == "x"`)), pod())).toBe("error 0.0");
    }
    expect(decide(policyOf(rule(`has(${M}.annotations.constructor)`)), pod())).toBe("fell-through");
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
  });

  it("falls through where a policy has no rules", () => {
    for (const value of [{}, { on_tcp_connect: [] }, { on_http_request: [] }]) {
      const parsed = parsePolicy(value, "");
      expect(parsed.ok && decide(parsed.policy, pod())).toBe("fell-through");
    }
  });

  it("stops at the first rule that terminates", () => {
    const policy = policyOf({ ...forward, expressions: [`${M}.name == "a"`] }, deny);
    expect(decide(policy, pod())).toBe("forward 0");
    expect(decide(policy, pod({ name: "b" }))).toBe("deny 1");
  });
});
