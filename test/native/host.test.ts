import { execFileSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Native } from "../../agent/dataplane/native.ts";
import { builtNative, obstacle, projectRoot, Scratch } from "./scratch.ts";

describe.skipIf(obstacle())("functions about the host", () => {
  let native: Native;
  let scratch: Scratch;
  beforeAll(() => {
    native = builtNative();
    scratch = new Scratch();
  });
  afterAll(() => scratch?.remove());

  it("cgroupId is the inode of a cgroup2 directory, and an error elsewhere", () => {
    expect(native.cgroupId(scratch.cgroup)).toBe(statSync(scratch.cgroup, { bigint: true }).ino);
    expect(native.cgroupId(dirname(scratch.cgroup))).not.toBe(native.cgroupId(scratch.cgroup));
    expect(() => native.cgroupId("/tmp")).toThrow(expect.objectContaining({ code: "EOPNOTSUPP" }));
    expect(() => native.cgroupId("/nonexistent")).toThrow(expect.objectContaining({ code: "ENOENT" }));
    expect(() => native.cgroupId(`${scratch.cgroup}/cgroup.procs`)).toThrow(
      expect.objectContaining({ code: "ENOTDIR" }),
    );
  });

  it("file systems are told apart by their magic; what is not there is an error, not false", () => {
    expect([scratch.pins, scratch.cgroup, "/tmp"].map((path) => native.isBpffs(path))).toEqual([
      true,
      false,
      false,
    ]);
    expect([scratch.pins, scratch.cgroup, "/tmp"].map((path) => native.isCgroup2(path))).toEqual([
      false,
      true,
      false,
    ]);
    expect(() => native.isBpffs("/nonexistent")).toThrow(expect.objectContaining({ code: "ENOENT" }));
  });

  it("netnsCookie differs in another network namespace and stays the same in this one", () => {
    expect(native.netnsCookie()).toBe(native.netnsCookie());
    expect(native.netnsCookie()).toBeGreaterThan(0n);
    const script = `import { loadNative } from "${projectRoot}/agent/dataplane/native.ts"; console.log(String(loadNative().netnsCookie()));`;
    const command = [process.execPath, "--input-type=module", "-e", script];
    const inside = execFileSync("unshare", ["-n", ...command], { encoding: "utf8" });
    expect(BigInt(inside.trim())).not.toBe(native.netnsCookie());
  });

  it("bootTime is the clock that the machine's uptime is read from, in nanoseconds", () => {
    const uptime = () => Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
    const [before, time, after] = [uptime(), Number(native.bootTime()) / 1e9, uptime()];
    expect(time).toBeGreaterThanOrEqual(before);
    expect(time).toBeLessThanOrEqual(after + 0.011);
  });

  it("possibleCpus is at least the number of CPUs online", () => {
    const online = Number(execFileSync("nproc", ["--all"], { encoding: "utf8" }));
    expect(native.possibleCpus()).toBeGreaterThanOrEqual(online);
  });

  it("lockDirectory holds until closed, also on bpffs, and against other processes", () => {
    const held = expect.objectContaining({
      code: "EWOULDBLOCK",
      operation: `lock directory ${scratch.pins}`,
    });
    const lock = native.lockDirectory(scratch.pins);
    expect(() => native.lockDirectory(scratch.pins)).toThrow(held);
    const tryLock = () =>
      execFileSync("sh", ["-c", 'flock -n "$1" true && echo free || echo held', "sh", scratch.pins]);
    expect(String(tryLock()).trim()).toBe("held");
    lock.close();
    lock.close();
    expect(String(tryLock()).trim()).toBe("free");
    native.lockDirectory(scratch.pins).close();
    expect(() => native.lockDirectory("/nonexistent")).toThrow(expect.objectContaining({ code: "ENOENT" }));
    expect(() => native.lockDirectory(import.meta.filename)).toThrow(
      expect.objectContaining({ code: "ENOTDIR" }),
    );
  });

  it("setMemlockUnlimited lifts the limit of this process as far as it may", () => {
    const script = `import { readFileSync } from "node:fs"; import { loadNative } from "${projectRoot}/agent/dataplane/native.ts";
      loadNative().setMemlockUnlimited(); console.log(readFileSync("/proc/self/limits", "utf8").match(/Max locked memory +(\\S+) +(\\S+)/).slice(1).join());`;
    const command = [
      "-c",
      'ulimit -S -l 64; exec "$@"',
      "sh",
      process.execPath,
      "--input-type=module",
      "-e",
      script,
    ];
    const [soft, hard] = execFileSync("sh", command, { encoding: "utf8" }).trim().split(",");
    expect(soft).toBe(hard);
    expect(soft).not.toBe("65536");
  });
});
