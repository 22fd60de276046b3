import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { surfaceAnnotations } from "../../../agent/identity/annotations.ts";
import { callerIdentity, identityReader, podIdentity } from "../../../agent/identity/pod-identity.ts";
import { UNKNOWN } from "../../../agent/model/connection.ts";
import type { LocalPod } from "../../../agent/model/objects.ts";

function localPod(over: Partial<LocalPod> = {}): LocalPod {
  return {
    uid: "uid-1",
    namespace: "payments",
    name: "worker-a",
    nodeName: "node-1",
    ips: ["192.0.2.7"],
    hostNetwork: false,
    completed: false,
    annotations: new Map(),
    labels: new Map(),
    serviceAccount: "default",
    ...over,
  };
}

const surfaced = (all: Record<string, string>, prefixes?: string[]) =>
  Object.fromEntries(surfaceAnnotations(new Map(Object.entries(all)), prefixes).annotations);

/** One annotation whose key and value take `bytes` together. */
const sized = (bytes: number, letter = "x") =>
  new Map([["k8s.ngrok.com/a", letter.repeat((bytes - 15) / Buffer.byteLength(letter))]]);

describe("annotations", () => {
  it("are surfaced with ngrok's two prefixes and ours", () => {
    const ours = { "k8s.ngrok.com/a": "1", "ngrok.com/b": "2", "podgate.dev/c": "3" };
    expect(surfaced({ ...ours, "kubernetes.io/d": "4" })).toEqual(ours);
  });

  it.each([
    "k8s.ngrok.com.evil/a",
    "K8S.NGROK.COM/a",
    "k8s.ngrok.com",
    "k8s.ngrok.comm/a",
    "xk8s.ngrok.com/a",
    " k8s.ngrok.com/a",
    "evil.ngrok.com/a",
    "k8s.ngrok.com\u2215a",
    "k8s\u200b.ngrok.com/a",
  ])("11: %j only look alike, and are not surfaced", (key) => {
    expect(surfaced({ [key]: "production" })).toEqual({});
  });

  it("are surfaced with the prefixes given, and no others", () => {
    expect(surfaced({ "example.com/a": "1", "ngrok.com/b": "2" }, ["example.com/"])).toEqual({
      "example.com/a": "1",
    });
    expect(surfaced({ "ngrok.com/b": "2" }, [])).toEqual({});
  });

  it.each([
    ["11: 1024 bytes", 1024, "x", false],
    ["11: 1025 bytes", 1025, "x", true],
    ["11: 1023 bytes of three-byte letters", 1023, "\u20ac", false],
    ["11: 1026 bytes of three-byte letters, fewer characters than 1024", 1026, "\u20ac", true],
  ])("%s", (_title, bytes, letter, truncated) => {
    const all = sized(bytes, letter);
    expect(surfaceAnnotations(all)).toEqual({ annotations: truncated ? new Map() : all, truncated });
  });

  it("that are not surfaced do not count", () => {
    expect(
      surfaceAnnotations(new Map([...sized(1024), ["kubernetes.io/x", "y".repeat(200_000)]])).truncated,
    ).toBe(false);
  });

  it("11: 10,000 of them are cut in the order of their keys, quickly", () => {
    const keys = Array.from({ length: 10_000 }, (_, i) => `ngrok.com/${String(9_999 - i).padStart(4, "0")}`);
    const start = performance.now();
    const { annotations, truncated } = surfaceAnnotations(new Map(keys.map((key) => [key, "v"])));
    expect(performance.now() - start).toBeLessThan(500);
    expect(truncated).toBe(true);
    // 15 bytes each.
    expect([...annotations.keys()]).toEqual(
      Array.from({ length: 68 }, (_, i) => `ngrok.com/${String(i).padStart(4, "0")}`),
    );
  });

  it("end at the first that does not fit, so that a large one hides all after it", () => {
    const all = new Map([
      ["ngrok.com/c", "3"],
      ["ngrok.com/b", "x".repeat(1024)],
      ["ngrok.com/a", "1"],
    ]);
    expect(surfaceAnnotations(all)).toEqual({
      annotations: new Map([["ngrok.com/a", "1"]]),
      truncated: true,
    });
  });

  it("are ordered by code point, where JavaScript's order differs", () => {
    const all = new Map([
      ["ngrok.com/\u{1f600}", "x".repeat(600)],
      ["ngrok.com/\ufb00", "x".repeat(600)],
    ]);
    expect([...surfaceAnnotations(all).annotations.keys()]).toEqual(["ngrok.com/\ufb00"]);
  });

  it("never depend on the order they arrive in, never exceed 1024 bytes, and are whole or marked", () => {
    const entry = fc.tuple(
      fc.string({ maxLength: 4 }).map((tail) => `ngrok.com/${tail}`),
      fc.string({ maxLength: 400, unit: "grapheme" }),
    );
    fc.assert(
      fc.property(fc.uniqueArray(entry, { maxLength: 12, selector: ([key]) => key }), (entries) => {
        const { annotations, truncated } = surfaceAnnotations(new Map(entries));
        const reversed = surfaceAnnotations(new Map(entries.toReversed()));
        expect([...reversed.annotations]).toEqual([...annotations]);
        const bytes = [...annotations].reduce(
          (sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value),
          0,
        );
        expect(bytes).toBeLessThanOrEqual(1024);
        expect(truncated).toBe(annotations.size < entries.length);
        for (const [key, value] of annotations) expect(new Map(entries).get(key)).toBe(value);
      }),
    );
  });

  it("17: with keys that JavaScript knows change no prototype", () => {
    const before = Object.getOwnPropertyNames(Object.prototype);
    surfaceAnnotations(
      new Map([
        ["__proto__", "x"],
        ["ngrok.com/__proto__", "x"],
      ]),
      ["", "ngrok.com/"],
    );
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
    expect(({} as Record<string, unknown>)["ngrok.com/__proto__"]).toBeUndefined();
  });
});

describe("the identity of a pod", () => {
  it("holds what a policy may read, and no annotation without a prefix", () => {
    const annotations = new Map([
      ["podgate.dev/team", "ledger"],
      ["secret.example.com/x", "y"],
    ]);
    const labels = new Map([["app", "ledger"]]);
    const namespace = { name: "payments", labels: new Map([["tier", "gold"]]) };
    const namespaces = new Map([["payments", namespace]]);
    expect(podIdentity(localPod({ annotations, labels }), undefined, namespaces)).toEqual({
      id: "uid-1",
      name: "worker-a",
      namespace: "payments",
      annotations: new Map([["podgate.dev/team", "ledger"]]),
      labels,
      serviceAccount: "default",
      nodeName: "node-1",
      namespaceLabels: namespace.labels,
      addresses: ["192.0.2.7"],
      errorCode: "",
      errorMessage: "",
    });
  });

  it("keeps id, name and namespace beside ERR_NGROK_28000", () => {
    expect(podIdentity(localPod({ annotations: sized(1025) }))).toMatchObject({
      id: "uid-1",
      name: "worker-a",
      namespace: "payments",
      annotations: new Map(),
      errorCode: "ERR_NGROK_28000",
      errorMessage: "Pod identity metadata too large: annotations take more than 1024 bytes",
    });
  });

  it("has no labels of its namespace, rather than none, until that namespace is known", () => {
    expect(podIdentity(localPod(), undefined, new Map()).namespaceLabels).toBe(UNKNOWN);
  });

  it("has labels that nobody knows, rather than some, where they take more than 4096 bytes", () => {
    const whole = new Map([["a", "x".repeat(4095)]]);
    expect(podIdentity(localPod({ labels: whole })).labels).toBe(whole);
    expect(podIdentity(localPod({ labels: new Map([["ä", "x".repeat(4095)]]) })).labels).toBe(UNKNOWN);
  });

  it("has no address of its own on its node's network", () => {
    expect(podIdentity(localPod({ hostNetwork: true })).addresses).toEqual([]);
  });

  it("is the same value for the same pod, and another for a pod that changed", () => {
    const identityOf = identityReader();
    const [pod, changed] = [localPod(), localPod({ annotations: new Map([["podgate.dev/team", "ledger"]]) })];
    expect(identityOf(pod)).toBe(identityOf(pod));
    expect(identityOf(changed)).toEqual(podIdentity(changed));
  });

  it("10: is nobody's where the pod shares its node's network", () => {
    expect(callerIdentity(localPod({ hostNetwork: true }))).toEqual({
      kind: "unresolved",
      code: "ERR_NGROK_28001",
      message: "Failed to retrieve pod identity metadata: pod payments/worker-a uses the network of its node",
    });
    expect(callerIdentity(localPod())).toMatchObject({ kind: "pod", pod: { name: "worker-a" } });
  });
});
