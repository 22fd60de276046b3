import { describe, expect, it } from "vitest";
import { containerCgroupOf, podCgroupOf } from "../../../agent/identity/cgroup-path.ts";

const UID = "0d5c3f1e-9a7b-4c21-8e60-5f2b7a9c4d13";
const ESCAPED = UID.replaceAll("-", "_");
const HASH = "7f3a9c1e5b2d4860a1b3c5d7e9f20416";
const ONE = "1".repeat(64);

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
  [ONE, ONE],
  [`cri-containerd-${ONE}.scope`, ONE],
  [`crio-${ONE}.scope`, ONE],
  [`crio-conmon-${ONE}.scope`, ONE],
  [`libpod-${ONE}`, ONE],
  [`docker-${ONE}.scope.evil`, undefined],
  [`docker-${ONE}0.scope`, undefined],
  [`${ONE.slice(1)}`, undefined],
  ["init.scope", undefined],
])("the directory %s stands for the container %j", (name, container) =>
  expect(containerCgroupOf(name)).toBe(container));
