import { describe, expect, it } from "vitest";
import type { PodIdentity } from "../../../agent/model/identity.ts";
import { subjects } from "../../../agent/policy/materialize.ts";
import { subjectScope } from "../../../agent/policy/placement.ts";
import { ask, M, pod, policyOf, rule } from "./builders.ts";
import { randomExpression, randomFrom, randomIdentity } from "./random-expression.ts";

function identity(name: string, namespace: string, over: Partial<PodIdentity> = {}): PodIdentity {
  const built = pod({ id: `uid-${name}`, name, namespace, ...over });
  if (built.kind !== "pod") throw new Error("the builder makes pods");
  return built.pod;
}

const a = identity("a", "payments");
const b = identity("b", "payments");
const c = identity("c", "sandbox");
const large = identity("d", "payments", { errorCode: "ERR_NGROK_28000", errorMessage: "too large" });

function whose(scope: "namespace" | "pod", pods: readonly PodIdentity[]): string[] {
  return subjects(scope, pods).map(
    (subject) => `${subject.kind} ${subject.identity.name || subject.identity.namespace}`,
  );
}

describe("verdicts are made", () => {
  it("one for each namespace where nothing else of a pod is read", () => {
    expect(whose("namespace", [a, b, c])).toEqual(["namespace payments", "namespace sandbox"]);
  });

  it("one for each pod where anything else is", () => {
    expect(whose("pod", [a, b, c, large])).toEqual(["pod a", "pod b", "pod c", "pod d"]);
  });

  it("for a pod with 28000 on its own, even where its namespace has one", () => {
    expect(whose("namespace", [a, large])).toEqual(["namespace payments", "pod d"]);
    expect(whose("namespace", [large])).toEqual(["pod d"]);
  });

  it("for nobody where there is nobody", () => {
    expect(subjects("namespace", [])).toEqual([]);
    expect(subjects("pod", [])).toEqual([]);
  });

  it("so that everyone gets from the kernel what evaluate says of them", () => {
    const random = randomFrom(20_261_121);
    const extra = [
      `${M}.namespace == "a"`,
      `${M}.error_code == ""`,
      `${M}.error_message != "" || ${M}.namespace < "p"`,
    ];
    const scopes = new Set<string>();
    for (let round = 0; round < 300; round++) {
      const expression = extra[round] ?? randomExpression(random);
      let policy: ReturnType<typeof policyOf>;
      try {
        policy = policyOf(rule(expression));
      } catch {
        continue;
      }
      scopes.add(policy.scope);
      const pods = Array.from({ length: 20 }, () => randomIdentity(random)).flatMap((each) =>
        each.kind === "pod" ? [each.pod] : [],
      );
      const made = subjects(subjectScope(policy), pods);
      for (const pod of pods) {
        const subject =
          made.find((each) => each.kind === "pod" && each.identity === pod) ??
          made.find((each) => each.kind === "namespace" && each.namespace === pod.namespace);
        if (subject === undefined) throw new Error("nobody answers for the pod");
        expect(ask(policy, { kind: "pod", pod: subject.identity })).toEqual(
          ask(policy, { kind: "pod", pod }),
        );
      }
    }
    expect(scopes).toEqual(new Set(["namespace", "pod"]));
  });
});
