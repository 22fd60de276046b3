/**
 * One meaning of a policy. Random policies and callers are asked three ways: the evaluator, a second interpreter over
 * @bufbuild/cel, and what the kernel holds. PODGATE_SEED repeats a run, PODGATE_LONG=1 makes it a long one.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Dataplane, type Maps, mapNames } from "../../agent/dataplane/dataplane.ts";
import { objectPath } from "../../agent/dataplane/kernel.ts";
import { type BpfMap, loadNative } from "../../agent/dataplane/native.ts";
import { decide, scopeOf } from "../../agent/guard/decide.ts";
import { systemClock } from "../../agent/model/clock.ts";
import type { Identity } from "../../agent/model/identity.ts";
import { type Random, randomFrom } from "../unit/policy/random-expression.ts";
import { obstacle } from "./rig.ts";
import {
  callersOf,
  clusterOf,
  destinationsOf,
  PODS,
  POLICIES,
  randomCases,
  randomPods,
} from "./support/random-world.ts";
import { sizes } from "./support/sizes.ts";
import { compare } from "./support/three-ways.ts";

const seed = Number(process.env.PODGATE_SEED ?? Date.now() % 2 ** 31);
const PAIRS_A_ROUND = POLICIES * (PODS + 1);
const TEN_MINUTES = 600_000;
console.log(`differential.test.ts: PODGATE_SEED=${seed}`);

describe.skipIf(obstacle() !== undefined)(`random policies and pods (seed ${seed})`, () => {
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

  /** Another hundred policies and other pods for the same Services, into the kernel; then every question about them. */
  async function round(dataplane: Dataplane, random: Random, number: number, ports: readonly number[]) {
    const cases = randomCases(random, ports);
    const pods = randomPods(random, number);
    const { set } = clusterOf(cases, ports);
    const guards = set.guards.map((each) => ({
      ...each,
      nodePorts: [],
      scope: scopeOf(each, set.routes),
      decide: (identity: Identity) => decide(each, identity, set.routes),
    }));
    await dataplane.apply({ nodeAddresses: [], pods, guards });
    const callers = callersOf(pods, random);
    const answers = cases.map((each) => {
      const policy = dataplane.policies.take({
        kind: "ConnectionPolicy",
        namespace: "shop",
        name: each.name,
      });
      return compare(maps, each, policy, callers, destinationsOf(each, ports));
    });
    return { answers, scopes: guards.map(({ scope }) => `scope ${scope}`) };
  }

  /** Returns how many answers of each kind there were; any difference fails. */
  async function run(rounds: number, ports: readonly number[]): Promise<Record<string, number>> {
    const random = randomFrom(seed);
    const dataplane = new Dataplane(maps, systemClock);
    const counts = { answers: 0 };
    for (let number = 0; number < rounds; number++) {
      const { answers, scopes } = await round(dataplane, random, number, ports);
      expect(
        answers.flatMap(({ differences }) => differences),
        `seed ${seed}`,
      ).toEqual([]);
      const kinds = answers.flatMap((each) => each.kinds);
      counts.answers += kinds.length;
      tally(counts, [...kinds, ...scopes]);
    }
    console.log(`differential.test.ts: ${JSON.stringify(counts)}`);
    return counts;
  }

  /** A generator that writes only one kind of thing proves nothing. */
  function expectAllKinds(counts: Record<string, number>): void {
    for (const kind of ["deny", "error", "forward home", "forward on", "nothing"])
      expect(counts[kind], kind).toBeGreaterThan(150);
    for (const scope of ["namespace", "pod"]) expect(counts[`scope ${scope}`]).toBeGreaterThan(50);
  }

  const pairs = sizes.pairRounds * PAIRS_A_ROUND;
  test(`${pairs} pairs mean the same to the evaluator, to @bufbuild/cel and in the kernel's maps`, {
    timeout: TEN_MINUTES,
  }, async () => {
    const counts = await run(sizes.pairRounds, [80]);
    expect(counts.answers).toBe(2 * pairs); // by IPv4 and by IPv6
    expectAllKinds(counts);
  });

  const triples = sizes.tripleRounds * PAIRS_A_ROUND * 4; // two ports, each by IPv4 and by IPv6
  test(`trust 21: ${triples} of pod, policy and destination, without a difference`, {
    timeout: TEN_MINUTES,
  }, async () => {
    const counts = await run(sizes.tripleRounds, [80, 443]);
    expect(counts.answers).toBe(triples);
    expectAllKinds(counts);
  });
});

function tally(counts: Record<string, number>, words: readonly string[]): void {
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
}
