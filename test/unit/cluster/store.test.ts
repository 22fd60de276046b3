import { expect, test } from "vitest";
import { successor } from "../../../agent/cluster/store.ts";

const metadata = {
  uid: "u1",
  namespace: "shop",
  name: "policy",
  resourceVersion: "2",
  generation: 1,
  annotations: undefined,
  labels: undefined,
  creationTimestamp: undefined,
};
const entry = (value: unknown) => ({ uid: "u1", resourceVersion: "1", value, conditions: undefined });
const nested = (depth: number): unknown => JSON.parse("[".repeat(depth) + "]".repeat(depth));

test("an equal value is the same value", () => {
  const before = entry(nested(10));
  expect(successor(before, metadata, nested(10), undefined).value).toBe(before.value);
});

test("a value nested as deep as the API server lets through is read like any other", () => {
  const value = nested(9_999);
  const next = successor(entry(nested(9_999)), metadata, value, undefined);
  expect(next.resourceVersion).toBe("2");
  expect(next.value).toBe(value);
});
