/** What a hook said about a connection it judged: one record of the ring buffer `events`. */
import type { Action, Reason } from "../model/verdict.ts";
import {
  actionOf,
  decodeComm,
  decodeEndpoint,
  type KernelEndpoint,
  type Layer,
  layerOf,
  layouts,
  reasonOf,
} from "./abi.ts";

/** What a hook reported, still in the kernel's numbers. */
export interface KernelEvent {
  /** CLOCK_BOOTTIME, ns. */
  readonly time: bigint;
  readonly cgroup: bigint;
  readonly pod: number;
  readonly guard: number;
  readonly pid: number;
  /** As the kernel has it: 15 bytes at most, any byte but NUL, chosen by the workload. */
  readonly comm: string;
  readonly policy: number;
  readonly rule: number;
  readonly action: Action;
  readonly reason: Reason;
  readonly audited:
    | { readonly action: Action; readonly reason: Reason; readonly policy: number; readonly rule: number }
    | undefined;
  readonly suppressed: number;
  readonly layer: Layer;
  readonly dialled: KernelEndpoint;
  readonly target: KernelEndpoint;
}

/** Undefined for a record that is not an event of this version's layout. */
export function decodeEvent(record: Buffer): KernelEvent | undefined {
  const at = layouts.event;
  if (record.length < at.size) return undefined;
  const action = actionOf(record.readUInt8(at.action));
  const reason = reasonOf(record.readUInt8(at.reason));
  if (action === undefined || reason === undefined || reason === "self") return undefined;
  const auditedAction = actionOf(record.readUInt8(at.audited_action));
  const auditedReason = reasonOf(record.readUInt8(at.audited_reason));
  return {
    time: record.readBigUInt64LE(at.time),
    cgroup: record.readBigUInt64LE(at.cgroup),
    pod: record.readUInt32LE(at.pod),
    guard: record.readUInt32LE(at.guard),
    pid: record.readUInt32LE(at.pid),
    comm: decodeComm(record, at.comm),
    policy: record.readUInt32LE(at.policy),
    rule: record.readUInt16LE(at.rule),
    action,
    reason,
    audited:
      auditedAction === undefined || auditedReason === undefined || auditedReason === "self"
        ? undefined
        : {
            action: auditedAction,
            reason: auditedReason,
            policy: record.readUInt32LE(at.audited_policy),
            rule: record.readUInt16LE(at.audited_rule),
          },
    suppressed: record.readUInt32LE(at.suppressed),
    layer: layerOf(record.readUInt8(at.layer)),
    dialled: decodeEndpoint(record, at.dialled, at.dialled_port),
    target: decodeEndpoint(record, at.target, at.target_port),
  };
}
