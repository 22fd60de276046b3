/** After which reconcile runs open connections are looked at. */
import { expect, test } from "vitest";
import type { Snapshot } from "../../../agent/cluster/snapshot.ts";
import { identityReader } from "../../../agent/identity/pod-identity.ts";
import { mayRevoke } from "../../../agent/reauthorize/change.ts";
import { connectionPolicy, denyNamespace } from "../guard/builders.ts";
import { localPod, runs } from "./run.ts";

const policy = connectionPolicy("payments/p", ["ledger"], denyNamespace("sandbox"));
const web = localPod("sandbox/web");
const BEFORE: Partial<Snapshot> = { connectionPolicies: [policy], localPods: [web] };

test.each<[string, Partial<Snapshot>, number, boolean]>([
  ["nothing", {}, 0, false],
  ["something in the kernel", {}, 1, true],
  ["a pod that is not this node's", { pods: [localPod("sandbox/far")] }, 0, false],
  [
    "a policy's text",
    {
      connectionPolicies: [{ ...policy, ...connectionPolicy("payments/p", ["ledger"], denyNamespace("x")) }],
    },
    0,
    true,
  ],
  ["a policy's mode", { connectionPolicies: [{ ...policy, audit: true }] }, 0, true],
  [
    "whether it decides at connecting alone",
    { connectionPolicies: [{ ...policy, connectOnly: true }] },
    0,
    true,
  ],
  ["one policy more", { connectionPolicies: [policy, { ...policy, name: "q" }] }, 0, true],
  ["no policy any more", { connectionPolicies: [] }, 1, false],
  ["a pod's annotation", { localPods: [{ ...web, annotations: new Map([["ngrok.com/a", "b"]]) }] }, 0, true],
  [
    "a namespace's labels",
    { namespaces: new Map([["sandbox", { name: "sandbox", labels: new Map([["a", "b"]]) }]]) },
    0,
    true,
  ],
  ["one pod more", { localPods: [web, localPod("sandbox/more")] }, 0, true],
  ["one pod less", { localPods: [] }, 0, false],
])("a run that changes %s", (_name, parts, changes, wanted) => {
  const [run, identityOf] = [runs(), identityReader()];
  expect(mayRevoke(run(BEFORE), run({ ...BEFORE, ...parts }, changes), identityOf)).toBe(wanted);
});

test("the first run: connections may be older than the agent", () => {
  const run = runs();
  expect(mayRevoke(undefined, run(BEFORE), identityReader())).toBe(true);
  expect(mayRevoke(undefined, run({ localPods: [web] }), identityReader())).toBe(false);
});
