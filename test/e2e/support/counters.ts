/** The kernel's exact counts of verdicts, summed over the CPUs. */
import { encodeU32 } from "../../../agent/dataplane/abi.ts";
import { lostEvents as lostOf, verdictCounts } from "../../../agent/dataplane/counters.ts";
import { mapPin } from "../../../agent/dataplane/kernel.ts";
import { loadNative } from "../../../agent/dataplane/native.ts";
import type { Action, Reason } from "../../../agent/model/verdict.ts";

/** "self": a pod that dials itself. */
export function verdictCount(pinPath: string, action: Action, reason: Reason | "self"): number {
  const counts = verdictCounts(read(pinPath));
  const found = counts.find((each) => each.verdict === action && each.reason === reason);
  if (found === undefined) throw new RangeError(`count ${action} ${reason}: there is no such counter`);
  return found.count;
}

/** Events that found the ring buffer full. */
export function lostEvents(pinPath: string): number {
  return lostOf(read(pinPath));
}

function read(pinPath: string): Buffer {
  const map = loadNative().BpfMap.open(mapPin(pinPath, "counters"));
  try {
    return map.get(encodeU32(0)) ?? Buffer.alloc(0);
  } finally {
    map.close();
  }
}
