import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { parse } from "yaml";
import { podgateHere } from "./podgate.ts";
import { startLabObjects } from "./server.ts";

const EXAMPLES = join(import.meta.dirname, "../../lab/examples");
const CASES = join(import.meta.dirname, "../../policies");
const explain = (...args: string[]) => podgateHere(["explain", ...args]);
const example = (from: string, to: string, ...more: string[]) =>
  explain("-f", EXAMPLES, "--from", from, "--to", to, ...more);

describe("the exit status is the answer:", () => {
  test.each([
    [0, "payments/billing", "ledger.my-namespace"],
    [0, "payments/billing", "example-service.my-namespace"],
    [1, "sandbox/crawler", "ledger.my-namespace:80"],
    [1, "unresolved", "ledger.my-namespace"],
    [3, "sandbox/crawler", "my-service.my-namespace"],
    [2, "sandbox/nobody", "ledger.my-namespace"],
    [2, "sandbox/crawler", "nothing.my-namespace"],
    [2, "sandbox/crawler", "ledger"],
  ])("%i for %s to %s", async (status, from, to) => {
    const ended = await example(from, to);
    expect(ended.status).toBe(status);
    expect(ended.stdout === "").toBe(status === 2);
    expect(ended.stderr === "").toBe(status !== 2);
  });

  test("4 where only a connection has the answer, and that connection's where one is given", async () => {
    const ask = (...args: string[]) =>
      explain("-f", join(CASES, "time-of-day"), "--from", "orders/web", "--to", "batch.shop", ...args);
    expect((await ask()).status).toBe(4);
    expect((await ask("--at", "2026-11-21T03:00:00Z")).status).toBe(1);
    expect((await ask("--at", "2026-11-21T12:00:00Z")).status).toBe(0);
    expect((await ask("--at", "2026-11-21T12:00:00Z", "--client-port", "1000")).status).toBe(1);
  });

  test.each([
    [["--from", "a/b"], /required option '--to/],
    [["--form", "a/b", "--to", "c.d"], /unknown option '--form'.*Did you mean --from/],
    [["--from", "a/b", "--to", "c.d", "-f", "/nowhere.yaml"], /read \/nowhere\.yaml: ENOENT/],
    [["--from", "a/b", "--to", "c.d", "--kubeconfig", "/nowhere"], /read kubeconfig \/nowhere/],
    [["--from", "a/b", "--to", "c.d", "--client-port", "0"], /use a port from 1 to 65535/],
    [["--from", "a/b", "--to", "c.d", "-o", "yaml"], /use one of text, json/],
  ])("2 for %j", async (args, message) => {
    const { status, stderr } = await explain(...args);
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
  });
});

test("-o json holds the same in values", async () => {
  const { stdout } = await example("sandbox/crawler", "ledger.my-namespace", "-o", "json");
  expect(JSON.parse(stdout)).toMatchObject({
    from: { name: "sandbox/crawler", identified: true },
    to: "ledger.my-namespace",
    outcome: "deny",
    verdict: { action: "deny", reason: "rule", policy: "CloudEndpoint/default/fail-closed", rule: 1 },
    steps: [
      {
        services: ["my-namespace/ledger:80"],
        policies: [{ placement: { where: "kernel, per namespace" }, rules: [{}, { state: "decides" }, {}] }],
      },
    ],
    remedies: [{ change: "run it in namespace payments" }],
  });
});

test("what another wrote into an annotation cannot move the cursor", async () => {
  const directory = mkdtempSync(join(tmpdir(), "podgate-explain-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "all.yaml");
  const name = { namespace: "a", name: "b" };
  const objects = [
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { ...name, annotations: { "ngrok.com/x": "\u009b2J\u202e" } },
    },
    { apiVersion: "v1", kind: "Service", metadata: name, spec: { ports: [{ port: 80 }] } },
    {
      apiVersion: "podgate.dev/v1alpha1",
      kind: "ConnectionPolicy",
      metadata: name,
      spec: {
        targetRefs: [{ kind: "Service", name: "b" }],
        trafficPolicy: {
          inline: {
            on_tcp_connect: [
              {
                expressions: ['conn.k8s.pod.metadata.annotations["ngrok.com/x"] != ""'],
                actions: [{ type: "deny" }],
              },
            ],
          },
        },
      },
    },
  ];
  writeFileSync(file, objects.map((object) => JSON.stringify(object)).join("\n---\n"));
  const { stdout, status } = await explain("-f", file, "--from", "a/b", "--to", "b.a");
  expect(status).toBe(1);
  expect(stdout).toContain("\\u{9b}2J\\u{202e}");
  expect(stdout).not.toMatch(/[\p{Cf}\u0080-\u009f]/u);
});

test("a cluster is asked through its API server, and gives the answer that its manifests give", async () => {
  const kubeconfig = await startLabObjects(EXAMPLES);
  const at = ["--from", "sandbox/crawler", "--to", "ledger.my-namespace", "-o", "json"];
  const fromCluster = await explain("--kubeconfig", kubeconfig, ...at);
  const fromFiles = await explain("-f", EXAMPLES, ...at);
  expect([fromCluster.status, fromCluster.stderr]).toEqual([1, ""]);
  const { verdict, remedies, steps } = JSON.parse(fromCluster.stdout);
  const expected = JSON.parse(fromFiles.stdout);
  expect(verdict).toEqual(expected.verdict);
  expect(remedies).toEqual(expected.remedies);
  expect(steps[0].policies).toEqual(expected.steps[0].policies);
  // The server's own answer, not one imagined from a file.
  expect(steps[0].address).not.toBe(expected.steps[0].address);
  expect(parse(steps[0].address)).toMatch(/^10\.96\./);
});
