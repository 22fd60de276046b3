/**
 * What is dangerous or in vain in a policy that is valid: warnings. Wherever it can be, the policy itself is asked, about
 * callers made from its own words, so that a warning is about what the policy does and not about how it is written.
 */
import type { Diagnostic } from "../model/diagnostic.ts";
import { childPath } from "./json-path.ts";
import { type Caller, callersOf } from "./lint-callers.ts";
import { type ExpressionFacts, factsOf, type Range } from "./lint-facts.ts";
import { admitsTheUnknown, failsOpen, missingEntries, selfAsserted } from "./lint-identity.ts";
import { shadowedRules } from "./lint-rules.ts";
import { unverifiedClients } from "./lint-tls.ts";
import { constantRules, emptyVariables, impossibleValues, unknownNamespaces } from "./lint-values.ts";
import type { Policy } from "./policy.ts";

export interface LintContext {
  /** Names of the namespaces that exist; undefined where that is not known. */
  readonly namespaces: ReadonlySet<string> | undefined;
  /** Prefixes of the annotations that policies can read. */
  readonly annotationPrefixes: readonly string[];
}

/** A policy and what its checks need of it. */
export interface Subject {
  readonly policy: Policy;
  readonly facts: readonly ExpressionFacts[];
  readonly callers: readonly Caller[];
  readonly context: LintContext;
  warnRule(code: string, rule: number, message: string): Diagnostic;
  warnAction(code: string, rule: number, action: number, message: string): Diagnostic;
  warnExpression(
    code: string,
    at: Pick<ExpressionFacts, "rule" | "expression">,
    message: string,
    range?: Range,
  ): Diagnostic;
}

const CHECKS: readonly ((subject: Subject) => readonly Diagnostic[])[] = [
  failsOpen,
  admitsTheUnknown,
  missingEntries,
  selfAsserted,
  impossibleValues,
  unknownNamespaces,
  emptyVariables,
  constantRules,
  shadowedRules,
  unverifiedClients,
];

/** `path`: where the policy document stands in its object. */
export function lintPolicy(policy: Policy, path: string, context: LintContext): readonly Diagnostic[] {
  const facts = factsOf(policy);
  const rulePath = (rule: number) => childPath(childPath(path, "on_tcp_connect"), rule);
  const subject: Subject = {
    policy,
    facts,
    callers: callersOf(facts),
    context,
    warnRule: (code, rule, message) => ({ severity: "warning", code, path: rulePath(rule), message }),
    warnAction: (code, rule, action, message) => ({
      severity: "warning",
      code,
      path: childPath(childPath(rulePath(rule), "actions"), action),
      message,
    }),
    warnExpression: (code, { rule, expression }, message, range) => ({
      severity: "warning",
      code,
      path: childPath(childPath(rulePath(rule), "expressions"), expression),
      message,
      ...(range && { range }),
    }),
  };
  return CHECKS.flatMap((check) => check(subject));
}
