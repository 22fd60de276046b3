import { describe, expect, test } from "vitest";
import { type VerdictRecord, verdictFields } from "../../../agent/verdict/record.ts";

const uid = "0d5c0000-0000-4000-8000-000000000001";
const policy = { kind: "AgentEndpoint", namespace: "payments", name: "ledger" } as const;

function record(more: Partial<VerdictRecord> = {}): VerdictRecord {
  return {
    time: 1763683200123,
    verdict: "deny",
    reason: "rule",
    layer: "connect4",
    pod: { namespace: "sandbox", name: "crawler-7c9", uid },
    process: { pid: 4711, comm: "curl" },
    destination: {
      address: "192.0.2.10",
      port: 443,
      service: "payments/ledger",
    } as VerdictRecord["destination"],
    policy,
    rule: { index: 1, expression: 'conn.k8s.pod.metadata.namespace != "payments"' },
    errorCode: "",
    suppressed: 0,
    ...more,
  };
}

const without = (...keys: (keyof VerdictRecord)[]): VerdictRecord =>
  Object.fromEntries(Object.entries(record()).filter(([key]) => !keys.includes(key as never))) as never;

describe("the fields of a verdict's line", () => {
  test("are these, in the order people read them", () => {
    const fields = verdictFields(record());
    expect(fields).toEqual({
      time: 1763683200123,
      verdict: "deny",
      enforced: true,
      reason: "rule",
      layer: "connect4",
      pod: { namespace: "sandbox", name: "crawler-7c9", uid },
      process: { pid: 4711, comm: "curl" },
      destination: { address: "192.0.2.10", port: 443, service: "payments/ledger" },
      policy: { kind: "AgentEndpoint", namespace: "payments", name: "ledger" },
      rule: { index: 1, expression: 'conn.k8s.pod.metadata.namespace != "payments"' },
      error_code: "",
    });
    expect(Object.keys(fields)).toEqual([
      "time",
      "verdict",
      "enforced",
      "reason",
      "layer",
      "pod",
      "process",
      "destination",
      "policy",
      "rule",
      "error_code",
    ]);
  });

  test("have no pod where the caller is unresolved, and no policy or rule where none decided", () => {
    const fields = verdictFields({ ...without("pod", "policy", "rule"), errorCode: "ERR_NGROK_28001" });
    expect(fields).not.toHaveProperty("pod");
    expect(fields).not.toHaveProperty("policy");
    expect(fields).not.toHaveProperty("rule");
    expect(fields.error_code).toBe("ERR_NGROK_28001");
  });

  test("have no process where nobody knows which it is", () => {
    expect(verdictFields(without("process"))).not.toHaveProperty("process");
  });

  test("say what an audited policy would have said, and that it was not enforced", () => {
    const audited = { verdict: "deny", reason: "rule", policy, rule: { index: 0, name: "only us" } } as const;
    const fields = verdictFields({ ...without("policy", "rule"), verdict: "allow", audited });
    expect(fields).toMatchObject({ verdict: "allow", enforced: true });
    expect(fields.audited).toEqual({
      verdict: "deny",
      enforced: false,
      reason: "rule",
      policy,
      rule: { index: 0, name: "only us" },
    });
    expect(fields).not.toHaveProperty("policy");
  });

  test("say where a forwarded connection went", () => {
    const target = { address: "192.0.2.20", port: 80, service: "shop/back" } as VerdictRecord["destination"];
    expect(verdictFields(record({ verdict: "forward", forwardedTo: target })).forwarded_to).toEqual(target);
  });

  test("have a count of what was left out only when something was", () => {
    expect(verdictFields(record())).not.toHaveProperty("suppressed");
    expect(verdictFields(record({ suppressed: 990 })).suppressed).toBe(990);
  });

  test("show the process's name and an error's text escaped, since workloads choose them", () => {
    const fields = verdictFields(
      record({
        process: { pid: 1, comm: "a\n\u001b[2J\u202e" },
        reason: "expression-error",
        error: "no such key: x\ny",
      }),
    );
    expect(fields.process).toEqual({ pid: 1, comm: "a\\u{a}\\u{1b}[2J\\u{202e}" });
    expect(fields.error).toBe("no such key: x\\u{a}y");
  });

  test("show what a policy's author wrote escaped too, and not all of it, since a line is not the place for a megabyte", () => {
    const rule = {
      index: 1,
      name: "\u001b[2J\u202eno",
      expression: `matches("a\\.b") && ${"x".repeat(100_000)}`,
    };
    const fields = verdictFields(record({ rule, error: `\u009b${"y".repeat(100_000)}` }));
    expect(fields.rule).toMatchObject({ index: 1, name: "\\u{1b}[2J\\u{202e}no" });
    const { expression } = fields.rule as { expression: string };
    expect(expression).toMatch(/^matches\("a\\\.b"\) && x+\.\.\.$/);
    expect(expression.length).toBeLessThan(1100);
    expect(fields.error).toMatch(/^\\u\{9b\}y+\.\.\.$/);
    expect(String(fields.error).length).toBeLessThan(1100);
  });
});
