/** The tools asked about a live cluster, and the kernel asked by dialling: they say the same. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DecisionView, Explanation } from "../../agent/explain/explanation.ts";
import { podgateHere } from "../unit/cli/podgate.ts";
import { kubectlObstacle, obstacle } from "./rig.ts";
import { type Attempt, allowed, both, type Family } from "./support/attempt.ts";
import { openStage, type Stage } from "./support/stage.ts";

const EXAMPLES = join(import.meta.dirname, "../lab/examples");

let stage: Stage;

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  const manifests = readdirSync(EXAMPLES).map((file) => readFileSync(join(EXAMPLES, file), "utf8"));
  stage = await openStage("explain", manifests);
  await stage.startAgent();
});

afterAll(async () => {
  await stage?.close();
});

const CALLERS = [
  "payments/billing",
  "sandbox/crawler",
  "sandbox/worker-a",
  "sandbox/production",
  "sandbox/staging",
  "sandbox/node-tool",
  "tenant1/app",
  "tenant2/app",
];
const DESTINATIONS = [
  "ledger.my-namespace:80",
  "catalog.my-namespace:80",
  "payments-svc.payments:8080",
  "example-service.my-namespace:80",
  "my-service.my-namespace:80",
  "queue.my-namespace:80",
  "vault.my-namespace:80",
  "webapp-tenant1.tenant1:80",
];

async function explain(
  from: string,
  to: string,
  family: Family,
): Promise<Explanation & { status: number | null }> {
  const ended = await podgateHere([
    ...["explain", "--kubeconfig", stage.lab.kubeconfigPath, "--from", from, "--to", to, "-o", "json"],
    ...(family === "IPv6" ? ["--ipv6"] : []),
  ]);
  expect(ended.stderr).toBe("");
  return { ...JSON.parse(ended.stdout), status: ended.status };
}

/** What was decided, in the words of a log line. */
function fromLine({ line }: Attempt) {
  if (line === undefined) return undefined;
  const { verdict, reason, policy, rule, forwarded_to } = line;
  return {
    action: verdict,
    reason,
    policy: policy && `${policy.kind}/${policy.namespace}/${policy.name}`,
    rule: rule?.index,
    forward: forwarded_to && `${forwarded_to.service}:${forwarded_to.port}`,
  };
}

function fromExplanation(verdict: DecisionView | undefined) {
  if (verdict === undefined) return undefined;
  const { action, reason, policy, rule, forward } = verdict;
  return { action, reason, policy, rule, forward };
}

const EXIT = { EPERM: 1, answered: 0 };

describe.skipIf(obstacle() !== undefined)("explain against the cluster", () => {
  describe.each(CALLERS)("for %s", (from) => {
    test.each(DESTINATIONS)("to %s says what a connect meets", async (to) => {
      const attempts = await stage.dial(from, to);
      for (const family of ["IPv4", "IPv6"] as const) {
        const { status, verdict } = await explain(from, to, family);
        const attempt = attempts[family];
        expect(fromExplanation(verdict), family).toEqual(fromLine(attempt));
        const unguarded = attempt.line === undefined;
        expect(status).toBe(unguarded ? 3 : attempt.saw === "EPERM" ? EXIT.EPERM : EXIT.answered);
      }
    });
  });

  test("the pod behind a Service is guarded as explain says", async () => {
    const { ipv4 } = stage.pod("my-namespace/ledger");
    const { steps, outcome } = await explain("sandbox/crawler", `${ipv4}:8080`, "IPv4");
    expect(outcome).toBe("deny");
    expect(steps[0]?.policies[0]?.because).toBe(
      "it guards Service my-namespace/ledger:80, and this is a pod behind it",
    );
    const { IPv4 } = await stage.dial("sandbox/crawler", stage.podAt("my-namespace/ledger", 8080));
    expect(IPv4.saw).toBe("EPERM");
  });

  test("the verdicts of these connects are what `podgate verdicts` shows", async () => {
    // A pair that was dialled long before: a verdict's time is exact to 10 ms, and what came just before would count.
    const since = new Date().toISOString();
    await stage.dial("sandbox/crawler", "queue.my-namespace:80");
    const { status, stdout } = await podgateHere([
      ...["verdicts", "--kubeconfig", stage.lab.kubeconfigPath, "--no-follow", "--since", since],
      ...["--namespace", "sandbox", "--to", "queue.my-namespace", "--verdict", "deny"],
    ]);
    expect(status).toBe(0);
    const rows = stdout.trimEnd().split("\n").slice(1);
    expect(rows).toHaveLength(2);
    for (const row of rows) {
      expect(row).toMatch(
        / sandbox\/crawler +my-namespace\/queue:80 +deny +rule +\S+\[\d+\] +CloudEndpoint /,
      );
    }
  });
});

test.skipIf(obstacle() !== undefined || kubectlObstacle() !== undefined)(
  "the command that explain proposes lets the pod in",
  async () => {
    const to = "vault.my-namespace:80";
    const { remedies, outcome } = await explain("sandbox/crawler", to, "IPv4");
    expect(outcome).toBe("deny");
    const [, ...args] = remedies[0]?.command?.split(" ") ?? [];
    await stage.kubectl(args);
    await stage.until("sandbox/crawler", to, both(allowed("my-namespace/vault")));
    expect((await explain("sandbox/crawler", to, "IPv4")).outcome).toBe("allow");
  },
);
