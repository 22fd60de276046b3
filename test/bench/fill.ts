/** What it costs the agent to bring the maps up to date, and how long its event loop stands still meanwhile. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import type { Want } from "../../agent/dataplane/want.ts";
import { ADDRESSES, GUARDS, PODS } from "./connects.ts";
import { Enforcement } from "./enforcement.ts";
import { guardOf, manyGuards, manyPods, rules } from "./population.ts";
import type { Setting } from "./setting.ts";

export interface FillRow {
  readonly name: string;
  readonly ms: number;
  /** The longest time that the event loop had for nothing else. */
  readonly stallMs: number;
  readonly changes: number;
}

/** Every guard has a verdict of its own for every pod: the most there can be. */
export async function measureFill({ lab }: Setting): Promise<FillRow[]> {
  const enforcement = new Enforcement(lab, "fill");
  try {
    const want: Want = {
      nodeAddresses: ["192.0.2.10"],
      guards: manyGuards(GUARDS, ADDRESSES, () => rules.byPod),
      pods: manyPods(PODS),
    };
    const edited: Want = {
      ...want,
      guards: want.guards.map((guard, index) => (index === 500 ? edit(guard) : guard)),
    };
    const apply = (name: string, next: Want) => timed(name, () => enforcement.dataplane.apply(next));
    return [
      await apply("first fill", want),
      await apply("nothing changed", want),
      await apply("one policy edited", edited),
      await apply("nothing changed", edited),
    ];
  } finally {
    enforcement.close();
  }
}

function edit({ key, destinations }: Want["guards"][number]): Want["guards"][number] {
  return guardOf(key, `!(${rules.byPod})`, destinations);
}

async function timed(name: string, task: () => Promise<{ changes: number }>): Promise<FillRow> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await sleep(20);
  delay.reset();
  const started = performance.now();
  const { changes } = await task();
  const ms = performance.now() - started;
  await sleep(20);
  delay.disable();
  return { name, ms, stallMs: delay.max / 1e6, changes };
}
