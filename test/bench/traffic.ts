/** Loads the way from a pod to `peer`, and says what came through; the loads themselves are in programs/traffic.c. */
import { program } from "../e2e/support/programs.ts";
import type { PodHandle } from "../lab/pod-handle.ts";

export interface To {
  readonly address: string;
  readonly port: number;
}

/** Until the peer had all of it. */
export interface Streamed {
  readonly seconds: number;
  readonly bytes: number;
  /** Seconds of processor time that sending took. */
  readonly cpu: number;
  /** The same of the whole machine, whatever it did. */
  readonly busy: number;
}

export interface Answered {
  readonly seconds: number;
  readonly count: number;
  /** Nanoseconds. */
  readonly p50: number;
  readonly p99: number;
}

type From = Pick<PodHandle, "exec">;

export function stream(from: From, to: To, connections: number, seconds: number): Promise<Streamed> {
  return load(from, to, "stream", connections, seconds);
}

/** One byte there and back on one connection, again and again. */
export function echo(from: From, to: To, seconds: number): Promise<Answered> {
  return load(from, to, "echo", 1, seconds);
}

/** Connections that have one byte echoed each. The times are from connect() to the echo. */
export function connects(from: From, to: To, atATime: number, seconds: number): Promise<Answered> {
  return load(from, to, "connect", atATime, seconds);
}

async function load<Said>(from: From, to: To, kind: string, count: number, seconds: number): Promise<Said> {
  const { address, port } = to;
  const argv = [program("traffic"), kind, address, String(port), String(count), String(seconds)];
  const { status, stdout, stderr } = await from.exec(argv, { timeoutMs: 30_000 });
  if (status !== 0) throw new Error(`${kind} to ${address} port ${port}: ${stderr.trim()}`);
  return JSON.parse(stdout) as Said;
}
