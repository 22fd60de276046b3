/** Services with random policies, and random pods that might dial them. Same seed, same world. */
import type { WantPod } from "../../../agent/dataplane/want.ts";
import type { Identity } from "../../../agent/model/identity.ts";
import { Cluster, connectionPolicy, service } from "../../unit/guard/builders.ts";
import { nobody } from "../../unit/policy/builders.ts";
import { type Random, randomIdentity } from "../../unit/policy/random-expression.ts";
import type { Target } from "./barrage.ts";
import type { KernelCaller } from "./kernel-verdict.ts";
import type { RuleWish } from "./objects.ts";
import { randomRules } from "./random-policy.ts";

export const POLICIES = 100;
export const PODS = 24; // and one caller that is nobody
export const ELSEWHERE = { name: "elsewhere", ipv4: "198.51.100.80", ipv6: "2001:db8:1::80" };

/** A Service of its own name, and the policy that guards it. */
export interface Case {
  readonly name: string;
  readonly rules: readonly RuleWish[];
  readonly ipv4: string;
  readonly ipv6: string;
}

export interface Asked {
  readonly identity: Identity;
  readonly caller: KernelCaller;
}

export const urlOf = (name: string) => `http://${name}.shop.internal`;

/** `ports`: where the Services listen. With several, rules may also ask what was dialled. */
export function randomCases(random: Random, ports: readonly number[]): Case[] {
  return Array.from({ length: POLICIES }, (_, index) => {
    const name = `svc-${index}`;
    const [ipv4, ipv6] = [`192.0.2.${index + 1}`, `2001:db8::${(index + 1).toString(16)}`];
    const rules = randomRules(random, {
      namespaces: ["", "a", "b", "payments", "production"],
      urls: [urlOf(name), urlOf(ELSEWHERE.name)],
      destinations: ports.length > 1 ? { addresses: [ipv4, ipv6], ports } : undefined,
    });
    return { name, rules, ipv4, ipv6 };
  });
}

export function destinationsOf({ ipv4, ipv6 }: Case, ports: readonly number[]): Target[] {
  return ports.flatMap((port) => [ipv4, ipv6].map((address) => ({ address, port })));
}

/** Distinct pods: the generator's few ids are given to the first that have them. */
export function randomPods(random: Random, round: number): WantPod[] {
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
      netnsCookies: number % 5 === 0 ? [] : [cgroup + 50_000n, cgroup + 90_000n],
      addresses: [],
    });
  }
  return pods;
}

/** Everybody who may dial, some from their second network namespace or from one that is unknown. */
export function callersOf(pods: readonly WantPod[], random: Random): Asked[] {
  return [
    { identity: nobody, caller: { cgroup: 1n, netnsCookie: 2n } },
    ...pods.map(({ identity, cgroupIds, netnsCookies }) => ({
      identity: { kind: "pod" as const, pod: identity },
      caller: { cgroup: cgroupIds[0] ?? 0n, netnsCookie: netnsCookies[random() < 0.5 ? 0 : 1] ?? 3n },
    })),
  ];
}

export function clusterOf(cases: readonly Case[], ports: readonly number[]): Cluster {
  return new Cluster({
    namespaces: new Map([["shop", { name: "shop", labels: new Map() }]]),
    services: [ELSEWHERE, ...cases].map(({ name, ipv4, ipv6 }) =>
      service(`shop/${name}`, [ipv4, ipv6], ports),
    ),
    connectionPolicies: cases.map(({ name, rules }) =>
      connectionPolicy(`shop/${name}`, [name], rules as never),
    ),
  });
}
