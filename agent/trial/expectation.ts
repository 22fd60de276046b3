/** What a test expects to come of a connection. */
import type { Outcome } from "../explain/explanation.ts";
import type { Reason } from "../model/verdict.ts";
import type { PolicyDocument, Position } from "../policy/yaml.ts";
import type { Schema } from "./schema.ts";

export interface Expectation {
  readonly position: Position;
  readonly outcome: Outcome;
  readonly reason?: Reason;
  /** Position in its policy from 0, or the rule's name. */
  readonly rule?: number | string;
  /** `Kind/namespace/name`, or the end of that. */
  readonly policy?: string;
  /** Of a forward: `service.namespace[:port]`. */
  readonly target?: string;
  /** What the audited policies would make of it. */
  readonly audited?: "allow" | "deny" | "forward" | "proxy";
  /** What `log` actions record, in order: an empty list where none may run. */
  readonly logs?: readonly unknown[];
}

const OUTCOMES = ["allow", "deny", "forward", "proxy", "not-guarded"] as const;
const AUDITED = ["allow", "deny", "forward", "proxy"] as const;
const REASONS: readonly Reason[] = [
  "rule",
  "fell-through",
  "expression-error",
  "policy-invalid",
  "target-not-found",
  "target-not-routable",
  "conflict",
  "loop",
];
/** Undefined after a fault. */
export function readExpectation(
  fields: Readonly<Record<string, unknown>>,
  path: string,
  document: PolicyDocument,
  schema: Schema,
): Expectation | undefined {
  const outcome = schema.choice(`${path}.expect`, fields.expect, OUTCOMES);
  const optional = <T>(key: string, read: (at: string) => T | undefined) =>
    fields[key] === undefined ? undefined : read(`${path}.${key}`);
  const reason = optional("reason", (at) => schema.choice(at, fields.reason, REASONS));
  const rule = optional("rule", (at) => readRule(at, fields.rule, schema));
  const policy = optional("policy", (at) => schema.required(at, fields.policy, "Kind/namespace/name"));
  const target = optional("target", (at) => schema.required(at, fields.target, "service.namespace:port"));
  const audited = optional("audited", (at) => schema.choice(at, fields.audited, AUDITED));
  const logs = optional("logs", (at) => schema.list(at, fields.logs, "a list of what is recorded"));
  if (target !== undefined && outcome !== undefined && outcome !== "forward") {
    schema.fault(`${path}.target`, "only a forward has a target: write `expect: forward`, or remove it");
  }
  if (outcome === undefined) return undefined;
  return {
    position: document.locate(`${path}.expect`),
    outcome,
    ...(reason !== undefined && { reason }),
    ...(rule !== undefined && { rule }),
    ...(policy !== undefined && { policy }),
    ...(target !== undefined && { target }),
    ...(audited !== undefined && { audited }),
    ...(logs !== undefined && { logs }),
  };
}

function readRule(path: string, value: unknown, schema: Schema): number | string | undefined {
  if (typeof value === "string" && value !== "") return value;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0) return value;
  schema.fault(path, "it is no rule: write its name, or its place in on_tcp_connect counted from 0");
  return undefined;
}
