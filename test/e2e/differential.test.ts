/**
 * One meaning of a policy. Random policies and callers are asked three ways: the evaluator, a second interpreter over
 * @bufbuild/cel, and what the kernel holds; then real pods dial. PODGATE_SEED repeats a run.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Dataplane, type Maps, mapNames } from "../../agent/dataplane/dataplane.ts";
import { objectPath } from "../../agent/dataplane/kernel.ts";
import { type BpfMap, loadNative } from "../../agent/dataplane/native.ts";
import type { WantPod } from "../../agent/dataplane/want.ts";
import { decide, scopeOf } from "../../agent/guard/decide.ts";
import { callerIdentity } from "../../agent/identity/pod-identity.ts";
import { systemClock } from "../../agent/model/clock.ts";
import type { Identity } from "../../agent/model/identity.ts";
import type { KubeObject, Service } from "../lab/kube-objects.ts";
import { type Lab, startLab } from "../lab/lab.ts";
import { Cluster, connectionPolicy, service as serviceOf } from "../unit/guard/builders.ts";
import { ask, nobody, policyOf } from "../unit/policy/builders.ts";
import { randomFrom, randomIdentity } from "../unit/policy/random-expression.ts";
import { obstacle } from "./rig.ts";
import { dialMany, type Target } from "./support/barrage.ts";
import { type KernelCaller, type KernelVerdict, kernelVerdict } from "./support/kernel-verdict.ts";
import { guard, namespaces, pod, type RuleWish, service } from "./support/objects.ts";
import { program } from "./support/programs.ts";
import { randomRules } from "./support/random-policy.ts";
import { oracle, type Said } from "./support/rule-oracle.ts";

const seed = Number(process.env.PODGATE_SEED ?? Date.now() % 2 ** 31);
console.log(`differential.test.ts: PODGATE_SEED=${seed}`);

/** How `evaluate` puts it, in the oracle's words. */
function evaluated(rules: readonly RuleWish[]): (identity: Identity) => Said {
  const policy = policyOf(...rules);
  return (identity) => {
    const outcome = ask(policy, identity);
    if (outcome.kind === "fell-through") return { kind: "nothing" };
    if (outcome.kind === "forward") return { kind: "forward", rule: outcome.rule, url: outcome.url };
    if (outcome.kind === "undecided") throw new Error(`decide rule ${outcome.rule}: needs ${outcome.needs}`);
    return { kind: outcome.reason === "rule" ? "deny" : "error", rule: outcome.rule };
  };
}

describe.skipIf(obstacle() !== undefined)(`10,000 random policies and pods (seed ${seed})`, () => {
  const ROUNDS = 4;
  const POLICIES = 100;
  const PODS = 24; // and one caller that is nobody
  const ELSEWHERE = { ipv4: "198.51.100.80", ipv6: "2001:db8:1::80" };
  let maps: Maps & Readonly<Record<keyof Maps, BpfMap>>;

  beforeAll(() => {
    const object = new (loadNative().BpfObject)(objectPath("connect"));
    object.load();
    maps = Object.fromEntries(mapNames.map((name) => [name, object.map(name)])) as typeof maps;
    object.close();
  });

  afterAll(() => {
    for (const map of Object.values(maps ?? {})) map.close();
  });

  interface Case {
    readonly name: string;
    readonly rules: readonly RuleWish[];
    readonly ipv4: string;
    readonly ipv6: string;
  }

  const urlOf = (name: string) => `http://${name}.shop.internal`;

  function randomCases(random: () => number): Case[] {
    return Array.from({ length: POLICIES }, (_, index) => {
      const name = `svc-${index}`;
      const wish = {
        namespaces: ["", "a", "b", "payments", "production"],
        urls: [urlOf(name), urlOf("elsewhere")],
      };
      return {
        name,
        rules: randomRules(random, wish),
        ipv4: `192.0.2.${index + 1}`,
        ipv6: `2001:db8::${index + 1}`,
      };
    });
  }

  /** Distinct pods: the generator's few ids are given to the first that have them. */
  function randomPods(random: () => number, round: number): WantPod[] {
    const pods: WantPod[] = [];
    const ids = new Set<string>([""]);
    while (pods.length < PODS) {
      const identity = randomIdentity(random);
      if (identity.kind !== "pod") continue;
      const number = round * PODS + pods.length;
      const id = ids.has(identity.pod.id) ? `uid-${number}` : identity.pod.id;
      ids.add(id);
      const cgroup = 1000n + BigInt(number);
      pods.push({
        identity: { ...identity.pod, id },
        cgroupIds: [cgroup],
        netnsCookies: number % 5 === 0 ? [] : [cgroup + 5000n, cgroup + 9000n],
        addresses: [],
      });
    }
    return pods;
  }

  function clusterOf(cases: readonly Case[]): Cluster {
    const elsewhere = serviceOf("shop/elsewhere", [ELSEWHERE.ipv4, ELSEWHERE.ipv6], [80]);
    return new Cluster({
      namespaces: new Map([["shop", { name: "shop", labels: new Map() }]]),
      services: [
        elsewhere,
        ...cases.map(({ name, ipv4, ipv6 }) => serviceOf(`shop/${name}`, [ipv4, ipv6], [80])),
      ],
      connectionPolicies: cases.map(({ name, rules }) =>
        connectionPolicy(`shop/${name}`, [name], rules as never),
      ),
    });
  }

  /** What must be in the kernel, given what the policy says. */
  function entryOf(said: Said, name: string, policy: number, family: "ipv4" | "ipv6"): KernelVerdict {
    switch (said.kind) {
      case "nothing":
        return { action: "allow", reason: "fell-through", policy: 0 };
      case "deny":
        return { action: "deny", reason: "rule", rule: said.rule, policy };
      case "error":
        return { action: "deny", reason: "expression-error", rule: said.rule, policy };
      case "forward": {
        const allowed = { reason: "rule", rule: said.rule, policy };
        if (said.url === urlOf(name)) return { action: "allow", ...allowed };
        return { action: "forward", ...allowed, target: `${ELSEWHERE[family]} 80` };
      }
    }
  }

  interface Asked {
    readonly identity: Identity;
    readonly caller: KernelCaller;
  }

  /** Everybody who may dial, some from their second network namespace or from one that is unknown. */
  function callersOf(pods: readonly WantPod[], random: () => number): Asked[] {
    return [
      { identity: nobody, caller: { cgroup: 1n, netnsCookie: 2n } },
      ...pods.map(({ identity, cgroupIds, netnsCookies }) => ({
        identity: { kind: "pod" as const, pod: identity },
        caller: { cgroup: cgroupIds[0] ?? 0n, netnsCookie: netnsCookies[random() < 0.5 ? 0 : 1] ?? 3n },
      })),
    ];
  }

  /** Asks one policy about all callers; every difference fails. Returns what kinds of answer there were. */
  function compare({ name, rules, ipv4, ipv6 }: Case, callers: readonly Asked[], policy: number): string[] {
    const [byEvaluator, byOracle] = [evaluated(rules), oracle(rules)];
    return callers.map(({ identity, caller }) => {
      const said = byOracle(identity);
      const expected = {
        evaluator: said,
        ipv4: entryOf(said, name, policy, "ipv4"),
        ipv6: entryOf(said, name, policy, "ipv6"),
      };
      const answers = {
        evaluator: byEvaluator(identity),
        ipv4: kernelVerdict(maps, caller, ipv4, 80),
        ipv6: kernelVerdict(maps, caller, ipv6, 80),
      };
      expect(answers, JSON.stringify({ seed, rules, identity })).toEqual(expected);
      return said.kind === "forward" ? (said.url === urlOf(name) ? "forward home" : "forward on") : said.kind;
    });
  }

  test("mean the same to the evaluator, to @bufbuild/cel and in the kernel's maps", async () => {
    const random = randomFrom(seed);
    const dataplane = new Dataplane(maps, systemClock);
    const answers: string[] = [];
    const scopes: string[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const cases = randomCases(random);
      const pods = randomPods(random, round);
      const { set } = clusterOf(cases);
      const guards = set.guards.map((each) => ({
        ...each,
        scope: scopeOf(each, set.routes),
        decide: (identity: Identity) => decide(each, identity, set.routes),
      }));
      scopes.push(...guards.map(({ scope }) => scope));
      // Rounds after the first are edits: the same Services with other policies, and other pods.
      await dataplane.apply({ nodeAddresses: [], pods, guards });
      const callers = callersOf(pods, random);
      for (const each of cases) {
        const object = { kind: "ConnectionPolicy", namespace: "shop", name: each.name };
        answers.push(...compare(each, callers, dataplane.policies.take(object)));
      }
    }
    const counts = tally([...answers, ...scopes.map((scope) => `scope ${scope}`)]);
    console.log(`differential.test.ts: ${JSON.stringify(counts)}`);
    expect(answers).toHaveLength(10_000);
    // A generator that writes only one kind of thing proves nothing.
    for (const kind of ["deny", "error", "forward home", "forward on", "nothing"])
      expect(counts[kind], kind).toBeGreaterThan(150);
    for (const scope of ["namespace", "pod"]) expect(counts[`scope ${scope}`]).toBeGreaterThan(50);
  });
});

function tally(words: readonly string[]): Record<string, number> {
  return Object.fromEntries([...Map.groupBy(words, (word) => word)].map(([word, all]) => [word, all.length]));
}

describe.skipIf(obstacle() !== undefined)(`500 pairs by real connects (seed ${seed})`, () => {
  const SERVICES = 50;
  const FIRST_PORT = 9000;
  const random = randomFrom(seed ^ 0x5bd1e995);
  const policies = Array.from({ length: SERVICES }, (_, index) => ({
    name: `svc-${index}`,
    rules: randomRules(random, {
      namespaces: ["a", "b", "payments", "production"],
      urls: [`http://svc-${index}.shop.internal`],
    }),
  }));
  const podNames = [
    "payments/worker-a",
    "payments/a",
    "payments/worker-b",
    "a/worker-a",
    "a/a",
    "b/worker-b",
    "b/b",
    "production/production",
  ];
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
    console.log(`differential.test.ts: ${JSON.stringify(counts)}, each by IPv4 and by IPv6`);
    expect(differences).toEqual([]);
    expect(counts.pairs).toBe(500);
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
