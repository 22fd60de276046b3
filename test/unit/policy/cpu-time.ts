/** What work costs: the median of five runs, in milliseconds of this thread, whoever else wants the processor. */
export function milliseconds(work: () => void): number {
  const times = Array.from({ length: 5 }, () => {
    const before = process.threadCpuUsage();
    work();
    const { user, system } = process.threadCpuUsage(before);
    return (user + system) / 1000;
  });
  return times.sort((a, b) => a - b)[2] ?? Number.POSITIVE_INFINITY;
}
