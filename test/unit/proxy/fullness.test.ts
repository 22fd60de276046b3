import { expect, test } from "vitest";
import { Fullness } from "../../../agent/proxy/fullness.ts";

test("what is full changes once, and again when an eighth is free", () => {
  const full = new Fullness();
  const states = [15, 16, 16, 15, 16, 14, 15, 16].map((used) => [full.update("a", used, 16), full.has("a")]);
  expect(states).toEqual([
    [false, false],
    [true, true],
    [false, true],
    [false, true],
    [false, true],
    [true, false],
    [false, false],
    [true, true],
  ]);
  expect([full.has("b"), full.has(undefined)]).toEqual([false, false]);
});

test("a limit of one is free at none", () => {
  const full = new Fullness();
  full.update(undefined, 1, 1);
  expect(full.has(undefined)).toBe(true);
  full.update(undefined, 0, 1);
  expect(full.has(undefined)).toBe(false);
});
