import { describe, expect, it } from "vitest";
import { containerCgroupOf, parseProcCgroup, podCgroupOf } from "../../../agent/identity/cgroup-path.ts";

const UID = "0d5c3f1e-9a7b-4c21-8e60-5f2b7a9c4d13";
const ESCAPED = UID.replaceAll("-", "_");
const HASH = "7f3a9c1e5b2d4860a1b3c5d7e9f20416";
const ONE = "1".repeat(64);
const TWO = "2".repeat(64);

describe("the name of a directory at pod level", () => {
  it.each([
    [`pod${UID}`, { uid: UID }],
    [`pod${ESCAPED}`, { uid: UID }],
    [`kubepods-pod${ESCAPED}.slice`, { uid: UID }],
    [`kubepods-burstable-pod${ESCAPED}.slice`, { uid: UID }],
    [`kubepods-besteffort-pod${ESCAPED}.slice`, { uid: UID }],
    [`kubepods-burstable-pod${UID}.slice`, { uid: UID }],
    [`kubelet-kubepods-burstable-pod${ESCAPED}.slice`, { uid: UID }],
    [`tenant.example-kubepods-pod${ESCAPED}.slice`, { uid: UID }],
    [`pod${HASH}`, { configHash: HASH }],
    [`kubepods-burstable-pod${HASH}.slice`, { configHash: HASH }],
  ])("%s is a pod's", (name, pod) => expect(podCgroupOf(name)).toEqual(pod));

  it.each([
    ["", "it is empty"],
    ["kubepods.slice", "it is the root's"],
    ["kubepods-burstable.slice", "it is a QoS directory's"],
    ["burstable", "it is a QoS directory's"],
    [`kubepods-pod${ESCAPED}.slice.evil`, "something follows the suffix"],
    [`kubepods-pod${ESCAPED}.slice\n`, "a line break follows the suffix"],
    [`kubepods-pod${ESCAPED}`, "the suffix is missing"],
    [`pod${UID}.slice`, "the cgroupfs driver writes no suffix"],
    [`pod${UID}/../`, "it is no single directory"],
    [`/pod${UID}`, "it is no single directory"],
    [`evil/kubepods-pod${ESCAPED}.slice`, "it is no single directory"],
    [`evilpod${UID}`, "something precedes the prefix"],
    [`evilkubepods-pod${ESCAPED}.slice`, "something precedes the prefix"],
    [`-kubepods-pod${ESCAPED}.slice`, "a slice's name starts with no dash"],
    [`kubepods-guaranteed-pod${ESCAPED}.slice`, "there is no such QoS directory"],
    [`kubepods-burstable-besteffort-pod${ESCAPED}.slice`, "there are two QoS classes"],
    [`pod${UID.slice(0, -1)}`, "the UID is one digit short"],
    [`pod${UID}0`, "the UID is one digit long"],
    [`pod${UID.toUpperCase()}`, "UIDs are lower case, and another case is another UID"],
    [`pod${UID.replace("-", "_")}`, "the separators differ"],
    [`pod${HASH}0`, "the hash is one digit long"],
    [`pod${UID}${UID}`, "there are two UIDs"],
    ["podsandbox", "it has no UID"],
    [`kubepods-pod${ESCAPED}.slice:cri-containerd:${ONE}`, "it is a container's"],
    [ONE, "it is a container's"],
  ])("%j is nobody's: %s", (name) => expect(podCgroupOf(name)).toBeUndefined());
});

it.each([
  [ONE, { id: ONE, bare: true }],
  [`cri-containerd-${ONE}.scope`, { id: ONE, bare: false }],
  [`crio-${ONE}.scope`, { id: ONE, bare: false }],
  [`crio-conmon-${ONE}.scope`, { id: ONE, bare: false }],
  [`libpod-${ONE}`, { id: ONE, bare: false }],
  [`docker-${ONE}.scope.evil`, undefined],
  [`docker-${ONE}0.scope`, undefined],
  [`${ONE.slice(1)}`, undefined],
  ["init.scope", undefined],
])("the directory %s stands for the container %j", (name, container) =>
  expect(containerCgroupOf(name)).toEqual(container));

const none = { status: "none" };
const inPod = { status: "found", podUid: UID, containerId: ONE };
const outsidePods = { status: "found", containerId: ONE };

describe("a process's place by its cgroup", () => {
  it.each([
    ["a guaranteed pod, cgroupfs", `/kubepods/pod${UID}/${ONE}`, inPod],
    [
      "a guaranteed pod, systemd",
      `/kubepods.slice/kubepods-pod${ESCAPED}.slice/cri-containerd-${ONE}.scope`,
      inPod,
    ],
    ["Docker Desktop", `/kubepods/kubepods/burstable/pod${UID}/${ONE}`, inPod],
    ["kind in a docker container", `/docker/${TWO}/kubelet/kubepods/besteffort/pod${UID}/${ONE}`, inPod],
    [
      "kind in a podman container",
      `/machine.slice/libpod-${TWO}.scope/container/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod${ESCAPED}.slice/cri-containerd-${ONE}.scope`,
      inPod,
    ],
    ["a sibling pod, seen from a pod's cgroup namespace", `/../../pod${UID}/${ONE}`, inPod],
    ["a system in a pod's container", `/kubepods/pod${UID}/${ONE}/system.slice/sshd.service`, inPod],
    ["docker in a pod", `/kubepods/pod${UID}/${ONE}/docker/${TWO}`, inPod],
    ["crun's directory in a pod", `/kubepods/pod${UID}/crio-${ONE}.scope/container`, inPod],
    [
      "containerd without systemd",
      `/system.slice/containerd.service/kubepods-pod${ESCAPED}.slice:cri-containerd:${ONE}`,
      inPod,
    ],
    ["a static pod", `/kubepods/burstable/pod${HASH}/${ONE}`, outsidePods],
    ["docker", `/docker/${ONE}`, outsidePods],
    ["docker under a parent of the user's", `/actions_job/${ONE}`, outsidePods],
    ["docker, systemd", `/system.slice/docker-${ONE}.scope`, outsidePods],
    ["podman with crun", `/machine.slice/libpod-${ONE}.scope/container`, outsidePods],
    ["a sibling container, seen from a container's cgroup namespace", `/../${ONE}`, outsidePods],
    ["a bare id at the root, which no runtime makes", `/${ONE}`, none],
    ["a bare id among the pods", `/kubepods/burstable/${ONE}`, none],
    ["kubelet in kind's node", `/system.slice/docker-${ONE}.scope/system.slice/kubelet.service`, none],
    ["a pod's own directory, where no container runs", `/kubepods/pod${UID}`, none],
    ["a pod's directory and no container's name", `/kubepods/pod${UID}/evil`, none],
    ["a user's session", "/user.slice/user-1000.slice/session-2.scope", none],
    ["nothing", "/", none],
  ])("%s", (_, path, place) => expect(parseProcCgroup(`0::${path}\n`, undefined)).toEqual(place));

  it.each([
    ["a step up after a name", `/kubepods/pod${UID}/../${ONE}`],
    ["a step up to a pod", `/docker/../kubepods/pod${UID}/${ONE}`],
    ["an empty name", `/kubepods//pod${UID}/${ONE}`],
    ["no leading slash", `kubepods/pod${UID}/${ONE}`],
    ["a look-alike slice", `/kubepods.slice/kubepods-pod${ESCAPED}.slice.evil/${ONE}/x`],
  ])("a path the kernel does not write says nothing: %s", (_, path) =>
    expect(parseProcCgroup(`0::${path}`, undefined)).toEqual(none));

  it("takes the outermost pod, since a pod makes what directories it likes below its own", () => {
    const other = UID.replace("0d", "ff");
    const path = `/kubepods/pod${UID}/${ONE}/kubepods/burstable/pod${other}/${TWO}`;
    expect(parseProcCgroup(`0::${path}`, undefined)).toEqual(inPod);
  });

  it("reads every hierarchy and lets those that name a pod outrank the others", () => {
    const text = `4:memory:/docker/${TWO}\n2:cpu,cpuacct:/kubepods/pod${UID}/${ONE}\n1:name=systemd:/user.slice\n`;
    expect(parseProcCgroup(text, undefined)).toEqual(inPod);
  });

  it.each([
    [
      "multiple pod UIDs found",
      `/kubepods/pod${UID}/${ONE}`,
      `/kubepods/pod${UID.replace("0d", "ff")}/${ONE}`,
    ],
    ["multiple pod UIDs found", `/kubepods/pod${UID}/${ONE}`, `/kubepods/pod${HASH}/${ONE}`],
    ["multiple container IDs found", `/kubepods/pod${UID}/${ONE}`, `/kubepods/pod${UID}/${TWO}`],
    ["multiple container IDs found", `/docker/${ONE}`, `/docker/${TWO}`],
  ])("chooses none of two answers: %s", (message, one, two) => {
    const place = parseProcCgroup(`2:cpu:${one}\n1:memory:${two}\n`, undefined);
    expect(place.status === "error" && place.error.message).toContain(message);
  });

  it("is none where neither file can be read", () => {
    expect(parseProcCgroup(undefined, undefined)).toEqual(none);
  });
});

describe("a process's place by its mounts", () => {
  const mount = (root: string, type = "cgroup2") =>
    `1543 1542 0:32 ${root} /sys/fs/cgroup ro,nosuid master:11 - ${type} cgroup rw\n`;
  const podMount = mount(`/../../kubepods/pod${UID}/${ONE}`);

  it.each([undefined, "", "0::/\n", "2:cpu:/\n0::/\n"])("counts where the cgroup is %j", (cgroup) =>
    expect(parseProcCgroup(cgroup, podMount)).toEqual(inPod));

  it("does not count where the cgroup names a place, because a process arranges its mounts itself", () => {
    expect(parseProcCgroup("0::/user.slice/user-1000.slice/session-2.scope", podMount)).toEqual(none);
    expect(parseProcCgroup(`0::/docker/${TWO}`, podMount)).toEqual({ status: "found", containerId: TWO });
  });

  it("counts only mounts of cgroups, v1 and v2", () => {
    expect(parseProcCgroup(undefined, mount(`/docker/${ONE}`, "cgroup"))).toEqual(outsidePods);
    expect(parseProcCgroup(undefined, mount(`/docker/${ONE}`, "ext4"))).toEqual(none);
  });
});
