/** The documents' examples, applied as people apply them, and everybody their prose speaks of as the caller. */
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { formatPlaced, readPolicyFile } from "../../agent/policy/yaml.ts";
import type { PodHandle } from "../lab/pod-handle.ts";
import { kubectlObstacle, obstacle } from "./rig.ts";
import { allowed, both, denied, type Expected, forwarded, unguarded, unresolved } from "./support/attempt.ts";
import { pod } from "./support/objects.ts";
import { openStage, type Stage } from "./support/stage.ts";
import { verdictLines } from "./support/verdict-lines.ts";

const EXAMPLES = join(import.meta.dirname, "../lab/examples");
const DOCUMENTS = join(import.meta.dirname, "fixtures/documents");
const UNQUOTED = join(DOCUMENTS, "allow-list-unquoted.yaml");
/** As curl words it. */
const EPERM = "Operation not permitted";
const ENVIRONMENT = "k8s.ngrok.com/environment";

const read = (folder: string, file: string) => readFileSync(join(folder, file), "utf8");

let stage: Stage;
/** Everything that the examples let in, were it known: their objects have not reached the API server. */
const early = new Map<string, PodHandle>();

async function runUnannounced(namespace: string, name: string): Promise<void> {
  const wish = { uid: randomUUID(), annotations: { [ENVIRONMENT]: "production" } };
  early.set(namespace, await stage.lab.runUnannounced(pod(namespace, name, wish)));
}

function unannounced(namespace: string): PodHandle {
  const handle = early.get(namespace);
  if (handle === undefined) throw new Error(`no unannounced pod runs in ${namespace}`);
  return handle;
}

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  const manifests = readdirSync(EXAMPLES).map((file) => read(EXAMPLES, file));
  stage = await openStage("documents", [...manifests, read(DOCUMENTS, "callers.yaml")]);
  await stage.startAgent();
  await runUnannounced("payments", "worker-a");
  await runUnannounced("tenant1", "app-early");
});

afterAll(async () => {
  await stage?.close();
});

interface Example {
  readonly name: string;
  readonly to: string;
  /** Who is let in and who is not, and why. */
  readonly callers: readonly (readonly [string, Expected])[];
  /** Whose pods the hostNetwork and the unannounced callers are. */
  readonly namespace: string;
  /** What those two meet. */
  readonly unknown: Expected;
}

const outside = denied({ reason: "rule", rule: { index: 1 }, error_code: "" });
const failsClosed = denied({ reason: "rule", rule: { index: 0 }, ...unresolved });

const examples: readonly Example[] = [
  {
    name: "fail-closed",
    to: "ledger.my-namespace:80",
    callers: [
      ["payments/billing", allowed("my-namespace/ledger", { reason: "rule", rule: { index: 2 } })],
      ["sandbox/crawler", outside],
    ],
    namespace: "payments",
    unknown: failsClosed,
  },
  {
    name: "fail-open",
    to: "catalog.my-namespace:80",
    callers: [
      ["payments/billing", allowed("my-namespace/catalog", { reason: "rule", rule: { index: 1 } })],
      ["sandbox/crawler", denied({ reason: "rule", rule: { index: 0 }, error_code: "" })],
    ],
    namespace: "payments",
    unknown: allowed("my-namespace/catalog", { reason: "rule", rule: { index: 1 }, ...unresolved }),
  },
  {
    name: "AgentEndpoint of a public url, for the payments namespace only",
    to: "payments-svc.payments:8080",
    callers: [
      ["payments/billing", allowed("payments/payments-svc")],
      ["sandbox/crawler", outside],
    ],
    namespace: "payments",
    unknown: failsClosed,
  },
  {
    name: "CloudEndpoint that forwards, for the payments namespace only",
    to: "example-service.my-namespace:80",
    callers: [
      ["payments/billing", forwarded("my-namespace/my-service", "my-namespace/my-service")],
      ["sandbox/crawler", outside],
    ],
    namespace: "payments",
    unknown: failsClosed,
  },
  {
    name: "allow-list by name",
    to: "queue.my-namespace:80",
    callers: [
      ["sandbox/worker-a", allowed("my-namespace/queue")],
      ["sandbox/crawler", outside],
      ["payments/billing", outside],
    ],
    namespace: "payments",
    unknown: failsClosed,
  },
  {
    name: "annotation",
    to: "vault.my-namespace:80",
    callers: [
      ["sandbox/production", allowed("my-namespace/vault")],
      ["sandbox/staging", outside],
      [
        "sandbox/crawler",
        denied({
          reason: "expression-error",
          rule: {
            index: 1,
            expression: `conn.k8s.pod.metadata.annotations["${ENVIRONMENT}"] != "production"`,
          },
          error: expect.stringContaining(ENVIRONMENT),
          error_code: "",
        }),
      ],
    ],
    namespace: "payments",
    unknown: failsClosed,
  },
  {
    name: "multi-tenant",
    to: "webapp-tenant1.tenant1:80",
    callers: [
      ["tenant1/app", forwarded("tenant1/webapp", "tenant1/webapp")],
      ["tenant2/app", outside],
      ["payments/billing", outside],
    ],
    namespace: "tenant1",
    unknown: failsClosed,
  },
];

const hostNetworkPods: Readonly<Record<string, string>> = {
  payments: "payments/worker-b",
  tenant1: "tenant1/node-app",
};

describe.skipIf(obstacle() !== undefined)("the documents' examples, each with a Service of its own", () => {
  describe.each(examples)("$name", ({ to, callers, namespace, unknown }) => {
    test.each(callers)("%s meets what the prose says", async (from, expected) => {
      const attempts = await stage.dial(from, to);
      expect(attempts).toMatchObject(both(expected));
      expect(attempts.IPv4.line).toMatchObject({ pod: { uid: stage.pod(from).uid } });
    });

    test("a hostNetwork pod is nobody, whatever its object says", async () => {
      expect(await stage.dial(hostNetworkPods[namespace] ?? "", to)).toMatchObject(both(unknown));
    });

    test("a pod whose object has not reached the agent is nobody", async () => {
      expect(await stage.dial(unannounced(namespace), to)).toMatchObject(both(unknown));
    });
  });

  test("a pod is somebody as soon as its object arrives", async () => {
    const { uid } = unannounced("tenant1");
    const object = pod("tenant1", "app-early", { uid, annotations: { [ENVIRONMENT]: "production" } });
    stage.lab.api.store.create("pods", object as never, { uid });
    const welcome = forwarded("tenant1/webapp", "tenant1/webapp", { pod: { uid }, error_code: "" });
    await stage.until("tenant1/app-early", "webapp-tenant1.tenant1:80", both(welcome));
    await stage.lab.deletePod("tenant1", "app-early");
    await stage.lab.settled();
  });
});

describe.skipIf(obstacle() !== undefined || kubectlObstacle() !== undefined)("with kubectl", () => {
  const curl = (from: string, url: string) => stage.pod(from).exec(["curl", "-sSv", "-4", "-m", "5", url]);

  test("kubectl edit flips a verdict, and back", async () => {
    const inside = allowed("my-namespace/ledger");
    const edit = (script: string) =>
      stage.kubectl(["edit", "cloudendpoint", "fail-closed"], { env: { KUBE_EDITOR: `sed -i ${script}` } });
    await edit("s/payments/sandbox/");
    await stage.until("sandbox/crawler", "ledger.my-namespace:80", both(inside));
    const rule = { index: 1, expression: 'conn.k8s.pod.metadata.namespace != "sandbox"' };
    const refused = denied({ reason: "rule", rule });
    expect(await stage.dial("payments/billing", "ledger.my-namespace:80")).toMatchObject(both(refused));
    expect((await curl("payments/billing", "http://ledger.my-namespace")).stderr).toContain(EPERM);
    await edit("s/sandbox/payments/");
    await stage.until("sandbox/crawler", "ledger.my-namespace:80", both(outside));
    expect(await stage.dial("payments/billing", "ledger.my-namespace:80")).toMatchObject(both(inside));
    expect((await curl("payments/billing", "http://ledger.my-namespace")).stdout).toMatch(
      /^my-namespace\/ledger /,
    );
  });

  test("kubectl annotate flips a verdict: another value lets in, none denies", async () => {
    const annotate = (change: string) =>
      stage.kubectl(["annotate", "pod", "-n", "sandbox", "staging", change, "--overwrite"]);
    await annotate(`${ENVIRONMENT}=production`);
    await stage.until("sandbox/staging", "vault.my-namespace:80", both(allowed("my-namespace/vault")));
    await annotate(`${ENVIRONMENT}-`);
    await stage.until(
      "sandbox/staging",
      "vault.my-namespace:80",
      both(denied({ reason: "expression-error" })),
    );
    await annotate(`${ENVIRONMENT}=staging`);
    await stage.until("sandbox/staging", "vault.my-namespace:80", both(outside));
  });

  test("kubectl logs shows the verdict of a connection as one line of JSON", async () => {
    const from = stage.pod("sandbox/crawler");
    const { stdout } = await from.exec("echo $$; exec curl -sS -4 -m 5 http://ledger.my-namespace 2>&1");
    const pid = Number(stdout.split("\n")[0]);
    await stage.linesUntilNow(from);
    const log = await stage.kubectl(["logs", "-n", "podgate-system", stage.agent, "--tail=5"]);
    expect(verdictLines(log).find(({ process }) => process?.pid === pid)).toMatchObject({
      verdict: "deny",
      enforced: true,
      reason: "rule",
      layer: "connect4",
      pod: { namespace: "sandbox", name: "crawler", uid: from.uid },
      process: { pid, comm: "curl" },
      destination: { port: 80, service: "my-namespace/ledger" },
      policy: { kind: "CloudEndpoint", namespace: "default", name: "fail-closed" },
      rule: { index: 1, expression: 'conn.k8s.pod.metadata.namespace != "payments"' },
      error_code: "",
    });
  });
});

/** All of them have the same name, so each is deleted before the next is applied. */
describe.skipIf(obstacle() !== undefined || kubectlObstacle() !== undefined)(
  "the documents' YAML as it is, applied to a cluster with the Services it names",
  () => {
    const apply = (file: string) => stage.kubectl(["apply", "-f", join(DOCUMENTS, file)]);
    const EXAMPLE = "example-service.my-namespace:80";

    beforeAll(async () => {
      await stage.lab.apply(read(DOCUMENTS, "services.yaml"));
      await stage.lab.settled();
    });

    beforeEach(async () => {
      const kinds = "agentendpoints,cloudendpoints";
      await stage.kubectl(["delete", kinds, "-n", "default", "--all"]);
      await stage.kubectl(["delete", kinds, "-n", "tenant1", "--all"]);
      const nothing = { saw: "ECONNREFUSED", line: undefined };
      await stage.until("sandbox/crawler", EXAMPLE, both(nothing));
      await stage.until(
        "sandbox/crawler",
        "my-service.my-namespace:8080",
        both(unguarded("my-namespace/my-service")),
      );
    });

    async function expectUnknownDenied(to: string, namespace = "payments"): Promise<void> {
      expect(await stage.dial(hostNetworkPods[namespace] ?? "", to)).toMatchObject(both(failsClosed));
      expect(await stage.dial(unannounced("payments"), to)).toMatchObject(both(failsClosed));
    }

    test("deny from outside a namespace, as an AgentEndpoint: guards its upstream at 8080", async () => {
      await apply("agent-endpoint.yaml");
      const to = "my-service.my-namespace:8080";
      await stage.until("sandbox/crawler", to, both(outside));
      expect(await stage.dial("payments/billing", to)).toMatchObject(
        both(allowed("my-namespace/my-service")),
      );
      await expectUnknownDenied(to);
    });

    test("deny from outside a namespace, as a CloudEndpoint: forwards to my-service", async () => {
      await apply("cloud-endpoint.yaml");
      await stage.until("sandbox/crawler", EXAMPLE, both(outside));
      const welcome = forwarded("my-namespace/my-service", "my-namespace/my-service");
      expect(await stage.dial("payments/billing", EXAMPLE)).toMatchObject(both(welcome));
      await expectUnknownDenied(EXAMPLE);
    });

    test("by annotation: the value, another, and none", async () => {
      await apply("annotation.yaml");
      await stage.until("sandbox/staging", EXAMPLE, both(outside));
      const welcome = forwarded("my-namespace/my-service", "my-namespace/my-service");
      expect(await stage.dial("sandbox/production", EXAMPLE)).toMatchObject(both(welcome));
      const without = denied({ reason: "expression-error", error_code: "" });
      expect(await stage.dial("sandbox/crawler", EXAMPLE)).toMatchObject(both(without));
      await expectUnknownDenied(EXAMPLE);
    });

    test("multi-tenant: tenant1 in, tenant2 out", async () => {
      await apply("multi-tenant.yaml");
      const to = "webapp-tenant1.tenant1:80";
      await stage.until("tenant2/app", to, both(outside));
      const welcome = forwarded("tenant1/webapp", "tenant1/webapp");
      expect(await stage.dial("tenant1/app", to)).toMatchObject(both(welcome));
      await expectUnknownDenied(to, "tenant1");
    });

    test("the unquoted allow-list is refused with its JSON path and advice, and denies everybody", async () => {
      await apply("allow-list-unquoted.yaml");
      const invalid = denied({ reason: "policy-invalid", policy: { name: "example-cloud-endpoint" } });
      for (const from of ["sandbox/worker-a", "sandbox/crawler", "payments/billing", "payments/worker-b"]) {
        await stage.until(from, EXAMPLE, both(invalid));
      }
      expect(await stage.dial(unannounced("payments"), EXAMPLE)).toMatchObject(both(invalid));
      const at = "spec.trafficPolicy.policy.on_tcp_connect[1].expressions[0]";
      await stage.untilAccepted("CloudEndpoint", "default/example-cloud-endpoint", {
        status: "False",
        reason: "Invalid",
        message: expect.stringMatching(
          new RegExp(`${at.replaceAll(/[.[\]]/g, "\\$&")}.*quote the expression`),
        ),
        observedGeneration: 1,
      });
      const described = await stage.kubectl(["describe", "cloudendpoint", "example-cloud-endpoint"]);
      expect(described).toContain("quote the expression");
    });

    test("the same, quoted, lets worker-a in", async () => {
      const quoted = readFileSync(UNQUOTED, "utf8").replace(/- (!\(.*\))$/m, "- '$1'");
      await stage.kubectl(["apply", "-f", "-"], { input: quoted });
      await stage.until("sandbox/crawler", EXAMPLE, both(outside));
      const welcome = forwarded("my-namespace/my-service", "my-namespace/my-service");
      expect(await stage.dial("sandbox/worker-a", EXAMPLE)).toMatchObject(both(welcome));
      await expectUnknownDenied(EXAMPLE);
    });
  },
);

test("the unquoted expression is found in its file, by line and column", () => {
  const text = readFileSync(UNQUOTED, "utf8");
  const [document] = readPolicyFile(text, "allow-list.yaml");
  const lines = text.split("\n");
  const line = lines.findIndex((candidate) => candidate.includes("- !(")) + 1;
  const column = (lines[line - 1] ?? "").indexOf("!") + 1;
  expect(document?.diagnostics.map(formatPlaced)).toEqual([
    expect.stringMatching(new RegExp(`^allow-list\\.yaml:${line}:${column}: .*quote the expression`)),
  ]);
});
