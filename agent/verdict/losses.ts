/** Verdict lines that were never written: events that found the ring buffer full, lines that nobody read. */

/**
 * Calls `onLoss` when more events were lost in the kernel, or more lines dropped here, than the last time. `lostBefore`: what the
 * kernel had counted before this agent.
 */
export function lossReport(lostBefore: number, onLoss: (lost: number, dropped: number) => void) {
  let told = { lost: lostBefore, dropped: 0 };
  return (lost: number, dropped: number) => {
    if (lost > told.lost || dropped > told.dropped) onLoss(lost - told.lost, dropped - told.dropped);
    told = { lost, dropped };
  };
}
