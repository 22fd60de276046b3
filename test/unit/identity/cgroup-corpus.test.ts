import { describe, expect, it } from "vitest";
import { findKubepodsRoot, listPodCgroups } from "../../../agent/identity/cgroup-tree.ts";
import { registerPods } from "../../../agent/identity/local-pods.ts";
import type { LocalPod } from "../../../agent/model/objects.ts";
import { type CorpusCase, corpusCases, hasCorpus } from "./corpus.ts";
import { parseProcCgroup } from "./proc-cgroup.ts";
import { treeOf } from "./tree.ts";

/** Cases whose question does not arise here. One that starts to pass must be taken off. */
const INAPPLICABLE = new Map([
  [
    "identity-pod/spire-crio-container-id-only",
    "the node has no pod directories; a pod is its directory's id, a container's name is no evidence",
  ],
]);

function table<Expected>(family: string, check: (example: CorpusCase<Expected>) => void): void {
  describe.skipIf(!hasCorpus)(`${family} (needs the corpus: set PODGATE_CORPUS)`, () => {
    for (const example of corpusCases<Expected>(family)) {
      const reason = INAPPLICABLE.get(example.id);
      if (reason === undefined) it(`${example.id}: ${example.title}`, () => check(example));
      else it.fails(`${example.id} does not apply: ${reason}`, () => check(example));
    }
    it("has cases", () => expect(corpusCases(family).length).toBeGreaterThan(0));
  });
}

interface ExpectedPlace {
  readonly status: "found" | "none" | "error";
  readonly podUID: string | null;
  readonly containerID: string | null;
  readonly containerIDPrefix?: string | null;
  readonly errorContains?: string;
}

table<ExpectedPlace>("identity-cgroup", ({ expected, file }) => {
  const place = parseProcCgroup(file("proc/123/cgroup"), file("proc/123/mountinfo"));
  const found = place.status === "found" ? place : undefined;
  expect(place.status).toBe(expected.status);
  expect(found?.podUid ?? null).toBe(expected.podUID);
  if (expected.containerID !== "unspecified") expect(found?.containerId ?? null).toBe(expected.containerID);
  if (expected.containerIDPrefix)
    expect(found?.containerId.startsWith(expected.containerIDPrefix)).toBe(true);
  if (expected.errorContains) {
    expect(place.status === "error" && place.error.message).toContain(expected.errorContains);
  }
});

interface ExpectedPod {
  readonly pod: Pick<LocalPod, "namespace" | "name" | "uid" | "nodeName" | "hostNetwork"> | null;
}

// The rest of an expected pod (labels, service account, container) is no part of an identity.
table<ExpectedPod>("identity-pod", ({ expected, file }) => {
  const paths = (file("proc/123/cgroup") ?? "").split("\n").map((line) => line.slice(line.indexOf(":/") + 1));
  const pods = readPods(file("pods.json") ?? "");
  const pod = podByCgroup(paths, pods, "cgroup");
  expect(pod ?? null).toEqual(expected.pod === null ? null : expect.objectContaining(wanted(expected.pod)));
  const strictly = podByCgroup(paths, pods, "none");
  expect(strictly).toEqual(pod?.hostNetwork ? undefined : pod);
});

function wanted({ namespace, name, uid, nodeName, hostNetwork }: NonNullable<ExpectedPod["pod"]>) {
  return { namespace, name, uid, nodeName, hostNetwork };
}

/** As the agent does it: the tree's pod directories, registered; then the one the process is in. */
function podByCgroup(
  paths: readonly string[],
  pods: readonly LocalPod[],
  hostNetworkIdentity: "none" | "cgroup",
): LocalPod | undefined {
  const read = treeOf(paths.map((path) => `/cg${path}`));
  const root = findKubepodsRoot("/cg", read);
  const directories = root instanceof Error ? [] : listPodCgroups(root.path, read);
  if (directories instanceof Error) throw directories;
  const ids = new Map(directories.map(({ path }, index) => [path, BigInt(index + 1)]));
  const { registered } = registerPods(pods, directories, [], (path) => ids.get(path) ?? 0n, {
    hostNetworkIdentity,
    nodeNetnsCookie: 1n,
  });
  const owners = registered.filter(({ cgroupIds }) =>
    [...ids].some(
      ([path, id]) => cgroupIds.includes(id) && paths.some((own) => `/cg${own}`.startsWith(`${path}/`)),
    ),
  );
  expect(owners.length).toBeLessThan(2);
  return owners[0]?.pod;
}

interface PodJson {
  readonly metadata: { readonly uid: string; readonly namespace: string; readonly name: string };
  readonly spec: { readonly nodeName: string; readonly hostNetwork?: boolean };
  readonly status: { readonly phase: string };
}

function readPods(text: string): LocalPod[] {
  const { items } = JSON.parse(text) as { items: PodJson[] };
  return items.map(({ metadata, spec, status }) => ({
    uid: metadata.uid,
    namespace: metadata.namespace,
    name: metadata.name,
    nodeName: spec.nodeName,
    hostNetwork: spec.hostNetwork ?? false,
    completed: ["Succeeded", "Failed"].includes(status.phase),
    ips: [],
    annotations: new Map(),
    labels: new Map(),
    serviceAccount: "",
  }));
}
