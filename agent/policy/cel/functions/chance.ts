/** Chance. An expression that calls these has no answer that could be kept. */
import type { Frame } from "../frame.ts";
import { Failure } from "../value.ts";
import { overload } from "./overload.ts";

export const CHANCE = [
  overload("rand.double(): double", (frame: Frame) => frame.random()),
  overload("rand.int(): int", (frame: Frame) => between(0n, 1n, frame)),
  overload("rand.int(int, int): int", between),
];

/** Both ends can come up. */
function between(from: bigint, to: bigint, frame: Frame): bigint | Failure {
  if (from < 0n || to < from || to > BigInt(Number.MAX_SAFE_INTEGER)) {
    return new Failure("rand.int() needs two positive numbers, the smaller first");
  }
  return from + BigInt(Math.floor(frame.random() * Number(to - from + 1n)));
}
