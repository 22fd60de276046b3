/** What enforcement costs connect(): conditions in alternating rounds, and the program's own time by the kernel's count. */
import { loadNative } from "../../agent/dataplane/native.ts";
import { type Counts, dialMany } from "../e2e/support/barrage.ts";
import type { PodHandle } from "../lab/pod-handle.ts";
import { Enforcement, realPod } from "./enforcement.ts";
import { median } from "./median.ts";
import { guardOf, manyGuards, manyPods, rules } from "./population.ts";
import { CALLER, ports, type Setting } from "./setting.ts";

export const GUARDS = 1000;
export const ADDRESSES = 10;
export const PODS = 250;
/** Where the kernel happens to put a map in memory changes a run by a fifth, so the programs are loaded several times. */
const LOADS = 8;
/**
 * The program's own time is that of a steady flood: long enough that the first, cold runs and the ten log lines a second
 * weigh no more than they do there.
 */
const STEADY = { rounds: 3 * LOADS, seconds: 0.4 };

interface Condition {
  readonly name: string;
  /** Which programs are in force: none, those with empty maps, those with full ones. */
  readonly programs: "none" | "idle" | "full";
  readonly port: number;
  /** What connect() must say. */
  readonly result: "ok" | "EPERM" | "ECONNREFUSED";
  /** The name of the condition it is compared with. */
  readonly base: string;
}

const NONE = "no agent";
const CLOSED = "closed port, no agent";
const conditions: readonly Condition[] = [
  { name: NONE, programs: "none", port: ports.open, result: "ok", base: NONE },
  { name: "nothing guarded", programs: "idle", port: ports.open, result: "ok", base: NONE },
  { name: "another address guarded", programs: "full", port: ports.open, result: "ok", base: NONE },
  { name: "allowed by namespace", programs: "full", port: ports.byNamespace, result: "ok", base: NONE },
  { name: "allowed by pod", programs: "full", port: ports.byPod, result: "ok", base: NONE },
  { name: CLOSED, programs: "none", port: ports.closed, result: "ECONNREFUSED", base: CLOSED },
  { name: "denied", programs: "full", port: ports.denied, result: "EPERM", base: CLOSED },
];

/** Medians over the rounds; ratios are of medians, to the condition `base`. */
export interface ConnectRow {
  readonly name: string;
  readonly base: string;
  readonly connectsPerSecond: number;
  readonly ratio: number;
  readonly p50: number;
  readonly p99: number;
  /** Of p50 to the base's. */
  readonly p50Ratio: number;
  /** Of one run of connect4, the counting included; NaN without a program. */
  readonly programNs: number;
}

export interface Length {
  readonly rounds: number;
  readonly seconds: number;
}

export async function measureConnects(
  setting: Setting,
  { rounds, seconds }: Length,
  progress: (line: string) => void,
): Promise<ConnectRow[]> {
  const loads: Programs[] = [];
  try {
    for (let load = 0; load < LOADS; load++) loads.push(await loadPrograms(setting, load));
    const meter = new Meter(setting, loads);
    const samples = new Map(conditions.map(({ name }) => [name, [] as Sample[]]));
    for (let round = 0; round < rounds; round++) {
      // Forth and back: whatever drifts hits all conditions alike.
      for (const condition of round % 2 === 0 ? conditions : conditions.toReversed()) {
        samples.get(condition.name)?.push(await meter.measure(condition, round, seconds));
      }
      if ((round + 1) % 5 === 0) progress(`round ${round + 1} of ${rounds}`);
    }
    progress("the kernel's own count");
    const programNs = await meter.programTimes(Math.min(rounds, STEADY.rounds));
    return conditions.map((condition) => rowOf(condition, samples, programNs));
  } finally {
    for (const { idle, full } of loads) {
      idle.close();
      full.close();
    }
  }
}

interface Programs {
  readonly idle: Enforcement;
  readonly full: Enforcement;
}

async function loadPrograms(setting: Setting, load: number): Promise<Programs> {
  const idle = new Enforcement(setting.lab, `idle-${load}`);
  const full = new Enforcement(setting.lab, `full-${load}`);
  const want = population(setting);
  const { refused } = await full.dataplane.apply(want);
  if (refused.length > 0) throw new Error(`fill the maps: ${refused.length} guards were refused`);
  await idle.dataplane.apply({ ...want, guards: [] });
  return { idle, full };
}

function population({ lab, caller, server }: Setting) {
  const at = (port: number) => [{ address: server.ipv4, port }];
  const expressionOf = (index: number) => (index % 2 === 0 ? rules.byNamespace : rules.byPod);
  return {
    nodeAddresses: ["192.0.2.10", "2001:db8::10"],
    guards: [
      guardOf("by-namespace", rules.byNamespace, at(ports.byNamespace)),
      guardOf("by-pod", rules.byPod, at(ports.byPod)),
      guardOf("denied", rules.denied, at(ports.denied)),
      ...manyGuards(GUARDS, ADDRESSES, expressionOf),
    ],
    pods: [realPod(lab, caller, CALLER.annotations), realPod(lab, server, {}), ...manyPods(PODS - 2)],
  };
}

interface Sample {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

class Meter {
  readonly #caller: Pick<PodHandle, "spawn">;
  readonly #address: string;
  readonly #loads: readonly Programs[];

  constructor({ caller, server }: Setting, loads: readonly Programs[]) {
    // The server has the other processor.
    this.#caller = {
      spawn: (command) =>
        caller.spawn(["taskset", "-c", "0", ...(typeof command === "string" ? [] : command)]),
    };
    this.#address = server.ipv4;
    this.#loads = loads;
  }

  async measure(condition: Condition, round: number, seconds: number): Promise<Sample> {
    this.#switch(condition, round);
    const counts = await this.#dial(condition, seconds);
    return { perSecond: (counts.ok + total(counts)) / counts.seconds, p50: counts.p50, p99: counts.p99 };
  }

  /** By condition, ns. Statistics slow every program down a little, so they are on for this only. */
  async programTimes(rounds: number): Promise<Map<string, number>> {
    const times = new Map<string, number[]>();
    const statistics = loadNative().enableStats();
    try {
      for (let round = 0; round < rounds; round++) {
        for (const condition of conditions) {
          const programs = this.#switch(condition, round);
          if (programs === undefined) continue;
          const before = programs.runs();
          await this.#dial(condition, STEADY.seconds);
          const after = programs.runs();
          const ns = Number(after.ns - before.ns) / Number(after.count - before.count);
          times.set(condition.name, [...(times.get(condition.name) ?? []), ns]);
        }
      }
    } finally {
      statistics.close();
    }
    return new Map([...times].map(([name, all]) => [name, median(all)]));
  }

  /** Puts the condition's programs in force, and no others; each round another load of them. */
  #switch({ programs }: Condition, round: number): Enforcement | undefined {
    const wanted = programs === "none" ? undefined : this.#loads[round % LOADS]?.[programs];
    for (const load of this.#loads) {
      for (const other of Object.values(load)) if (other !== wanted) other.detach();
    }
    wanted?.attach();
    return wanted;
  }

  async #dial({ name, port, result }: Condition, seconds: number): Promise<Counts & { seconds: number }> {
    const report = await dialMany(this.#caller, [{ address: this.#address, port }], { seconds });
    const [counts] = report.targets;
    const expected = result === "ok" ? counts?.ok : counts?.errors[result];
    if (counts === undefined || expected === undefined || expected < (counts.ok + total(counts)) * 0.999) {
      throw new Error(`measure "${name}": connect() must say ${result}, it said ${JSON.stringify(counts)}`);
    }
    return { ...counts, seconds: report.seconds };
  }
}

function total({ errors }: Counts): number {
  return Object.values(errors).reduce((sum, count) => sum + count, 0);
}

function rowOf(
  { name, base }: Condition,
  samples: ReadonlyMap<string, readonly Sample[]>,
  programNs: ReadonlyMap<string, number>,
): ConnectRow {
  const middle = (condition: string, read: (sample: Sample) => number) =>
    median((samples.get(condition) ?? []).map(read));
  const perSecond = (condition: string) => middle(condition, (sample) => sample.perSecond);
  const p50 = (condition: string) => middle(condition, (sample) => sample.p50);
  return {
    name,
    base,
    connectsPerSecond: perSecond(name),
    ratio: perSecond(name) / perSecond(base),
    p50: p50(name),
    p99: middle(name, (sample) => sample.p99),
    p50Ratio: p50(name) / p50(base),
    programNs: programNs.get(name) ?? Number.NaN,
  };
}
