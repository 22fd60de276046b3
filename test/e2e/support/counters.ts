/** The kernel's exact counts of verdicts, summed over the CPUs. */
import { actionNumber, COUNTER_REASONS, encodeU32, reasonOf } from "../../../agent/dataplane/abi.ts";
import { mapPin } from "../../../agent/dataplane/kernel.ts";
import { loadNative } from "../../../agent/dataplane/native.ts";
import type { Action, Reason } from "../../../agent/model/verdict.ts";

/** "self": a pod that dials itself. */
export function verdictCount(pinPath: string, action: Action, reason: Reason | "self"): number {
  const numbers = Array.from({ length: COUNTER_REASONS }, (_, number) => number);
  const slot =
    actionNumber(action) * COUNTER_REASONS + numbers.findIndex((number) => reasonOf(number) === reason);
  return perCpuSum(pinPath, "counters", slot);
}

/** Events that found the ring buffer full. */
export function lostEvents(pinPath: string): number {
  return perCpuSum(pinPath, "lost", 0);
}

function perCpuSum(pinPath: string, name: string, slot: number): number {
  const map = loadNative().BpfMap.open(mapPin(pinPath, name));
  try {
    const values = map.get(encodeU32(slot)) ?? Buffer.alloc(0);
    let sum = 0n;
    for (let at = 0; at < values.length; at += 8) sum += values.readBigUInt64LE(at);
    return Number(sum);
  } finally {
    map.close();
  }
}
