/** Test results as lines for people, and as plain values for `-o json`. */
import { formatPlaced, type Position } from "../policy/yaml.ts";
import { type Coverage, missed, type RuleCoverage } from "./coverage.ts";
import type { CaseResult, TrialResult } from "./trial.ts";

export function reportLines(trials: readonly TrialResult[]): readonly string[] {
  const lines = trials.flatMap(trialLines);
  const all = trials.flatMap(({ results }) => results);
  const failed = all.filter(({ failures }) => failures.length > 0).length;
  const broken = trials.filter(({ diagnostics }) => diagnostics.length > 0).length;
  const rules = trials.flatMap(({ coverage }) => coverage.rules);
  const hit = rules.filter(({ hits }) => hits > 0).length;
  const parts = [
    `${all.length} ${all.length === 1 ? "test" : "tests"} in ${trials.length} ${trials.length === 1 ? "directory" : "directories"}`,
    `${all.length - failed} passed`,
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(broken > 0 ? [`${broken} with faults in their files`] : []),
    `${hit} of ${rules.length} rules hit`,
  ];
  return [...lines, parts.join(", ")];
}

function trialLines({ name, results, coverage, diagnostics }: TrialResult): readonly string[] {
  const passed = results.filter(({ failures }) => failures.length === 0).length;
  const state = diagnostics.length > 0 ? "cannot be run" : `${passed} of ${results.length} passed`;
  return [
    `${name}: ${state}`,
    ...diagnostics.map((diagnostic) => `  ${formatPlaced(diagnostic)}`),
    ...results.flatMap(failureLines),
    ...missed(coverage).map((rule) => `  ${missedText(rule)}`),
  ];
}

function failureLines({ case: each, failures }: CaseResult): readonly string[] {
  if (failures.length === 0) return [];
  return [
    `  FAIL ${each.name}`,
    ...failures.map((failure) => `    ${placeText(each.expect.position)}: ${failure}`),
  ];
}

/** As compilers write a warning, so that editors lead there. */
function missedText({ object, index, name, position }: RuleCoverage): string {
  const place = position === undefined ? "" : `${placeText(position)}: `;
  return `${place}no test hits rule ${index}${name === "" ? "" : ` "${name}"`} of ${object.replace("/", " ")}`;
}

function placeText({ file, line, column }: Position): string {
  return `${file}:${line}:${column}`;
}

export function reportJson(trials: readonly TrialResult[]): string {
  const value = trials.map(({ name, results, coverage, diagnostics }) => ({
    name,
    faults: diagnostics.map(({ code, message, position }) => ({ code, message, ...position })),
    tests: results.map(({ case: each, explanation, failures }) => ({
      name: each.name,
      ...each.position,
      passed: failures.length === 0,
      failures,
      ...(explanation && { outcome: explanation.outcome, verdict: explanation.verdict ?? null }),
    })),
    rules: coverageJson(coverage),
  }));
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

function coverageJson({ rules }: Coverage) {
  return rules.map(({ position, ...rule }) => ({ ...rule, ...position }));
}
