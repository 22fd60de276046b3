import { describe, expect, it } from "vitest";
import { callerIdentity } from "../../../agent/identity/pod-identity.ts";
import { type Identity, unresolved } from "../../../agent/model/identity.ts";
import type { LocalPod } from "../../../agent/model/objects.ts";
import { parsePolicy } from "../../../agent/policy/parse.ts";
import { ask, pod } from "../policy/builders.ts";
import { type CorpusCase, corpus, corpusCases, hasCorpus } from "./corpus.ts";

interface WrittenPod {
  readonly metadata: {
    readonly uid: string;
    readonly name: string;
    readonly namespace: string;
    readonly annotations?: Record<string, string>;
  };
  readonly spec?: { readonly hostNetwork?: boolean };
}

/** What a case says of a caller: everything, or only why there is nothing to say. */
interface WrittenIdentity {
  readonly id?: string;
  readonly name?: string;
  readonly namespace?: string;
  readonly annotations?: Record<string, string>;
  readonly error_code: string;
}

interface Expected {
  readonly checks?: readonly { readonly identity: WrittenIdentity; readonly decision: string }[];
  readonly identity?: { readonly annotations: Record<string, string> };
  readonly annotations?: readonly string[];
  readonly error_code?: string;
}

function identityOf(written: WrittenPod | null): Identity {
  if (written === null) return unresolved("no pod has the address");
  const { uid, name, namespace, annotations = {} } = written.metadata;
  const local: LocalPod = {
    uid,
    name,
    namespace,
    nodeName: "node-1",
    ips: ["192.0.2.7"],
    hostNetwork: written.spec?.hostNetwork ?? false,
    completed: false,
    annotations: new Map(Object.entries(annotations)),
    labels: new Map(),
    serviceAccount: "default",
  };
  return callerIdentity(local);
}

/** The pod of a case that has one; null is a caller that is none. */
function writtenPod({ file }: CorpusCase<Expected>): WrittenPod | null {
  const [pod, input] = [file("pod.json"), file("input.json")];
  if (pod !== undefined) return JSON.parse(pod) as WrittenPod;
  return input === undefined ? null : (JSON.parse(input) as { pod: WrittenPod | null }).pod;
}

/** 28000 leaves id, name and namespace set, also where a case leaves them out; they are then the endpoint's own. */
function callerOf(written: WrittenIdentity): Identity {
  if (written.error_code === "ERR_NGROK_28001") return unresolved("the case says so");
  const errorCode = written.error_code === "ERR_NGROK_28000" ? written.error_code : "";
  const { id = "uid", name = "a", namespace = "my-namespace", annotations = {} } = written;
  const errorMessage = errorCode === "" ? "" : "Pod identity metadata too large";
  return pod({
    id,
    name,
    namespace,
    annotations: new Map(Object.entries(annotations)),
    errorCode,
    errorMessage,
  });
}

/** A policy that cannot be read denies everybody (no valid one came before it). */
function decide(policy: unknown, written: WrittenIdentity): string {
  const parsed = parsePolicy(policy, "");
  if (!parsed.ok) return "deny";
  const outcome = ask(parsed.policy, callerOf(written));
  return outcome.kind === "forward" ? "forward-internal" : outcome.kind;
}

if (!hasCorpus) console.log(`ngrok-corpus.test.ts: skipped, there is no ${corpus}; set PODGATE_CORPUS`);

describe.skipIf(!hasCorpus)("the corpus of ngrok's documents and operator", () => {
  const cases = corpusCases<Expected>("identity-ngrok");

  it("is there", () => {
    expect(cases.length).toBeGreaterThanOrEqual(10);
  });

  it.each(cases)("$id: $title", (each) => {
    const { expected, file } = each;
    // A case in a form this test does not know must not pass for want of assertions.
    expect.hasAssertions();
    for (const { identity, decision } of expected.checks ?? []) {
      const policy: unknown = JSON.parse(file("policy.json") ?? "null");
      expect([identity, decide(policy, identity)]).toEqual([identity, decision]);
    }
    const identity = identityOf(writtenPod(each));
    const known = identity.kind === "pod" ? identity.pod : undefined;
    const annotations = known?.annotations ?? new Map<string, string>();
    const code = known === undefined ? "ERR_NGROK_28001" : known.errorCode;
    if (expected.error_code !== undefined) expect(code).toBe(expected.error_code);
    if (expected.annotations !== undefined) expect([...annotations.keys()]).toEqual(expected.annotations);
    if (expected.identity !== undefined) {
      expect(Object.fromEntries(annotations)).toEqual(expected.identity.annotations);
    }
  });
});
