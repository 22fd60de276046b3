import { describe, expect, it } from "vitest";
import { findCgroup2Mount, parseCgroupMounts } from "../../../agent/identity/mountinfo.ts";

const line = (root: string, mountPoint: string, type = "cgroup2") =>
  `41 31 0:38 ${root} ${mountPoint} rw,relatime shared:9 master:3 - ${type} cgroup rw`;

describe("where cgroup v2 is mounted", () => {
  it.each([
    ["alone", [line("/", "/sys/fs/cgroup")], "/sys/fs/cgroup"],
    [
      "beside v1",
      [line("/", "/sys/fs/cgroup/cpu", "cgroup"), line("/", "/sys/fs/cgroup/unified")],
      "/sys/fs/cgroup/unified",
    ],
    [
      "in a container that has the host's and, in a namespace of its own, its own",
      [line("/", "/sys/fs/cgroup"), line("/../../../..", "/host/sys/fs/cgroup")],
      "/host/sys/fs/cgroup",
    ],
    [
      "in a container that has the host's and a part of it",
      [line("/kubepods/burstable/pod1/2", "/sys/fs/cgroup"), line("/", "/host/cgroup")],
      "/host/cgroup",
    ],
    ["twice", [line("/", "/sys/fs/cgroup"), line("/", "/run/cilium/cgroupv2")], "/sys/fs/cgroup"],
    ["at a path with a space", [line("/", "/mnt/control\\040groups")], "/mnt/control groups"],
  ])("%s", (_, lines, mount) => expect(findCgroup2Mount(`${lines.join("\n")}\n`)).toBe(mount));

  it.each([
    ["nothing is mounted", "", "boot with systemd.unified_cgroup_hierarchy=1"],
    ["there is only v1", line("/", "/sys/fs/cgroup/cpu", "cgroup"), "no cgroup2 file system is mounted"],
    ["the options only look like it", line("/", "/mnt\\040-\\040cgroup2", "ext4"), "no cgroup2 file system"],
    ["only a part is mounted", line("/../../pod1/2", "/sys/fs/cgroup"), "mount the host's /sys/fs/cgroup"],
  ])("says what to do when %s", (_, text, message) => {
    const result = findCgroup2Mount(text);
    expect(result).toBeInstanceOf(Error);
    expect((result as Error).message).toContain(message);
  });
});

it("reads the mounts of both versions and skips what is no mountinfo line", () => {
  const text = `${line("/docker/1", "/sys/fs/cgroup/cpu", "cgroup")}\n\nnonsense - cgroup2\n${line("/", "/cg")}\n`;
  expect(parseCgroupMounts(text)).toEqual([
    { version: 1, root: "/docker/1", mountPoint: "/sys/fs/cgroup/cpu" },
    { version: 2, root: "/", mountPoint: "/cg" },
  ]);
});
