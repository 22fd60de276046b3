/** What bpf/decide.h would say of a connect, by the same look-ups in the same maps. */
import {
  actionOf,
  encodeDestination,
  encodeU32,
  encodeU64,
  forwardNumber,
  GUARD_PER_POD,
  layouts,
  NO_RULE,
  POD_OVERSIZED,
  reasonOf,
  SUBJECT_NAMESPACE,
  SUBJECT_POD,
  SUBJECT_UNRESOLVED,
} from "../../../agent/dataplane/abi.ts";
import type { Maps } from "../../../agent/dataplane/dataplane.ts";
import { formatAddress, type IpAddress } from "../../../agent/model/address.ts";

/** As a hook sees it. */
export interface KernelCaller {
  readonly cgroup: bigint;
  readonly netnsCookie: bigint;
}

export interface KernelVerdict {
  readonly action: string;
  readonly reason: string;
  /** Undefined: no rule decided. */
  readonly rule?: number;
  /** Numbers as `Dataplane.policies` gives them; 0: none. */
  readonly policy: number;
  /** `address port`, for the family asked. */
  readonly target?: string;
}

export function kernelVerdict(
  maps: Maps,
  caller: KernelCaller,
  address: IpAddress,
  port: number,
): KernelVerdict | "not guarded" | "pending" | "identity-mismatch" {
  const number = maps.destinations.get(encodeDestination(address, port));
  if (number === undefined) return "not guarded";
  const guard = maps.guards.get(encodeU32(number.readUInt32LE(0) % maps.guards.maxEntries));
  const subject = subjectOf(maps, caller, guard?.readUInt32LE(layouts.guard.flags) ?? 0);
  if (subject === undefined) return "identity-mismatch";
  if (guard === undefined || guard.readUInt32LE(layouts.guard.number) !== number.readUInt32LE(0))
    return "pending";
  const version = guard.readUInt32LE(layouts.guard.version);
  const verdict = maps.verdicts.get(encodeU32(version, subject));
  const at = layouts.verdict;
  if (verdict === undefined) return "pending";
  const owner = encodeU32(number.readUInt32LE(0), version, subject);
  if (!verdict.subarray(at.guard, at.policy).equals(owner)) return "pending";
  const rule = verdict.readUInt16LE(at.rule);
  const forward = forwardNumber(verdict);
  return {
    action: actionOf(verdict.readUInt8(at.action)) ?? "none",
    reason: reasonOf(verdict.readUInt8(at.reason)) ?? "none",
    ...(rule !== NO_RULE && { rule }),
    policy: verdict.readUInt32LE(at.policy),
    ...(forward !== 0 && { target: targetOf(maps, forward, address.includes(":") ? 6 : 4) }),
  };
}

function subjectOf(
  maps: Maps,
  { cgroup, netnsCookie }: KernelCaller,
  guardFlags: number,
): number | undefined {
  const at = layouts.pod_ref;
  const ref = maps.pods_by_cgroup.get(encodeU64(cgroup));
  const pod = ref?.readUInt32LE(at.pod) ?? 0;
  if (ref?.readBigUInt64LE(at.netns_cookie) !== netnsCookie) {
    const owner = maps.pods_by_netns.get(encodeU64(netnsCookie))?.readUInt32LE(0);
    if (owner !== undefined && owner !== pod) return undefined;
  }
  if (ref === undefined) return SUBJECT_UNRESOLVED;
  const own = (guardFlags & GUARD_PER_POD) !== 0 || (ref.readUInt32LE(at.flags) & POD_OVERSIZED) !== 0;
  return own ? SUBJECT_POD + pod : SUBJECT_NAMESPACE + ref.readUInt32LE(at.namespace_number);
}

function targetOf(maps: Maps, forward: number, family: 4 | 6): string {
  const value = maps.forwards.get(encodeU32(forward, family));
  if (value === undefined) return "none";
  const at = layouts.forward;
  return `${formatAddress(value.subarray(at.address, at.address + 16))} ${value.readUInt16BE(at.port)}`;
}
