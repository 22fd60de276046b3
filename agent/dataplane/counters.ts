/** The map `counters`, summed over the CPUs: exact since the maps were made, whatever became of the events. */
import type { Action, Reason } from "../model/verdict.ts";
import { actionOf, COUNTER_REASONS, COUNTER_SLOTS, layouts, reasonOf } from "./abi.ts";

export interface VerdictCount {
  readonly verdict: Action;
  /** "self": a pod that dials itself, or the agent's own connects. */
  readonly reason: Reason | "self";
  readonly count: number;
}

/** `values`: those of every CPU, one after the other. All that can be counted, zeros too. */
export function verdictCounts(values: Buffer): VerdictCount[] {
  return Array.from({ length: COUNTER_SLOTS }, (_, slot) => {
    const verdict = actionOf(Math.floor(slot / COUNTER_REASONS));
    const reason = reasonOf(slot % COUNTER_REASONS);
    if (verdict === undefined || reason === undefined) return [];
    return [{ verdict, reason, count: sumOverCpus(values, layouts.counters.verdicts + 8 * slot) }];
  }).flat();
}

/** Events that found the ring buffer full. */
export function lostEvents(values: Buffer): number {
  return sumOverCpus(values, layouts.counters.lost);
}

function sumOverCpus(values: Buffer, offset: number): number {
  let sum = 0n;
  for (let at = offset; at + 8 <= values.length; at += layouts.counters.size)
    sum += values.readBigUInt64LE(at);
  return Number(sum);
}
