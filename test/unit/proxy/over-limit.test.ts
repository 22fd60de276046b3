import { expect, test } from "vitest";
import { OverLimit } from "../../../agent/proxy/over-limit.ts";
import { Quota } from "../../../agent/proxy/quota.ts";

test("a pod at its limit is told once, and again when an eighth is free", () => {
  const changes: (string | undefined)[] = [];
  const over = new OverLimit((pod) => changes.push(pod));
  const states = [15, 16, 16, 15, 16, 14, 15, 16].map((used) => {
    over.update("open", "a", used, 16);
    return over.has("a");
  });
  expect(states).toEqual([false, true, true, true, true, false, false, true]);
  expect(over.has("b")).toBe(false);
  expect(changes).toEqual(["a", "a", "a"]);
});

test("a limit of one is free at none", () => {
  const over = new OverLimit(() => {});
  over.update("open", "a", 1, 1);
  expect(over.has("a")).toBe(true);
  over.update("open", "a", 0, 1);
  expect(over.has("a")).toBe(false);
});

test("whatever is full keeps the pod out, and what all have together keeps all out", () => {
  const over = new OverLimit(() => {});
  over.update("open", "a", 5, 5);
  over.update("waiting", "a", 5, 5);
  over.update("open", "a", 0, 5);
  expect(over.has("a")).toBe(true);
  over.update("waiting", "a", 0, 5);
  expect(over.has("a")).toBe(false);
  over.update("pending", undefined, 9, 9);
  expect([over.has("a"), over.has("b")]).toEqual([true, true]);
});

test("a quota says what is taken, of a pod and of all", () => {
  const told: unknown[] = [];
  const quota = new Quota({ perPod: 2, all: 3 }, (...what) => told.push(what));
  quota.take("a");
  quota.take("b");
  quota.give("a");
  expect(told).toEqual([
    ["a", 1, 2],
    [undefined, 1, 3],
    ["b", 1, 2],
    [undefined, 2, 3],
    ["a", 0, 2],
    [undefined, 1, 3],
  ]);
});
