import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findKubepodsRoot, listPodCgroups, readDirectory } from "../../../agent/identity/cgroup-tree.ts";
import { treeOf } from "./tree.ts";

const UID = "0d5c3f1e-9a7b-4c21-8e60-5f2b7a9c4d13";
const ESCAPED = UID.replaceAll("-", "_");
const OTHER = "ffffffff-9a7b-4c21-8e60-5f2b7a9c4d13";
const HASH = "7f3a9c1e5b2d4860a1b3c5d7e9f20416";
const ID = "a".repeat(64);

describe("the kubepods root", () => {
  it.each([
    ["/cg/kubepods.slice", "systemd"],
    ["/cg/kubepods", "cgroupfs"],
    ["/cg/kubelet.slice/kubelet-kubepods.slice", "systemd"],
    ["/cg/kubelet/kubepods", "cgroupfs"],
    ["/cg/podruntime.slice/podruntime-kubepods.slice", "systemd"],
    ["/cg/podruntime/kubepods", "cgroupfs"],
    ["/cg/kubepods/kubepods", "cgroupfs"],
    [`/cg/docker/${ID}/kubelet/kubepods`, "cgroupfs"],
    [`/cg/system.slice/docker-${ID}.scope/kubepods.slice`, "systemd"],
    [`/cg/system.slice/docker-${ID}.scope/kubelet.slice/kubelet-kubepods.slice`, "systemd"],
    [`/cg/machine.slice/libpod-${ID}.scope/container/kubelet/kubepods`, "cgroupfs"],
  ])("is found at %s", (path, driver) => {
    const others = ["/cg/system.slice/sshd.service", "/cg/user.slice", "/cg/init.scope"];
    expect(findKubepodsRoot("/cg", treeOf([path, ...others]))).toEqual({ path, driver });
  });

  it("is the one with pods, where kubelet's driver was changed", () => {
    const read = treeOf(["/cg/kubepods.slice", `/cg/kubepods/burstable/pod${UID}`]);
    expect(findKubepodsRoot("/cg", read)).toEqual({ path: "/cg/kubepods", driver: "cgroupfs" });
  });

  it("is the node's own, where a pod or a user runs a cluster in a container", () => {
    const read = treeOf(["/cg/kubepods.slice", `/cg/docker/${ID}/kubepods/pod${UID}`]);
    expect(findKubepodsRoot("/cg", read)).toMatchObject({ path: "/cg/kubepods.slice" });
  });

  it.each([
    [
      "two drivers' with pods in both",
      [`/cg/kubepods/pod${UID}`, `/cg/kubepods.slice/kubepods-pod${ESCAPED}.slice`],
    ],
    ["two drivers' without pods", ["/cg/kubepods", "/cg/kubepods.slice"]],
    [
      "two kind nodes'",
      [`/cg/docker/${ID}/kubelet/kubepods`, `/cg/docker/${"b".repeat(64)}/kubelet/kubepods`],
    ],
  ])("is not guessed: %s", (_, paths) => {
    const result = findKubepodsRoot("/cg", treeOf(paths));
    expect((result as Error).message).toMatch(/ and .* may each be it: pass --cgroup-root/);
  });

  it.each([
    ["no directory at all", ["/cg/system.slice"]],
    ["a name that resembles one", ["/cg/kubepods.slice.evil", "/cg/my-kubepods.slice", "/cg/kubepods2"]],
    ["a directory too deep", ["/cg/foo/kubepods.slice"]],
    ["a user's directory", [`/cg/user.slice/docker-${ID}.scope/kubepods.slice`]],
    ["a directory below what only resembles a container", ["/cg/system.slice/docker-1.scope/kubepods.slice"]],
  ])("is not %s; the error says what was looked for", (_, paths) => {
    const result = findKubepodsRoot("/cg", treeOf(paths));
    expect((result as Error).message).toMatch(
      /\/cg has none of kubepods\.slice, kubepods, .*: pass --cgroup-root/,
    );
  });

  it("is not looked for elsewhere when a directory that may be it cannot be read", () => {
    const result = findKubepodsRoot("/cg", treeOf(["/cg/kubelet/kubepods"], ["/cg/kubepods.slice"]));
    expect((result as Error).message).toBe(
      "find the kubepods cgroup: list pods in /cg/kubepods.slice: EACCES",
    );
  });
});

describe("the pods' directories", () => {
  it("are those directly under the root and under its QoS directories, by the systemd driver", () => {
    const root = "/cg/kubepods.slice";
    const guaranteed = `kubepods-pod${ESCAPED}.slice`;
    const burstable = `kubepods-burstable-pod${OTHER.replaceAll("-", "_")}.slice`;
    const besteffort = `kubepods-besteffort-pod${HASH}.slice`;
    const read = treeOf([
      `${root}/${guaranteed}/cri-containerd-${ID}.scope`,
      `${root}/kubepods-burstable.slice/${burstable}`,
      `${root}/kubepods-besteffort.slice/${besteffort}`,
    ]);
    expect(listPodCgroups(root, read)).toEqual([
      { path: `${root}/${guaranteed}`, name: guaranteed, uid: UID },
      { path: `${root}/kubepods-besteffort.slice/${besteffort}`, name: besteffort, configHash: HASH },
      { path: `${root}/kubepods-burstable.slice/${burstable}`, name: burstable, uid: OTHER },
    ]);
  });

  it("are found the same way by the cgroupfs driver and under kind's slice", () => {
    expect(listPodCgroups("/cg/kubepods", treeOf([`/cg/kubepods/burstable/pod${UID}/${ID}`]))).toEqual([
      { path: `/cg/kubepods/burstable/pod${UID}`, name: `pod${UID}`, uid: UID },
    ]);
    const root = "/cg/kubelet.slice/kubelet-kubepods.slice";
    const name = `kubelet-kubepods-burstable-pod${ESCAPED}.slice`;
    const path = `${root}/kubelet-kubepods-burstable.slice/${name}`;
    expect(listPodCgroups(root, treeOf([path]))).toEqual([{ path, name, uid: UID }]);
  });

  it.each([
    [
      "a container's directory named as a pod's, one level too deep",
      `/cg/kubepods/burstable/pod${OTHER}/pod${UID}`,
    ],
    ["the same without a QoS directory", `/cg/kubepods/pod${OTHER}/pod${UID}`],
    ["a directory below an unknown one", `/cg/kubepods/guaranteed/pod${UID}`],
    ["a directory below a look-alike", `/cg/kubepods/burstable.evil/pod${UID}`],
    ["a directory of another driver's QoS class", `/cg/kubepods/kubepods-burstable.slice/pod${UID}`],
    ["a look-alike name", `/cg/kubepods/kubepods-pod${ESCAPED}.slice.evil`],
  ])("never are %s", (_, path) => {
    const found = listPodCgroups("/cg/kubepods", treeOf([path]));
    expect(found).not.toBeInstanceOf(Error);
    expect(found).not.toContainEqual(expect.objectContaining({ uid: UID }));
  });

  it("never are slices that name another parent than theirs", () => {
    const root = "/cg/kubepods.slice";
    const read = treeOf([
      `${root}/kubepods-burstable-pod${ESCAPED}.slice`,
      `${root}/kubepods-burstable.slice/kubepods-pod${ESCAPED}.slice`,
      `${root}/evil-kubepods-pod${ESCAPED}.slice`,
    ]);
    expect(listPodCgroups(root, read)).toEqual([]);
  });

  it("could not be listed when the root is gone or a QoS directory is closed, which is not the same as none", () => {
    expect((listPodCgroups("/cg/kubepods", treeOf(["/cg"])) as Error).message).toBe(
      "list pods in /cg/kubepods: ENOENT",
    );
    const closed = treeOf(["/cg/kubepods"], ["/cg/kubepods/burstable"]);
    expect((listPodCgroups("/cg/kubepods", closed) as Error).message).toBe(
      "list pods in /cg/kubepods/burstable: EACCES",
    );
  });
});

describe("reading the file system", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "podgate-cgroup-tree-"));
    mkdirSync(join(folder, `kubepods/burstable/pod${UID}`), { recursive: true });
    writeFileSync(join(folder, `kubepods/pod${OTHER}`), "");
    symlinkSync(join(folder, "kubepods"), join(folder, "kubelet"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it("sees directories, not files or links", () => {
    expect(readDirectory(folder)).toEqual(["kubepods"]);
    expect(readDirectory(join(folder, "kubepods"))).toEqual(["burstable"]);
    expect(readDirectory(join(folder, "none"))).toMatchObject({ code: "ENOENT" });
  });

  it("finds root and pods", () => {
    const root = join(folder, "kubepods");
    expect(findKubepodsRoot(folder, readDirectory)).toEqual({ path: root, driver: "cgroupfs" });
    expect(listPodCgroups(root, readDirectory)).toEqual([
      { path: join(root, `burstable/pod${UID}`), name: `pod${UID}`, uid: UID },
    ]);
  });
});
