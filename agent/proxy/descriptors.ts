/**
 * How many proxied connections this process's file descriptors are enough for. At its limit it could neither accept nor
 * talk to the API server: who comes then would have to wait, instead of being refused.
 */
import type { Limits } from "./quota.ts";

/** The client's socket and the upstream's. The pump's pipes are of those to spare: it makes do with fewer. */
const PER_CONNECTION = 2;
/** For all else: maps and programs, the API server, two listeners in each of a node's pods, pipes. */
const TO_SPARE = 512;

export interface Caps {
  readonly open: Limits;
  readonly pending: Limits;
}

/**
 * The same caps, unless `descriptors` are too few. Then all pods together have as many connections as there is room for,
 * one pod a quarter of them at most, and half are not for those that are only pending.
 */
export function withinDescriptors({ open, pending }: Caps, descriptors: number): Caps {
  const room = Math.max(0, Math.floor((descriptors - TO_SPARE) / PER_CONNECTION));
  if (open.all <= room) return { open, pending };
  const within = ({ perPod, all }: Limits, most: number): Limits => ({
    perPod: Math.min(perPod, Math.ceil(most / 4)),
    all: Math.min(all, most),
  });
  return { open: within(open, room), pending: within(pending, Math.ceil(room / 2)) };
}

/** RLIMIT_NOFILE, which Node.js has raised as far as it may. `limits`: the text of /proc/self/limits. */
export function descriptorLimit(limits: string): number {
  const [, soft = "unlimited"] = /^Max open files +(\S+)/m.exec(limits) ?? [];
  return soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
}
