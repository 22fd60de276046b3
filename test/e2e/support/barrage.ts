/** Many connections from a pod, one after the other as fast as it can: how many came to what, and how long they took. */
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import type { Command } from "../../lab/pod-handle.ts";
import { program } from "./programs.ts";

export interface Target {
  readonly address: string;
  readonly port: number;
}

/** What connect() said to one target. */
export interface Counts {
  readonly ok: number;
  /** errno's name -> how often. */
  readonly errors: Readonly<Record<string, number>>;
  /** Nanoseconds that connect() took, whatever it said. */
  readonly p50: number;
  readonly p99: number;
}

export interface Report {
  readonly seconds: number;
  /** In the targets' order. */
  readonly targets: readonly Counts[];
}

/** "ok" or an errno's name. */
export type Result = string;

export interface Pace {
  /** How long. */
  readonly seconds?: number;
  /** How often each target is dialled. */
  readonly rounds?: number;
  /** Microseconds between rounds. */
  readonly pause?: number;
}

/** A PodHandle is one. */
export interface Shooter {
  spawn(command: Command): ChildProcess;
}

/** `pace` must say when to end. */
export async function dialMany(from: Shooter, targets: readonly Target[], pace: Pace): Promise<Report> {
  return await barrage(from, targets, pace).ended;
}

/** A barrage that runs until it is stopped. */
export interface Barrage {
  /** By target, what the last connect said; undefined before the first. */
  readonly now: readonly (Result | undefined)[];
  /** Every change of a result, in order, first results too. */
  readonly changes: readonly { readonly target: number; readonly result: Result }[];
  readonly ended: Promise<Report>;
  stop(): Promise<Report>;
}

export function barrage(from: Shooter, targets: readonly Target[], pace: Pace = {}): Barrage {
  const { seconds, rounds, pause } = pace;
  const child = from.spawn([
    program("barrage"),
    "-w",
    ...(seconds === undefined ? [] : ["-s", String(seconds)]),
    ...(rounds === undefined ? [] : ["-n", String(rounds)]),
    ...(pause === undefined ? [] : ["-i", String(pause)]),
    ...targets.flatMap(({ address, port }) => [address, String(port)]),
  ]);
  const now: (Result | undefined)[] = targets.map(() => undefined);
  const changes: { target: number; result: Result }[] = [];
  const ended = follow(child, (change) => {
    now[change.target] = change.result;
    changes.push(change);
  });
  // Whoever waits for it hears of a failure; nobody has to.
  ended.catch(() => {});
  return {
    now,
    changes,
    ended,
    stop: () => {
      child.kill("SIGTERM");
      return ended;
    },
  };
}

async function follow(
  child: ChildProcess,
  onChange: (change: { target: number; result: Result }) => void,
): Promise<Report> {
  if (child.stdout === null || child.stderr === null)
    throw new Error("dial: the program's output is not piped");
  const complaint = text(child.stderr);
  let report: Report | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    const said = JSON.parse(line) as Report | { target: number; result: Result };
    if ("targets" in said) report = said;
    else onChange(said);
  }
  if (report === undefined) throw new Error(`dial: the barrage ended without a report: ${await complaint}`);
  return report;
}
