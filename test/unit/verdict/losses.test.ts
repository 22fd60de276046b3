import { expect, test } from "vitest";
import { lossReport } from "../../../agent/verdict/losses.ts";

test("only what is newly lost or dropped is told, and once", () => {
  const told: [number, number][] = [];
  const losses = lossReport(5, (lost, dropped) => told.push([lost, dropped]));
  losses(5, 0);
  losses(8, 0);
  losses(8, 0);
  losses(8, 2);
  losses(9, 3);
  expect(told).toEqual([
    [3, 0],
    [0, 2],
    [1, 1],
  ]);
});
