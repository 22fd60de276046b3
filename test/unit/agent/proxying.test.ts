import { describe, expect, test } from "vitest";
import type { Travelled } from "../../../agent/guard/travel.ts";
import type { RegisteredPod } from "../../../agent/identity/local-pods.ts";
import type { LocalPod } from "../../../agent/model/objects.ts";
import type { Verdict } from "../../../agent/model/verdict.ts";
import { placesOf } from "../../../agent/pod-places.ts";
import { rulingOf } from "../../../agent/recall.ts";

const policy = { kind: "ConnectionPolicy" as const, namespace: "bank", name: "ledger" };
const end = { address: "10.96.0.1", port: 80 };
const allow: Verdict = { action: "allow", reason: "fell-through" };
const forward: Verdict = {
  action: "forward",
  reason: "rule",
  policy,
  rule: 1,
  forward: { service: "bank/spare", port: 80, ipv4: "10.96.0.1" },
};
const deny: Verdict = { action: "deny", reason: "rule", policy, rule: 0 };
const open: Verdict = {
  action: "proxy",
  reason: "pending",
  policy,
  rule: 2,
  onAgentDown: "allow",
  error: "it hangs on conn.client_ip",
};
const way = (verdicts: readonly Verdict[], more: Partial<Travelled> = {}): Travelled => ({
  verdicts,
  end,
  isLoop: false,
  ...more,
});

describe("what a way through the guards comes to", () => {
  test.each<[string, Travelled, object]>([
    ["an allow leads where it was going", way([allow]), { ...allow, target: end }],
    ["of a forward that ends well, the forward is told", way([forward, allow]), { ...forward, target: end }],
    ["to where nobody guards too", way([forward]), { ...forward, target: end }],
    ["a refusal on the way is one, with the policy that refused", way([forward, deny]), deny],
    ["an address that nobody guards any more is open", way([]), { ...allow, target: end }],
    [
      "a ring of forwards is refused",
      way([forward, forward], { end: undefined, isLoop: true }),
      { action: "deny", reason: "loop", policy, rule: 1 },
    ],
    [
      "so is a forward without an address in the family",
      way([forward], { end: undefined }),
      { action: "deny", reason: "target-not-routable", policy, rule: 1 },
    ],
  ])("%s", (_, travelled, ruling) => {
    expect(rulingOf(travelled)).toEqual(ruling);
  });

  test("what even the connection does not tell is refused, whatever is to be done without an agent", () => {
    expect(rulingOf(way([open]))).toEqual({
      action: "deny",
      reason: "pending",
      policy,
      rule: 2,
      error: "it hangs on conn.client_ip",
    });
  });
});

describe("listeners", () => {
  const root = "/sys/fs/cgroup/kubepods";
  const registered = (uid: string, more: Partial<RegisteredPod> = {}): RegisteredPod => ({
    pod: { uid, namespace: `of-${uid}`, hostNetwork: false } as LocalPod,
    cgroupIds: [1n],
    cgroupPaths: [`${root}/burstable/pod${uid}`],
    netnsCookies: [7n, 9n],
    ...more,
  });
  const places = (
    pods: readonly RegisteredPod[],
    undecided: { pods?: string[]; namespaces?: string[] },
    current?: bigint,
  ) =>
    placesOf(
      {
        registration: { registered: pods, unresolved: [] },
        undecided: { pods: new Set(undecided.pods), namespaces: new Set(undecided.namespaces) },
      },
      root,
      () => current,
    );
  const place = { podUid: "a", cookie: 7n, cgroup: "burstable/poda" };

  test("are where a verdict is left to the proxy, of the pod or of its namespace", () => {
    expect(places([registered("a"), registered("b")], { pods: ["a"] })).toEqual([place]);
    expect(places([registered("a"), registered("b")], { namespaces: ["of-a"] })).toEqual([place]);
    expect(places([registered("a")], {})).toEqual([]);
  });

  test("stay where they are while a new container has not entered its pod yet", () => {
    expect(places([registered("a", { netnsCookies: [1n, 7n] })], { pods: ["a"] }, 7n)).toEqual([place]);
    expect(places([registered("a", { netnsCookies: [] })], { pods: ["a"] }, 7n)).toEqual([place]);
    expect(places([registered("a", { netnsCookies: [8n] })], { pods: ["a"] }, 7n)).toEqual([
      { ...place, cookie: 8n },
    ]);
  });

  test("are never in the node's namespace, nor in one that nobody knows", () => {
    const pod = { uid: "a", namespace: "of-a", hostNetwork: true } as LocalPod;
    expect(places([registered("a", { pod })], { pods: ["a"] }, 7n)).toEqual([]);
    expect(places([registered("a", { netnsCookies: [] })], { pods: ["a"] })).toEqual([]);
  });
});
