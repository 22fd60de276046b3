/** One verdict as the log shows it: names instead of numbers, nothing that needs another line to be understood. */
import type { IpAddress } from "../model/address.ts";
import type { ObjectRef } from "../model/objects.ts";
import type { Action, LogMetadata, Reason } from "../model/verdict.ts";
import { inert, shortened, visible } from "./text.ts";

export interface RuleRecord {
  /** Position in `on_tcp_connect`, from 0. */
  readonly index: number;
  readonly name?: string;
  /** The rule's expressions, joined by " && "; absent for a rule without any. */
  readonly expression?: string;
}

export interface Decided {
  readonly verdict: Action;
  readonly reason: Reason;
  readonly policy?: ObjectRef;
  readonly rule?: RuleRecord;
  /** What went wrong, where the reason is an error. */
  readonly error?: string;
}

export interface VerdictRecord extends Decided {
  /** ms since 1970. */
  readonly time: number;
  readonly layer: "connect4" | "connect6" | "veth" | "proxy";
  /** Absent: the caller is unresolved. */
  readonly pod?: { readonly namespace: string; readonly name: string; readonly uid: string };
  /** Absent: the connection was open, and nothing says which process has it. */
  readonly process?: { readonly pid: number; readonly comm: string };
  readonly destination: { readonly address: IpAddress; readonly port: number; readonly service?: string };
  /** Where a forwarded connection went. */
  readonly forwardedTo?: { readonly address: IpAddress; readonly port: number; readonly service?: string };
  readonly errorCode: string;
  /** What audited policies would have said, where that differs. */
  readonly audited?: Decided;
  /** What `log` actions of its policies recorded. */
  readonly log?: readonly LogMetadata[];
  /** Verdicts of this caller and guard that had no line since the last one. */
  readonly suppressed: number;
}

/** The fields of the JSON line, in the order people read them. Keys are part of the log's interface. */
export function verdictFields(record: VerdictRecord): Record<string, unknown> {
  const { pod, process, audited } = record;
  return {
    time: record.time,
    verdict: record.verdict,
    enforced: true,
    reason: record.reason,
    layer: record.layer,
    ...(pod && { pod: { namespace: pod.namespace, name: pod.name, uid: pod.uid } }),
    ...(process && { process: { pid: process.pid, comm: visible(process.comm) } }),
    destination: record.destination,
    ...(record.forwardedTo && { forwarded_to: record.forwardedTo }),
    ...decidedBy(record),
    error_code: record.errorCode,
    ...(audited && {
      audited: { verdict: audited.verdict, enforced: false, reason: audited.reason, ...decidedBy(audited) },
    }),
    ...(record.log && { log: record.log.map(logField) }),
    ...(record.suppressed > 0 && { suppressed: record.suppressed }),
  };
}

function decidedBy({ policy, rule, error }: Decided): Record<string, unknown> {
  return {
    ...(policy && { policy }),
    ...(rule && { rule: quotedRule(rule) }),
    ...(error !== undefined && { error: visible(shortened(error)) }),
  };
}

function quotedRule({ index, name, expression }: RuleRecord): RuleRecord {
  return {
    index,
    ...(name !== undefined && { name: inert(shortened(name)) }),
    ...(expression !== undefined && { expression: inert(shortened(expression)) }),
  };
}

/** Characters of one `log` entry in JSON: a line is read by people, and by collectors that cut long ones anywhere. */
const MAX_LOG = 4096;

/** Most of it are values that a workload chose. What is too long becomes the beginning of its JSON. */
function logField(metadata: LogMetadata): unknown {
  const shown = visibleValue(metadata);
  const text = JSON.stringify(shown);
  return text.length <= MAX_LOG ? shown : { truncated: text.slice(0, MAX_LOG) };
}

function visibleValue(value: unknown): unknown {
  if (typeof value === "string") return visible(value);
  if (Array.isArray(value)) return value.map(visibleValue);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [visible(key), visibleValue(each)]));
}
