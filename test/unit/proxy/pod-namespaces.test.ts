import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { Netns } from "../../../agent/dataplane/native.ts";
import { PodNamespaces } from "../../../agent/proxy/pod-namespaces.ts";

const COOKIE = 7n;
const NOBODY = 1 << 30;
const roots: string[] = [];

afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

/** A tree of directories in which `pids` says who is where; every process is in one namespace. */
function find(pids: Readonly<Record<string, number>>): Netns {
  const root = mkdtempSync(join(tmpdir(), "podgate-cgroups-"));
  roots.push(root);
  for (const [path, pid] of Object.entries(pids)) {
    mkdirSync(join(root, path), { recursive: true });
    writeFileSync(join(root, path, "cgroup.procs"), `${pid}\n`);
  }
  const open = () => ({ cookie: COOKIE, close: () => {} }) as unknown as Netns;
  return new PodNamespaces({ open }, root, new Set()).find({ cgroup: "pod", cookie: COOKIE });
}

const crowd = (container: string, count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`pod/${container}/d${i}`, NOBODY]));

test("of what a container makes within itself not more is looked through than is bounded", () => {
  const deep = Object.fromEntries(
    Array.from({ length: 2000 }, (_, i) => [`pod/a/d${i}`, i === 0 ? NOBODY : process.pid]),
  );
  expect(find(deep).cookie).toBe(COOKIE);
  const beyond = `pod/a/${"x/".repeat(200)}y`;
  expect(() => find({ ...crowd("a", 1500), [beyond]: process.pid })).toThrow("no process of it is there");
});

test("what one container hides is found by way of another, whatever it is called", () => {
  for (const name of ["0", "zz"]) {
    expect(find({ ...crowd("m", 1500), [`pod/${name}`]: process.pid }).cookie).toBe(COOKIE);
  }
  expect(find({ ...crowd("m", 1500), "pod/m": process.pid }).cookie).toBe(COOKIE);
});
