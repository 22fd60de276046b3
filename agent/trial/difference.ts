/** Whether an answer is the one that a test expects, and what it is instead. */
import { isDeepStrictEqual } from "node:util";
import type { DecisionView, Explanation, PolicyTrace } from "../explain/explanation.ts";
import type { Expectation } from "./expectation.ts";

/** One sentence for everything that differs; empty where nothing does. */
export function differences(expected: Expectation, explanation: Explanation): readonly string[] {
  const { outcome, verdict } = explanation;
  const found: string[] = [];
  if (outcome !== expected.outcome) found.push(`expected ${expected.outcome}, got ${gotText(explanation)}`);
  const { reason, rule, policy, target } = expected;
  if (reason !== undefined && verdict?.reason !== reason) {
    found.push(`expected reason ${reason}, got ${verdict?.reason ?? "none"}${because(explanation)}`);
  }
  if (rule !== undefined && !isRule(rule, explanation)) {
    found.push(`expected rule ${ruleText(rule)} to decide, but ${deciderText(explanation)}`);
  }
  if (policy !== undefined && !isPolicy(policy, verdict)) {
    found.push(`expected policy ${policy} to decide, but ${deciderText(explanation)}`);
  }
  if (target !== undefined && !isTarget(target, verdict?.forward)) {
    found.push(`expected a forward to ${target}, got ${verdict?.forward ?? "none"}`);
  }
  if (expected.audited !== undefined) {
    const audited = explanation.steps[0]?.audited?.action ?? verdict?.action;
    if (audited !== expected.audited) {
      found.push(`expected the audited policies to make it ${expected.audited}, got ${audited ?? "none"}`);
    }
  }
  if (expected.logs !== undefined) {
    const logs = explanation.steps.flatMap(({ log }) => log ?? []);
    if (!isDeepStrictEqual(plain(logs), plain(expected.logs))) {
      found.push(`expected the logs ${JSON.stringify(expected.logs)}, got ${JSON.stringify(logs)}`);
    }
  }
  return found;
}

/** Without prototypes, and maps' order: as JSON means it. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

function isRule(expected: number | string, { verdict, steps }: Explanation): boolean {
  if (typeof expected === "number") return verdict?.rule === expected;
  return (
    verdict?.rule !== undefined &&
    nameOfRule(
      steps.flatMap(({ policies }) => policies),
      verdict,
    ) === expected
  );
}

function nameOfRule(policies: readonly PolicyTrace[], verdict: DecisionView): string | undefined {
  for (const { object, rules, leadsTo } of policies) {
    const own =
      object === verdict.policy ? rules.find(({ index }) => index === verdict.rule)?.name : undefined;
    const found = own ?? nameOfRule(leadsTo?.endpoints ?? [], verdict);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isPolicy(expected: string, verdict: DecisionView | undefined): boolean {
  const policy = verdict?.policy ?? "";
  return policy === expected || policy.endsWith(`/${expected}`);
}

/** `service.namespace` or `namespace/service`, each with or without its port. */
function isTarget(expected: string, forward: string | undefined): boolean {
  if (forward === undefined) return false;
  const [, name, namespace, port = ""] =
    /^([^./:]+)\.([^:]+?)(?:\.svc(?:\.cluster\.local)?)?(:\d+)?$/.exec(expected) ?? [];
  const wanted = name === undefined ? expected : `${namespace}/${name}${port}`;
  return forward === wanted || forward.startsWith(`${wanted}:`);
}

function gotText(explanation: Explanation): string {
  const { outcome, verdict } = explanation;
  const target = verdict?.forward === undefined ? "" : ` to ${verdict.forward}`;
  return `${outcome}${target}${because(explanation)}`;
}

/** What decided, with the values that made it so. */
function because(explanation: Explanation): string {
  const { verdict, steps, problems } = explanation;
  if (verdict === undefined) {
    const [problem] = problems;
    return problem === undefined ? ": no policy guards it" : `: ${problem.object}: ${problem.message}`;
  }
  const values = decidingValues(
    steps.flatMap(({ policies }) => policies),
    verdict,
  );
  return `: ${deciderText(explanation)}${values === "" ? "" : ` (${values})`}`;
}

function deciderText({ verdict }: Explanation): string {
  if (verdict === undefined) return "nothing guards it";
  const { policy, rule, reason } = verdict;
  if (policy === undefined) return "no rule decided";
  const by = rule === undefined ? policy : `rule ${rule} of ${policy}`;
  return reason === "rule" ? `${by} decided` : `${by} decided, ${reason}`;
}

function decidingValues(policies: readonly PolicyTrace[], verdict: DecisionView): string {
  for (const { object, rules, leadsTo, problem } of policies) {
    if (object === verdict.policy && problem !== undefined) return problem;
    const rule = object === verdict.policy ? rules.find(({ index }) => index === verdict.rule) : undefined;
    if (rule !== undefined) {
      return rule.expressions
        .flatMap(({ text, error, operands }) => [
          text,
          ...operands.map(({ name, value }) => `${name} = ${value}`),
          ...(error === undefined ? [] : [error]),
        ])
        .join("; ");
    }
    const found = decidingValues(leadsTo?.endpoints ?? [], verdict);
    if (found !== "") return found;
  }
  return "";
}

function ruleText(rule: number | string): string {
  return typeof rule === "number" ? `${rule}` : `"${rule}"`;
}
