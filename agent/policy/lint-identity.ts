/** Callers that get in, or are kept out, though the author did not think of them. */
import type { Diagnostic } from "../model/diagnostic.ts";
import type { Subject } from "./lint.ts";
import { ask, askCaller, nobody, oversized } from "./lint-callers.ts";
import {
  ANNOTATIONS,
  ERROR_CODE,
  type ExpressionFacts,
  entryName,
  LABELS,
  METADATA,
  NAMESPACE,
  NAMESPACE_LABELS,
  POD,
} from "./lint-facts.ts";
import type { Outcome } from "./policy.ts";

/**
 * Whoever may write a pod's annotations can have error_code say ERR_NGROK_28000. A rule that denies only where error_code
 * is empty then no longer denies, though namespace and name are known.
 */
export function failsOpen({
  policy,
  facts,
  callers,
  warnRule,
  warnExpression,
}: Subject): readonly Diagnostic[] {
  for (const caller of callers) {
    const whole = askCaller(policy, caller);
    if (!isDeniedByRule(whole) || !isAdmitted(ask(policy, oversized(caller)))) continue;
    const at = facts.find((each) => each.rule === whole.rule && mentionsError(each));
    const message =
      "any pod whose annotations are over 1024 bytes has error_code ERR_NGROK_28000 and passes this rule, whatever its " +
      'namespace: leave the test of error_code out of this rule, or deny error_code != "" in a rule before it';
    return [
      at === undefined
        ? warnRule("PODGATE_FAIL_OPEN", whole.rule, message)
        : warnExpression("PODGATE_FAIL_OPEN", at, message, errorRead(at)?.range),
    ];
  }
  return [];
}

/** A policy that says what it does about error_code has thought of it; one that never denies anybody has nothing to lose. */
export function admitsTheUnknown({ policy, facts, callers, warnRule }: Subject): readonly Diagnostic[] {
  const [first] = facts.filter((each) => each.reads.some(({ variable }) => isOfPod(variable)));
  if (first === undefined || facts.some(mentionsError)) return [];
  if (!isAdmitted(ask(policy, nobody))) return [];
  if (!callers.some((caller) => isDeniedByRule(askCaller(policy, caller)))) return [];
  const message =
    "a caller that cannot be identified passes this policy: begin it with a rule that denies " +
    `${ERROR_CODE} != ""`;
  return [warnRule("PODGATE_IDENTITY_UNHANDLED", first.rule, message)];
}

/** Reading an annotation or label that a pod does not have is an error, and an error denies. */
export function missingEntries({
  policy,
  facts,
  callers,
  warnExpression,
  warnAction,
}: Subject): readonly Diagnostic[] {
  const found = new Map<string, Diagnostic>();
  for (const caller of callers) {
    const outcome = askCaller(policy, caller);
    if (outcome.kind !== "deny" || outcome.reason !== "expression-error") continue;
    const { rule, expression, action } = outcome;
    if (action !== undefined) {
      const message = `${outcome.error}: such a pod is denied with expression-error: test in the rule's expressions that it is there`;
      found.set(`${rule} ${action}`, warnAction("PODGATE_MISSING_KEY", rule, action, message));
      continue;
    }
    const at = facts.find((each) => each.rule === rule && each.expression === expression);
    const read = at?.entries.find(
      ({ map, key, asked }) => !asked && caller.lacks.includes(entryName(map, key)),
    );
    if (at === undefined || read === undefined) continue;
    const name = entryName(read.map, read.key);
    if (found.has(name)) continue;
    const message = `a pod without it is denied with expression-error here, whatever the rule says: ${advice(at, read)}`;
    found.set(name, warnExpression("PODGATE_MISSING_KEY", at, message, read.range));
  }
  return [...found.values()];
}

function advice({ comparisons }: ExpressionFacts, { map, key }: { map: string; key: string }): string {
  const test = `${JSON.stringify(key)} in ${map}`;
  const compared = comparisons.find(({ variable }) => variable === entryName(map, key));
  if (compared?.operator === "!=") return `to deny it by the rule, write !(${test}) || ...`;
  return `to let the rule pass it over, write ${test} && ...`;
}

/** Annotations and labels say what whoever wrote the pod wants them to say. */
export function selfAsserted({ facts, warnExpression }: Subject): readonly Diagnostic[] {
  const anchored = facts.some((each) => each.reads.some(({ variable }) => isAnchor(variable)));
  const first = facts.find((each) => ownWords(each) !== undefined);
  if (anchored || first === undefined) return [];
  const message =
    "who may create a pod writes its annotations and labels, and nothing else of the caller is asked: test its namespace too";
  return [warnExpression("PODGATE_SELF_ASSERTED", first, message, ownWords(first))];
}

/** Where an annotation or label of the pod itself is read. */
function ownWords({ entries, reads }: ExpressionFacts) {
  const isOwn = (map: string) => map === ANNOTATIONS || map === LABELS;
  const read = entries.find(({ map }) => isOwn(map)) ?? reads.find(({ variable }) => isOwn(variable));
  return read?.range;
}

/** What a pod's author cannot choose freely, or not without rights in another namespace. */
function isAnchor(variable: string): boolean {
  return (
    [NAMESPACE, `${METADATA}.name`, `${POD}.id`, `${POD}.service_account`].includes(variable) ||
    variable.startsWith(NAMESPACE_LABELS)
  );
}

/** And not because an expression failed, which nobody meant. */
function isDeniedByRule(outcome: Outcome): outcome is Outcome & { kind: "deny"; reason: "rule" } {
  return outcome.kind === "deny" && outcome.reason === "rule";
}

function isAdmitted(outcome: Outcome): boolean {
  return outcome.kind === "forward" || outcome.kind === "fell-through";
}

function isOfPod(variable: string): boolean {
  return variable.startsWith("conn.k8s.");
}

function mentionsError(facts: ExpressionFacts): boolean {
  return errorRead(facts) !== undefined;
}

function errorRead({ reads }: ExpressionFacts) {
  const read = (name: string) => reads.find(({ variable }) => variable === name);
  return read(ERROR_CODE) ?? read(`${METADATA}.error_message`);
}
