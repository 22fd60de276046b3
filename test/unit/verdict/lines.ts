/** Verdict lines for tests: as the agent's log writes them. */
import { agentLog } from "../../../agent/verdict/log.ts";
import type { VerdictRecord } from "../../../agent/verdict/record.ts";

export const record: VerdictRecord = {
  time: Date.UTC(2026, 10, 21, 9, 8, 7, 6),
  verdict: "deny",
  reason: "rule",
  layer: "connect4",
  pod: { namespace: "sandbox", name: "crawler-7c9", uid: "0d5c" },
  process: { pid: 4711, comm: "curl" },
  destination: { address: "192.0.2.10", port: 443, service: "payments/ledger" },
  policy: { kind: "AgentEndpoint", namespace: "payments", name: "ledger" },
  rule: { index: 1, name: "own only", expression: 'conn.k8s.pod.metadata.namespace != "payments"' },
  errorCode: "",
  suppressed: 0,
};

/** The line that the agent writes for `record` with `parts` changed. `undefined` removes a part. */
export function lineOf(parts: Partial<Record<keyof VerdictRecord, unknown>> = {}): string {
  let written = "";
  const log = agentLog("info", { write: (text: string) => (written += text) } as never);
  log.verdict({ ...record, ...parts } as VerdictRecord);
  return written.trimEnd();
}
