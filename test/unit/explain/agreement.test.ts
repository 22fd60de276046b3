/** What explain says of a connection is what is decided about it: for random policies, objects and callers. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { identityOf, type Questioner } from "../../../agent/explain/caller.ts";
import { candidates } from "../../../agent/explain/candidates.ts";
import { compiledVerdicts } from "../../../agent/explain/compiled.ts";
import { explain } from "../../../agent/explain/explain.ts";
import type { DecisionView, PolicyTrace } from "../../../agent/explain/explanation.ts";
import { travel, viewOf } from "../../../agent/explain/journey.ts";
import { findPlace, type Place } from "../../../agent/explain/place.ts";
import { textsOf } from "../../../agent/explain/remedies.ts";
import type { World } from "../../../agent/explain/world.ts";
import { decide } from "../../../agent/guard/decide.ts";
import { agent, cloud, denial, deny, forward, pod, policy, service, worldWith } from "./questions.ts";

const M = "conn.k8s.pod.metadata";
const NAMESPACES = ["a", "b", "shop"];
const expression = fc.constantFrom(
  `${M}.namespace == "a"`,
  `${M}.namespace != "b"`,
  `${M}.name in ["p", "q"]`,
  `${M}.error_code != ""`,
  `${M}.annotations["ngrok.com/x"] == "1"`,
  `"ngrok.com/x" in ${M}.annotations`,
  'conn.k8s.pod.labels["tier"] != "front"',
  "conn.client_port > 1024",
  "inCidrRange(conn.client_ip, '192.0.2.0/24')",
  "vars.seen",
  "true",
);
const url = fc.constantFrom(
  "http://one.shop.internal",
  "http://two.shop.internal",
  "tcp://inner.internal:80",
  "http://gone.shop.internal",
  "http://app.${conn.k8s.pod.metadata.namespace}.internal",
);
const action = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ type: "deny" }) },
  { weight: 3, arbitrary: url.map((to) => ({ type: "forward-internal", config: { url: to } })) },
  url.map((to) => ({ type: "forward-internal", config: { url: to, on_error: "continue" } })),
  fc.constant({ type: "log", config: { metadata: { who: "${conn.k8s.pod.metadata.name}" } } }),
  fc.constant({ type: "set-vars", config: { vars: [{ seen: "${conn.client_ip != ''}" }] } }),
  fc.constant({ type: "restrict-ips", config: { allow: ["192.0.2.0/24"], enforce: false } }),
);
const rule = fc.record({
  expressions: fc.array(expression, { maxLength: 3 }),
  actions: fc.array(action, { minLength: 1, maxLength: 2 }),
});
const rules = fc.array(rule, { minLength: 1, maxLength: 4 });
/** A good part of the random policies is invalid: these are the ones that are not. */
const plain = fc.array(
  expression
    .filter((text) => text !== "vars.seen")
    .chain((text) =>
      fc.constantFrom(deny(text), { ...forward("http://two.shop.internal"), expressions: [text] }),
    ),
  { minLength: 1, maxLength: 4 },
);
const anyRules: fc.Arbitrary<readonly object[]> = fc.oneof(rules, plain);

const annotations = fc.constantFrom({}, { "ngrok.com/x": "1" }, { "ngrok.com/x": "y".repeat(1100) });
const caller = fc.record({
  namespace: fc.constantFrom(...NAMESPACES),
  name: fc.constantFrom("p", "r"),
  annotations,
  labels: fc.constantFrom({ tier: "front" }, {}),
  hostNetwork: fc.boolean(),
  ip: fc.constantFrom("192.0.2.7", "203.0.113.7"),
});
const mode = fc.constantFrom("Enforce", "Audit");

const question = fc.record({
  bound: anyRules,
  inner: anyRules,
  own: anyRules,
  other: anyRules,
  modes: fc.tuple(mode, mode),
  caller,
  known: fc.boolean(),
  to: fc.constantFrom("one.shop", "two.shop", "shop/backend:8080"),
});

type Question = typeof question extends fc.Arbitrary<infer T> ? T : never;

function setUp({ bound, inner, own, other, modes, caller: who, known, to }: Question) {
  const { namespace, name, ip, hostNetwork, annotations: notes, labels } = who;
  const world = worldWith(
    pod(`${namespace}/${name}`, { metadata: { annotations: notes, labels }, spec: { hostNetwork }, ip }),
    pod("shop/backend"),
    service("shop/one", [{ port: 80, targetPort: 8080 }], { selector: { app: "backend" } }),
    service("shop/two", [{ port: 80, targetPort: 8081 }], { selector: { app: "backend" } }),
    service("a/app", [{ port: 80 }]),
    cloud("shop/bound", "http://one.shop", ...bound, denial),
    agent("shop/inner", "tcp://inner.internal:80", "tcp://two.shop:80", ...inner),
    policy("shop/own", "one", modes[0], ...own),
    policy("shop/other", "two", modes[1], ...other),
  );
  const caller: Questioner = known ? { pod: world.snapshot.localPods[0] } : { pod: undefined };
  const place = findPlace(world, to);
  if (place instanceof Error) throw place;
  return { world, caller, place };
}

test("the verdict is decide's at every stop, and from stop to stop the way is decide's", () => {
  fc.assert(
    fc.property(question, (asked) => {
      const { world, caller, place } = setUp(asked);
      const { steps, outcome, verdict } = explain(world, caller, place);
      let at: { address: string; port: number } | undefined = place;
      for (const step of steps) {
        expect([step.address, step.port]).toEqual([at?.address, at?.port]);
        const decided = decidedAt(world, caller, step);
        expect(step.verdict).toEqual(decided && viewOf(decided));
        expect(step.audited).toEqual(decided?.audited && viewOf(decided.audited));
        const { forward: next } = decided ?? {};
        at = next?.ipv4 === undefined ? undefined : { address: next.ipv4, port: next.port };
      }
      const last = steps.at(-1)?.verdict;
      const first = steps[0]?.verdict;
      if (outcome === "not-guarded") expect(first).toBeUndefined();
      else if (outcome === "forward") expect(verdict).toEqual(first);
      else if (outcome !== "deny" || last?.action === "deny") expect(verdict).toEqual(last);
    }),
    { numRuns: 400 },
  );
});

test("of every policy the rule shown as deciding is the one that decided, and those before it did not", () => {
  fc.assert(
    fc.property(question, (asked) => {
      const { world, caller, place } = setUp(asked);
      for (const { policies } of explain(world, caller, place).steps) {
        for (const trace of policies) checkTrace(trace, trace.decision);
      }
    }),
    { numRuns: 400 },
  );
});

test("whatever is named as a way out is one", () => {
  let named = 0;
  fc.assert(
    fc.property(question, (asked) => {
      const { world, caller, place } = setUp(asked);
      const { outcome, remedies, advice } = explain(world, caller, place);
      if (outcome !== "deny") expect([remedies, advice]).toEqual([[], undefined]);
      else if (remedies.length === 0) expect(advice).not.toBe("");
      for (const remedy of remedies) expect(outcomeAfter(world, caller, place, remedy.change)).toBe(true);
      if (remedies.length > 0) named += 1;
    }),
    { numRuns: 400 },
  );
  // Few questions have one: most are let in, or refused whoever asks.
  expect(named).toBeGreaterThan(0);
});

test("the verdicts shown as the kernel's are those of each pod by itself", () => {
  fc.assert(
    fc.property(question, (asked) => {
      const { world, caller, place } = setUp(asked);
      const guard = world.guardSet.guardAt(place.address, place.port);
      const identity = identityOf(world, caller);
      if (guard === undefined || identity.kind !== "pod") return;
      const { action } = decide(guard, identity, world.guardSet.routes);
      const block = compiledVerdicts(world, [])
        .split("\n\n")
        .find((each) =>
          each.split("\n", 1)[0]?.includes(asked.to === "two.shop" ? "shop/two:80" : "shop/one:80"),
        );
      const { namespace, name } = identity.pod;
      const rows = block?.split("\n") ?? [];
      const row =
        rows.find((each) => each.startsWith(`  pod ${namespace}/${name} `)) ??
        rows.find((each) => each.startsWith(`  namespace ${namespace} `));
      expect(row?.split(/ {2,}/)[2]?.split(" ")[0]).toBe(action);
    }),
    { numRuns: 100 },
  );
});

function decidedAt(world: World, caller: Questioner, { address, port }: { address: string; port: number }) {
  const guard = world.guardSet.guardAt(address, port);
  return guard && decide(guard, identityOf(world, caller), world.guardSet.routes);
}

function checkTrace(trace: PolicyTrace, decision: DecisionView): void {
  const { object, rules: traced, leadsTo } = trace;
  const enders = traced.filter(({ state }) => state === "decides" || state === "undecided");
  expect(enders.length).toBeLessThanOrEqual(1);
  const [ender] = enders;
  if (decision.policy === object && decision.rule !== undefined) expect(ender?.index).toBe(decision.rule);
  for (const { index, state, expressions } of traced) {
    const values = expressions.map(({ value }) => value);
    if (ender !== undefined && index > ender.index) expect(state).toBe("not-reached");
    if (state === "matches") expect(values.every((value) => value === true)).toBe(true);
    if (state === "does-not-match") expect(values).toContain(false);
    if (state === "decides") expect(values).not.toContain(false);
    if (state === "not-reached") expect(values.every((value) => value === undefined)).toBe(true);
  }
  for (const endpoint of leadsTo?.endpoints ?? []) checkTrace(endpoint, decision);
}

function outcomeAfter(world: World, caller: Questioner, place: Place, change: string): boolean {
  const policies = world.guardSet.claims.flatMap(({ resolved: { inForce } }) =>
    inForce.kind === "policy" ? [inForce.policy] : [],
  );
  const texts = textsOf(policies);
  // Only some of the texts were on the way, and which ones changes what is thought of: here each beside each other.
  const pairs = texts.flatMap((one) => texts.map((other) => [one, other]));
  const changed = [texts, ...pairs]
    .flatMap((some) => [...candidates(world, caller.pod, some)])
    .filter((each) => each.change === change);
  return changed.some(({ pod: next }) => {
    const { outcome } = travel(world, { pod: next }, place);
    return outcome === "allow" || outcome === "forward";
  });
}
