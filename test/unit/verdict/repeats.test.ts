import { expect, test } from "vitest";
import { limitRepeats } from "../../../agent/verdict/repeats.ts";

test("what is said a hundred times has ten lines a minute, and what is said once its own", () => {
  const lines: unknown[] = [];
  let now = 0;
  const log = limitRepeats(
    (...line) => lines.push(line),
    () => now,
  );
  for (let i = 0; i < 100; i++) log("warn", "it is away", { i });
  log("info", "it is there");
  expect(lines.slice(9)).toEqual([
    ["warn", "it is away", { i: 9 }],
    ["info", "it is there", undefined],
  ]);
  now += 60_000;
  log("warn", "it is away", { i: 100 });
  log("warn", "it is away", { i: 101 });
  expect(lines.slice(11)).toEqual([
    ["warn", "it is away", { i: 100, suppressed: 90 }],
    ["warn", "it is away", { i: 101 }],
  ]);
});
