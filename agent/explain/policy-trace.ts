/** Policies looked at while they are asked: every rule, every expression with what it saw, and where it leads. */
import type { FallThrough } from "../guard/guard.ts";
import type { Judged, Watcher } from "../guard/journey.ts";
import { targetOf } from "../guard/target.ts";
import { refKey } from "../model/objects.ts";
import type { Outcome, Rule } from "../policy/policy.ts";
import type { Observer } from "../policy/run.ts";
import { type EndpointUrl, parseUpstreamUrl } from "../policy/url.ts";
import { actionTexts } from "./action-text.ts";
import type { ExpressionTrace, PolicyTrace, RuleState, RuleTrace } from "./explanation.ts";
import { operandsOf } from "./operands.ts";
import type { World } from "./world.ts";

/** The Services dialled, as the guard's policy sees them. */
type Home = Parameters<typeof targetOf>[1];

interface Asked {
  readonly judged: Judged;
  readonly depth: number;
  /** By rule, then by expression. */
  readonly seen: Map<number, Map<number, ExpressionTrace>>;
  outcome: Outcome | undefined;
}

/** Takes down what `judgeGuardPolicy` asks, in the order it asks. */
export class PolicyWatcher implements Watcher {
  readonly #asked: Asked[] = [];

  asked(judged: Judged, depth: number): Observer {
    const seen: Asked["seen"] = new Map();
    this.#asked.push({ judged, depth, seen, outcome: undefined });
    return {
      expression: (rule, index, result, values) => {
        const ofRule = seen.get(rule.index) ?? new Map<number, ExpressionTrace>();
        seen.set(rule.index, ofRule);
        const { text, reads } = rule.expressions[index] ?? { text: "", reads: new Set<string>() };
        const operands = operandsOf(text, reads, values);
        ofRule.set(index, { text, operands, ...answerOf(result) });
      },
    };
  }

  answered(judged: Judged, outcome: Outcome | undefined): void {
    const asked = this.#asked.findLast((each) => each.judged === judged);
    if (asked !== undefined) asked.outcome = outcome;
  }

  /** The first policy asked, and below it the endpoints that it led to. */
  trace(world: World, home: Home): PolicyTrace | undefined {
    return this.#trace(world, home, 0);
  }

  #trace(world: World, home: Home, at: number): PolicyTrace | undefined {
    const asked = this.#asked[at];
    if (asked === undefined) return undefined;
    const { judged, seen, outcome } = asked;
    const object = refKey(judged.object);
    const resolved = world.policies.get(object);
    const { inForce } = judged;
    const rules = inForce.kind === "policy" ? inForce.policy.rules : [];
    const texts = actionTexts(world, object);
    const next = onward(world, home, judged, outcome, () => this.#below(world, home, at));
    return {
      object,
      audit: resolved?.object.audit ?? false,
      ...(resolved?.problem && { problem: resolved.problem.message }),
      rules: rules.map((rule) => traceRule(rule, outcome, seen.get(rule.index), texts(rule))),
      fallThrough: fallThroughText(judged.fallThrough),
      ...(next && { leadsTo: next }),
    };
  }

  #below(world: World, home: Home, at: number): readonly PolicyTrace[] {
    const depth = this.#asked[at]?.depth ?? 0;
    const found: PolicyTrace[] = [];
    for (let index = at + 1; (this.#asked[index]?.depth ?? 0) > depth; index++) {
      if (this.#asked[index]?.depth !== depth + 1) continue;
      const trace = this.#trace(world, home, index);
      if (trace !== undefined) found.push(trace);
    }
    return found;
  }
}

function answerOf(result: Parameters<Observer["expression"]>[2]): Pick<ExpressionTrace, "value" | "error"> {
  if (result === true || result === false) return { value: result };
  if (result instanceof Error) return { error: result.message };
  return { error: `it needs ${result.needs.join(", ")}, which only a connection has` };
}

function onward(
  { guardSet }: World,
  home: Home,
  { object, fallThrough }: Judged,
  outcome: Outcome | undefined,
  endpoints: () => readonly PolicyTrace[],
): PolicyTrace["leadsTo"] {
  const { routes } = guardSet;
  const nameOf = (url: EndpointUrl) => targetText(targetOf(url, home, routes.services));
  if (outcome?.kind === "forward") {
    const { url } = outcome;
    const below = endpoints();
    if (below.length > 0) return { url, endpoints: below };
    const route = routes.locate(url, object.namespace);
    const leads = route instanceof Error ? route.message : nameOf(route.url);
    return { url, endpoints: [], target: leads };
  }
  if (outcome?.kind !== "fell-through" || fallThrough.kind !== "upstream") return undefined;
  const url = parseUpstreamUrl(fallThrough.url);
  return { url: fallThrough.url, endpoints: [], target: url instanceof Error ? url.message : nameOf(url) };
}

function targetText(target: ReturnType<typeof targetOf>): string {
  switch (target.kind) {
    case "home":
      return "the Service that was dialled";
    case "forward":
      return `Service ${target.forward.service}:${target.forward.port}`;
    case "refused":
      return target.reason;
  }
}

function fallThroughText(fallThrough: FallThrough): string {
  switch (fallThrough.kind) {
    case "allow":
      return "allow";
    case "refuse":
      return "deny";
    case "upstream":
      return `go to ${fallThrough.url}`;
  }
}

function traceRule(
  { index, name, expressions }: Rule,
  outcome: Outcome | undefined,
  seen: ReadonlyMap<number, ExpressionTrace> | undefined,
  actions: readonly string[],
): RuleTrace {
  const traced = expressions.map(({ text }, at): ExpressionTrace => seen?.get(at) ?? { text, operands: [] });
  return { index, name, state: stateOf(index, outcome, traced), expressions: traced, actions };
}

function stateOf(
  index: number,
  outcome: Outcome | undefined,
  expressions: readonly ExpressionTrace[],
): RuleState {
  const decider = outcome === undefined || outcome.kind === "fell-through" ? undefined : outcome.rule;
  if (index === decider) return outcome?.kind === "undecided" ? "undecided" : "decides";
  if (decider !== undefined && index > decider) return "not-reached";
  return expressions.every(({ value }) => value === true) ? "matches" : "does-not-match";
}
