import { expect, test } from "vitest";
import { LineLimit } from "../../../agent/verdict/line-limit.ts";

test("a caller has so many lines a second about one guard, and the next says how many had none", () => {
  const limit = new LineLimit(2);
  expect([0, 1, 2, 3].map((now) => limit.take(1n, 5, now))).toEqual([0, 0, undefined, undefined]);
  expect(limit.take(1n, 6, 4)).toBe(0);
  expect(limit.take(2n, 5, 4)).toBe(0);
  expect(limit.take(1n, 5, 1000)).toBe(2);
  expect(limit.take(1n, 5, 1001)).toBe(0);
});

test("a caller with many guards to dial has ten times as many lines about all of them", () => {
  const limit = new LineLimit(2);
  const lines = Array.from({ length: 50 }, (_, guard) => limit.take(1n, guard + 1, 0));
  expect(lines.filter((suppressed) => suppressed !== undefined)).toHaveLength(20);
});

test("a clock that goes back does not silence anybody", () => {
  const limit = new LineLimit(1);
  expect([limit.take(1n, 5, 10_000), limit.take(1n, 5, 10_001), limit.take(1n, 5, 10)]).toEqual([
    0,
    undefined,
    1,
  ]);
});
