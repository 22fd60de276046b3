/** Callers that get in, or are kept out, though the author did not think of them. */
import type { Diagnostic } from "../model/diagnostic.ts";
import type { Identity } from "../model/identity.ts";
import { evaluate } from "./evaluate.ts";
import type { Subject } from "./lint.ts";
import { type Caller, nobody, oversized } from "./lint-callers.ts";
import { ANNOTATIONS, ERROR_CODE, type ExpressionFacts, METADATA, NAMESPACE, POD } from "./lint-facts.ts";
import type { Outcome } from "./policy.ts";

function ask({ policy }: Subject, identity: Identity): Outcome {
  return evaluate(policy, identity);
}

function askCaller(subject: Subject, { pod }: Caller): Outcome {
  return ask(subject, { kind: "pod", pod });
}

/**
 * Whoever may write a pod's annotations can have error_code say ERR_NGROK_28000. A rule that denies only where error_code
 * is empty then no longer denies, though namespace and name are known.
 */
export function failsOpen(subject: Subject): readonly Diagnostic[] {
  for (const caller of subject.callers) {
    const whole = askCaller(subject, caller);
    if (whole.kind !== "deny" || ask(subject, oversized(caller)).kind === "deny") continue;
    const inRule = subject.facts.filter(({ rule }) => rule === whole.rule);
    const at = inRule.find((facts) => readOf(facts, ERROR_CODE) !== undefined);
    const message =
      "any pod whose annotations are over 1024 bytes has error_code ERR_NGROK_28000 and passes this rule, whatever its " +
      'namespace: leave the test of error_code out of this rule, or deny error_code != "" in a rule before it';
    return [
      at === undefined
        ? subject.warnRule("PODGATE_FAIL_OPEN", whole.rule, message)
        : subject.warnExpression("PODGATE_FAIL_OPEN", at, message, readOf(at, ERROR_CODE)?.range),
    ];
  }
  return [];
}

/** A policy that says what it does about error_code has thought of it; one that never denies anybody has nothing to lose. */
export function admitsTheUnknown(subject: Subject): readonly Diagnostic[] {
  const { facts, callers } = subject;
  const [first] = facts.filter((each) => each.reads.some(({ variable }) => isOfPod(variable)));
  if (first === undefined || facts.some(mentionsError)) return [];
  if (ask(subject, nobody).kind === "deny") return [];
  if (!callers.some((caller) => askCaller(subject, caller).kind === "deny")) return [];
  const message =
    "a caller that cannot be identified passes this policy: begin it with a rule that denies " +
    `${ERROR_CODE} != ""`;
  return [subject.warnRule("PODGATE_IDENTITY_UNHANDLED", first.rule, message)];
}

/** Reading an annotation that a pod does not have is an error, and an error denies. */
export function missingAnnotations(subject: Subject): readonly Diagnostic[] {
  const found = new Map<string, Diagnostic>();
  for (const caller of subject.callers) {
    const outcome = askCaller(subject, caller);
    if (outcome.kind !== "deny" || outcome.reason !== "expression-error") continue;
    const at = subject.facts.find(
      ({ rule, expression }) => rule === outcome.rule && expression === outcome.expression,
    );
    const read = at?.annotations.find(({ key, asked }) => !asked && caller.lacks.includes(key));
    if (at === undefined || read === undefined || found.has(read.key)) continue;
    const message =
      "a pod without the annotation is denied with expression-error here, whatever the rule says: " +
      advice(at, read.key);
    found.set(read.key, subject.warnExpression("PODGATE_ANNOTATION_MISSING", at, message, read.range));
  }
  return [...found.values()];
}

function advice({ comparisons }: ExpressionFacts, key: string): string {
  const quoted = JSON.stringify(key);
  const name = `${ANNOTATIONS}[${quoted}]`;
  const compared = comparisons.find(({ variable }) => variable === name);
  if (compared?.operator === "!=")
    return `to deny it by the rule, write !(${quoted} in ${ANNOTATIONS}) || ...`;
  return `to let the rule pass it over, write ${quoted} in ${ANNOTATIONS} && ...`;
}

/** Annotations say what whoever wrote the pod wants them to say. */
export function selfAsserted({ facts, warnExpression }: Subject): readonly Diagnostic[] {
  const anchored = facts.some(({ reads }) => reads.some(({ variable }) => ANCHORS.has(variable)));
  const first = facts.find((each) => each.annotations.length > 0 || readOf(each, ANNOTATIONS) !== undefined);
  if (anchored || first === undefined) return [];
  const message =
    "who may create a pod writes its annotations, and nothing else of the caller is asked: test its namespace too";
  const range = first.annotations[0]?.range ?? readOf(first, ANNOTATIONS)?.range;
  return [warnExpression("PODGATE_SELF_ASSERTED", first, message, range)];
}

/** What a pod's author cannot choose freely, or not without rights in another namespace. */
const ANCHORS: ReadonlySet<string> = new Set([
  NAMESPACE,
  `${METADATA}.name`,
  `${POD}.id`,
  `${POD}.service_account`,
]);

function isOfPod(variable: string): boolean {
  return variable.startsWith("conn.k8s.");
}

function mentionsError({ reads }: ExpressionFacts): boolean {
  return reads.some(({ variable }) => variable === ERROR_CODE || variable === `${METADATA}.error_message`);
}

function readOf({ reads }: ExpressionFacts, variable: string) {
  return reads.find((read) => read.variable === variable);
}
