/**
 * One meaning of a policy, dialled: real pods connect to Services with random policies, and what connect() says must be
 * what the evaluator and @bufbuild/cel say. PODGATE_SEED repeats a run, PODGATE_LONG=1 makes it a long one.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { callerIdentity } from "../../agent/identity/pod-identity.ts";
import type { Identity } from "../../agent/model/identity.ts";
import type { KubeObject, Service } from "../lab/kube-objects.ts";
import { type Lab, startLab } from "../lab/lab.ts";
import { randomFrom } from "../unit/policy/random-expression.ts";
import { obstacle } from "./rig.ts";
import { dialMany, type Target } from "./support/barrage.ts";
import { guard, namespaces, pod, service } from "./support/objects.ts";
import { program } from "./support/programs.ts";
import { randomRules } from "./support/random-policy.ts";
import { oracle } from "./support/rule-oracle.ts";
import { sizes } from "./support/sizes.ts";
import { evaluated } from "./support/three-ways.ts";

const seed = Number(process.env.PODGATE_SEED ?? Date.now() % 2 ** 31);
const SERVICES = sizes.dialledPolicies;
const PAIRS = SERVICES * sizes.dialling;
console.log(`differential-connects.test.ts: PODGATE_SEED=${seed}`);

describe.skipIf(obstacle() !== undefined)(`${PAIRS} pairs by real connects (seed ${seed})`, () => {
  const FIRST_PORT = 9000;
  const random = randomFrom(seed ^ 0x5bd1e995);
  const policies = Array.from({ length: SERVICES }, (_, index) => ({
    name: `svc-${index}`,
    rules: randomRules(random, {
      namespaces: ["a", "b", "payments", "production"],
      urls: [`http://svc-${index}.shop.internal`],
    }),
  }));
  // Names that the policies tell apart, those first that most rules are about.
  const everyName = ["worker-a", "a", "worker-b", "b", "production"].flatMap((name) =>
    ["payments", "a", "b", "production"].map((namespace) => `${namespace}/${name}`),
  );
  const podNames = everyName.slice(0, sizes.dialling - 2); // and one too large, and one on its node's network
  let lab: Lab;

  beforeAll(async () => {
    lab = await startLab({ name: `differential-${process.pid}` });
    await lab.apply([
      ...namespaces("shop", "payments", "a", "b", "production"),
      ...servers(),
      ...policies.map(({ name, rules }) => guard("shop", name, rules)),
      ...podNames.map((key) => caller(key, randomAnnotations())),
      caller("payments/large", { "ngrok.com/x": "a".repeat(1100), "k8s.ngrok.com/environment": "b" }),
      pod("payments", "on-node", { hostNetwork: true }),
    ] as KubeObject[]);
    await lab.settled();
    await lab.startAgent();
  });

  afterAll(() => lab?.stop());

  /** One pod with a port of its own for every Service: Services of one pod and port share their guards. */
  function servers(): unknown[] {
    const server = pod("shop", "server", { labels: { app: "server" } });
    const ports = policies.map((_, index) => FIRST_PORT + index);
    Object.assign(server.spec.containers[0] ?? {}, {
      command: [program("sink"), ...ports.map(String)],
      readinessProbe: { tcpSocket: { port: FIRST_PORT + SERVICES - 1 } },
    });
    const services = policies.map(({ name }, index) =>
      service("shop", name, {
        selector: { app: "server" },
        ports: [{ port: 80, targetPort: FIRST_PORT + index }],
      }),
    );
    return [server, ...services];
  }

  function caller(key: string, annotations: Record<string, string>) {
    const [namespace = "", name = ""] = key.split("/");
    return pod(namespace, name, { annotations });
  }

  function randomAnnotations(): Record<string, string> {
    const pick = (from: readonly string[]) => from[Math.floor(random() * from.length)] ?? "";
    const keys = ["k8s.ngrok.com/environment", "ngrok.com/x", "podgate.dev/team", "toString"];
    const chosen = keys.filter(() => random() < 0.6);
    return Object.fromEntries(chosen.map((key) => [key, pick(["", "a", "worker-b", "production", "é"])]));
  }

  test("end as the evaluator and @bufbuild/cel say, over IPv4 and IPv6", async () => {
    const targets = await clusterAddresses();
    const counts = { pairs: 0, ok: 0, EPERM: 0 };
    const differences: unknown[] = [];
    for (const key of [...podNames, "payments/large", "payments/on-node"]) {
      const [namespace = "", name = ""] = key.split("/");
      const identity = identityOf(namespace, name);
      const { targets: results } = await dialMany(lab.pod(namespace, name), targets, { rounds: 1 });
      for (const [index, { rules }] of policies.entries()) {
        const said = oracle(rules)(identity);
        const expected = said.kind === "deny" || said.kind === "error" ? "EPERM" : "ok";
        // Both families of one Service, one after the other.
        const seen = results
          .slice(2 * index, 2 * index + 2)
          .map(({ ok, errors }) => (ok > 0 ? "ok" : Object.keys(errors).join()));
        const answers = { evaluator: evaluated(rules)(identity), connects: seen };
        if (JSON.stringify(answers) !== JSON.stringify({ evaluator: said, connects: [expected, expected] }))
          differences.push({ seed, key, rules, identity, said, ...answers });
        counts.pairs += 1;
        counts[expected] += 1;
      }
    }
    console.log(`differential-connects.test.ts: ${JSON.stringify(counts)}, each by IPv4 and by IPv6`);
    expect(differences).toEqual([]);
    expect(counts.pairs).toBe(PAIRS);
    expect(counts.ok).toBeGreaterThan(50);
    expect(counts.EPERM).toBeGreaterThan(50);
  });

  async function clusterAddresses(): Promise<Target[]> {
    const targets: Target[] = [];
    for (const { name } of policies) {
      const { spec } = await lab.client.get<Service>(`/api/v1/namespaces/shop/services/${name}`);
      const addresses = spec.clusterIPs ?? [];
      expect(addresses).toHaveLength(2);
      targets.push(...addresses.map((address) => ({ address, port: 80 })));
    }
    return targets;
  }

  function identityOf(namespace: string, name: string): Identity {
    const object = lab.api.store.find("pods", namespace, name);
    if (object === undefined) throw new Error(`find pod ${namespace}/${name}: the lab has none`);
    const { metadata, spec } = object as unknown as ReturnType<typeof pod>;
    return callerIdentity({
      uid: metadata.uid ?? "",
      namespace,
      name,
      nodeName: "",
      ips: [],
      hostNetwork: spec.hostNetwork === true,
      completed: false,
      annotations: new Map(Object.entries(metadata.annotations ?? {})),
      labels: new Map(),
      serviceAccount: "",
    });
  }
});
