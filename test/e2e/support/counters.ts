/** The kernel's exact counts of verdicts, summed over the CPUs. */
import {
  actionNumber,
  COUNTER_REASONS,
  encodeU32,
  layouts,
  reasonOf,
  sumOverCpus,
} from "../../../agent/dataplane/abi.ts";
import { mapPin } from "../../../agent/dataplane/kernel.ts";
import { loadNative } from "../../../agent/dataplane/native.ts";
import type { Action, Reason } from "../../../agent/model/verdict.ts";

/** "self": a pod that dials itself. */
export function verdictCount(pinPath: string, action: Action, reason: Reason | "self"): number {
  const numbers = Array.from({ length: COUNTER_REASONS }, (_, number) => number);
  const slot =
    actionNumber(action) * COUNTER_REASONS + numbers.findIndex((number) => reasonOf(number) === reason);
  return perCpuSum(pinPath, layouts.counters.verdicts + 8 * slot);
}

/** Events that found the ring buffer full. */
export function lostEvents(pinPath: string): number {
  return perCpuSum(pinPath, layouts.counters.lost);
}

function perCpuSum(pinPath: string, offset: number): number {
  const map = loadNative().BpfMap.open(mapPin(pinPath, "counters"));
  try {
    return sumOverCpus(map.get(encodeU32(0)) ?? Buffer.alloc(0), offset);
  } finally {
    map.close();
  }
}
