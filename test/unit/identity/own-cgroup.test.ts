import { expect, test } from "vitest";
import { findOwnCgroup } from "../../../agent/identity/own-cgroup.ts";

const tree: Readonly<Record<string, readonly string[]>> = {
  "/pods": ["burstable", "podx"],
  "/pods/burstable": ["pod1"],
  "/pods/burstable/pod1": ["agent", "broker"],
};
const read = (path: string) => tree[path] ?? [];

test("a process finds its cgroup by its number", () => {
  const processes = (path: string) => (path.endsWith("/agent") ? [0, 42] : [0]);
  expect(findOwnCgroup("/pods", 42, read, processes)).toBe("/pods/burstable/pod1/agent");
});

test("a process that is in the root itself, or elsewhere, is in none below it", () => {
  expect(findOwnCgroup("/pods", 42, read, (path) => (path === "/pods" ? [42] : []))).toBeUndefined();
  expect(
    findOwnCgroup(
      "/missing",
      42,
      () => new Error("ENOENT"),
      () => [42],
    ),
  ).toBeUndefined();
});

test("the search ends where the kernel's does", () => {
  expect(
    findOwnCgroup(
      "/",
      42,
      () => ["a"],
      (path) => (path.split("/").length > 7 ? [42] : []),
    ),
  ).toBeUndefined();
});
