/** Audit: the verdict is reached and logged, not enforced, and nothing is refused; for every kind, and until it is switched. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { allowed, both, denied } from "./support/attempt.ts";
import { agentEndpoint, cloudEndpoint, denyAll, denyWhere, failClosed } from "./support/endpoints.ts";
import { forwardTo, guard, namespaces, pod, server } from "./support/objects.ts";
import { openStage, type Stage } from "./support/stage.ts";

const AUDIT = { "podgate.dev/mode": "audit" };
const annotated = (object: KubeObject, annotations: Record<string, string>): KubeObject => ({
  ...object,
  metadata: { ...object.metadata, annotations },
});
const outside = denyWhere('conn.k8s.pod.metadata.namespace != "bank"');
const failing = denyWhere('conn.k8s.pod.metadata.annotations["ngrok.com/none"] == "x"');

let stage: Stage;

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  stage = await openStage("audit", [
    namespaces("bank", "shop"),
    [
      ...["own", "cloud", "agent", "both", "hop", "elsewhere", "error", "closed"].flatMap((name) =>
        server("bank", name),
      ),
      guard("bank", "own", [outside], { mode: "Audit" }),
      annotated(
        cloudEndpoint("bank/cloud", "http://cloud.bank", failClosed("bank", "http://cloud.bank.internal")),
        AUDIT,
      ),
      annotated(
        agentEndpoint("bank/agent", "https://agent.example.com", "http://agent.bank", [outside]),
        AUDIT,
      ),
      // One of two policies is audited, the other enforced.
      guard("bank", "both", [denyAll], { name: "both-audit", mode: "Audit" }),
      guard("bank", "both", [denyWhere('conn.k8s.pod.metadata.name == "guest"')], { name: "both-enforced" }),
      guard("bank", "hop", [forwardTo("http://elsewhere.bank.internal")], { mode: "Audit" }),
      guard("bank", "error", [failing], { mode: "Audit" }),
      guard("bank", "closed", [{ expressions: ["("], actions: [{ type: "deny" }] }], { mode: "Audit" }),
    ],
    [pod("bank", "client"), pod("shop", "client"), pod("shop", "guest")],
  ] as KubeObject[][]);
  await stage.startAgent();
});

afterAll(async () => {
  await stage?.close();
});

/** An answer, and beside what was enforced what would have been. */
function wouldBe(by: string, audited: object) {
  return allowed(by, { reason: "fell-through", audited: { enforced: false, ...audited } });
}

describe.skipIf(obstacle() !== undefined)(
  "an audited policy refuses nothing and says what it would have refused:",
  () => {
    test.each([
      ["own", { kind: "ConnectionPolicy", namespace: "bank", name: "own" }, 0],
      ["cloud", { kind: "CloudEndpoint", namespace: "bank", name: "cloud" }, 1],
      ["agent", { kind: "AgentEndpoint", namespace: "bank", name: "agent" }, 0],
    ])("%s", async (name, policy, rule) => {
      const to = `${name}.bank:80`;
      const audited = { verdict: "deny", reason: "rule", policy, rule: { index: rule } };
      expect(await stage.dial("shop/client", to)).toMatchObject(both(wouldBe(`bank/${name}`, audited)));
      const welcome = await stage.dial("bank/client", to);
      expect(welcome).toMatchObject(both(allowed(`bank/${name}`, { reason: expect.anything() })));
      for (const { line } of Object.values(welcome)) expect(line).not.toHaveProperty("audited");
    });

    test("an expression that fails, with what went wrong", async () => {
      const audited = {
        verdict: "deny",
        reason: "expression-error",
        error: expect.stringMatching(/no such key/),
      };
      expect(await stage.dial("shop/client", "error.bank:80")).toMatchObject(
        both(wouldBe("bank/error", audited)),
      );
    });

    test("a policy that cannot be read", async () => {
      const audited = { verdict: "deny", reason: "policy-invalid" };
      expect(await stage.dial("shop/client", "closed.bank:80")).toMatchObject(
        both(wouldBe("bank/closed", audited)),
      );
    });

    test("a forward, which is not followed", async () => {
      const audited = { verdict: "forward", reason: "rule" };
      expect(await stage.dial("shop/client", "hop.bank:80")).toMatchObject(
        both(wouldBe("bank/hop", audited)),
      );
    });

    test("beside one that is enforced, which still refuses", async () => {
      const policy = { kind: "ConnectionPolicy", namespace: "bank", name: "both-enforced" };
      expect(await stage.dial("shop/guest", "both.bank:80")).toMatchObject(
        both(denied({ reason: "rule", policy })),
      );
      const audited = { verdict: "deny", policy: { name: "both-audit" } };
      expect(await stage.dial("shop/client", "both.bank:80")).toMatchObject(
        both(wouldBe("bank/both", audited)),
      );
    });
  },
);

describe.skipIf(obstacle() !== undefined)("the status", () => {
  test("says of an audited object that it audits", async () => {
    await stage.untilAccepted("ConnectionPolicy", "bank/own", {
      status: "True",
      message: expect.stringMatching(/^audits bank\/own:80; decided in the kernel, per namespace: /),
    });
    await stage.untilAccepted("CloudEndpoint", "bank/cloud", {
      status: "True",
      message: expect.stringMatching(/^audits bank\/cloud:80; /),
    });
  });
});

describe.skipIf(obstacle() !== undefined)("switching the mode", () => {
  test("to Enforce refuses from then on, and back again does not", async () => {
    const enforced = both(denied({ reason: "rule", policy: { kind: "ConnectionPolicy", name: "own" } }));
    await stage.lab.apply([guard("bank", "own", [outside], { mode: "Enforce" })]);
    await stage.until("shop/client", "own.bank:80", enforced);
    await stage.lab.apply([guard("bank", "own", [outside], { mode: "Audit" })]);
    await stage.until("shop/client", "own.bank:80", both(wouldBe("bank/own", { verdict: "deny" })));
  });

  test("by the annotation on ngrok's kinds does the same; a word that is no mode refuses, by the last valid policy", async () => {
    const endpoint = cloudEndpoint(
      "bank/cloud",
      "http://cloud.bank",
      failClosed("bank", "http://cloud.bank.internal"),
    );
    const refused = both(denied({ reason: "rule", policy: { kind: "CloudEndpoint", name: "cloud" } }));
    const audited = both(wouldBe("bank/cloud", { verdict: "deny" }));
    for (const word of ["adit", "enforce"]) {
      await stage.until("shop/client", "cloud.bank:80", audited);
      await stage.lab.apply([annotated(endpoint, { "podgate.dev/mode": word })]);
      await stage.until("shop/client", "cloud.bank:80", refused);
      await stage.lab.apply([annotated(endpoint, AUDIT)]);
    }
    await stage.until("shop/client", "cloud.bank:80", audited);
  });
});
