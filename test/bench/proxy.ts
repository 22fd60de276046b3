/** What the proxy costs a connection that needs it, beside none and beside other proxies, in alternating rounds. */
import type { PodHandle } from "../lab/pod-handle.ts";
import { type Carrier, DIRECT, startCarriers } from "./carriers.ts";
import { median } from "./median.ts";
import { watchProcessors } from "./processors.ts";
import type { Setting } from "./setting.ts";
import { type Answered, connects, echo, stream } from "./traffic.ts";

export const STREAMS = [1, 32] as const;
export const AT_A_TIME = 16;

export interface ProxyLength {
  readonly rounds: number;
  /** Of one measurement. */
  readonly seconds: number;
}

/** A median over the rounds, and what it is of the direct way's. */
export interface Figure {
  readonly value: number;
  readonly ratio: number;
  /** The least and the greatest of the ratios within one round. */
  readonly range: readonly [number, number];
}

export interface StreamRow {
  readonly carrier: string;
  readonly streams: number;
  readonly gbitPerSecond: Figure;
  /** Milliseconds of processor time per Gbit: of the whole machine, whatever else it did; */
  readonly machine: Figure;
  /** of sender, receiver and proxy together; */
  readonly involved: Figure;
  /** of the proxy. */
  readonly proxy: number;
}

export interface AnswerRow {
  readonly carrier: string;
  readonly connectsPerSecond: Figure;
  /** Microseconds of processor time per connection. */
  readonly proxy: number;
  /** Of the echo of a byte, ns. */
  readonly p50: Figure;
  readonly p99: Figure;
}

export interface ProxyRows {
  readonly streams: readonly StreamRow[];
  readonly answers: readonly AnswerRow[];
  /** What is not compared, and what to do about it. */
  readonly missing: readonly string[];
}

/** As in a StreamRow. */
type StreamSample = Readonly<Record<"gbitPerSecond" | "machine" | "involved" | "proxy", number>>;

interface Sample {
  readonly streams: readonly StreamSample[];
  readonly connects: Answered & { readonly proxy: number };
  readonly echo: Answered;
}

/** Carrier's name -> a sample for each round. */
type Samples = ReadonlyMap<string, readonly Sample[]>;

export async function measureProxy(
  setting: Setting,
  { rounds, seconds }: ProxyLength,
  progress: (line: string) => void,
): Promise<ProxyRows> {
  const { all, peer, missing, stop } = await startCarriers(setting);
  try {
    const samples = new Map(all.map(({ name }) => [name, [] as Sample[]]));
    for (let round = 0; round < rounds; round++) {
      // Forth and back: whatever drifts hits all of them alike.
      for (const carrier of round % 2 === 0 ? all : all.toReversed()) {
        samples.get(carrier.name)?.push(await measure(setting.caller, carrier, peer, seconds));
      }
      progress(`round ${round + 1} of ${rounds}`);
    }
    return { ...rowsOf(all, samples), missing };
  } finally {
    stop();
  }
}

async function measure(
  caller: PodHandle,
  carrier: Carrier,
  peer: readonly number[],
  seconds: number,
): Promise<Sample> {
  const streams: StreamSample[] = [];
  for (const count of STREAMS) {
    const [receiver, proxy] = [watchProcessors(peer), watchProcessors(carrier.pids)];
    const sent = await stream(caller, carrier, count, seconds);
    const [received, carried] = [receiver(), proxy()];
    if (carried === 0 && carrier.name !== DIRECT)
      throw new Error(`measure ${carrier.name}: the bytes went another way`);
    const gbit = (sent.bytes * 8) / 1e9;
    streams.push({
      gbitPerSecond: gbit / sent.seconds,
      machine: (sent.busy * 1000) / gbit,
      involved: ((sent.cpu + received + carried) * 1000) / gbit,
      proxy: (carried * 1000) / gbit,
    });
  }
  const echoed = await echo(caller, carrier, seconds);
  const proxy = watchProcessors(carrier.pids);
  const connected = await connects(caller, carrier, AT_A_TIME, seconds);
  const each = (proxy() * 1e6) / connected.count;
  return { streams, connects: { ...connected, proxy: each }, echo: echoed };
}

function rowsOf(all: readonly Carrier[], samples: Samples): Omit<ProxyRows, "missing"> {
  const figure = (name: string, read: (sample: Sample) => number): Figure => {
    const values = (samples.get(name) ?? []).map(read);
    const direct = (samples.get(DIRECT) ?? []).map(read);
    const ratios = values.map((value, round) => value / (direct[round] ?? Number.NaN));
    const value = median(values);
    return { value, ratio: value / median(direct), range: [Math.min(...ratios), Math.max(...ratios)] };
  };
  const streams = STREAMS.flatMap((count, index) =>
    all.map(({ name }) => {
      const of = (what: keyof StreamSample) =>
        figure(name, ({ streams }) => streams[index]?.[what] ?? Number.NaN);
      return {
        carrier: name,
        streams: count,
        gbitPerSecond: of("gbitPerSecond"),
        machine: of("machine"),
        involved: of("involved"),
        proxy: of("proxy").value,
      };
    }),
  );
  const answers = all.map(({ name }) => ({
    carrier: name,
    connectsPerSecond: figure(name, ({ connects: { count, seconds } }) => count / seconds),
    proxy: figure(name, ({ connects: { proxy } }) => proxy).value,
    p50: figure(name, ({ echo: { p50 } }) => p50),
    p99: figure(name, ({ echo: { p99 } }) => p99),
  }));
  return { streams, answers };
}
