import { expect, test } from "vitest";
import { Quota } from "../../../agent/proxy/quota.ts";

test("one pod cannot take what is for all", () => {
  const quota = new Quota({ perPod: 2, all: 3 });
  expect(["a", "a", "a", "b", "c"].map((pod) => quota.take(pod))).toEqual([true, true, false, true, false]);
  expect(quota.size).toBe(3);
  quota.give("a");
  expect([quota.take("c"), quota.take("a")]).toEqual([true, false]);
});

test("many pods that take all they get leave something for who comes next", () => {
  const quota = new Quota({ perPod: 100, all: 1000 });
  const hogs = Array.from({ length: 30 }, (_, i) => `hog ${i}`);
  for (let i = 0; i < 100; i++) for (const hog of hogs) quota.take(hog);
  const got = Array.from({ length: 100 }, () => quota.take("late")).filter((taken) => taken).length;
  expect(got).toBeGreaterThan(10);
  expect(quota.size).toBeLessThanOrEqual(1000);
});

test("what was not taken cannot be given back", () => {
  const quota = new Quota({ perPod: 1, all: 1 });
  quota.take("a");
  expect(() => quota.give("b")).toThrow("give back room of pod b");
  quota.give("a");
  expect(() => quota.give("a")).toThrow(RangeError);
  expect(quota.size).toBe(0);
});
