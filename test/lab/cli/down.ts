/** `down`: ends a lab and removes whatever it, or a crash of it, left behind. */
import { leftovers, removeLeftovers } from "../cleanup.ts";
import { isAlive, liveOwner } from "../lock.ts";
import { labNames } from "../names.ts";
import { until } from "../until.ts";

export async function down(name: string): Promise<void> {
  const names = labNames(name);
  const owner = liveOwner(names);
  if (owner === undefined && leftovers(names).length === 0) {
    console.log(`${names.name} does not run, and nothing of it is left`);
    return;
  }
  if (owner !== undefined && !owner.daemon) {
    throw new Error(
      `end ${names.name}: process ${owner.pid} runs it and does more than that; end that process`,
    );
  }
  if (owner !== undefined) {
    process.kill(owner.pid, "SIGTERM");
    await until("the lab's process to end", () => !isAlive(owner), {
      timeoutMs: 15_000,
    }).catch(() => {
      process.kill(owner.pid, "SIGKILL");
    });
  }
  await removeLeftovers(names);
  const left = leftovers(names);
  if (left.length > 0) throw new Error(`end ${names.name}: still there: ${left.join(", ")}`);
  console.log(`${names.name} is gone`);
}
