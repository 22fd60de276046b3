/** Rules that never decide anything because a rule before them does. */
import type { Diagnostic } from "../model/diagnostic.ts";
import type { Subject } from "./lint.ts";
import type { Rule } from "./policy.ts";

/** A rule that demands all that an earlier one demands, and more, never matches where the earlier one did not end it. */
export function shadowedRules({ policy, warnRule }: Subject): readonly Diagnostic[] {
  const ending: { rule: Rule; texts: readonly string[] }[] = [];
  return policy.rules.flatMap((rule) => {
    const texts = new Set(rule.expressions.map(({ text }) => normal(text)));
    // Rules after one without expressions are an error of the parser's.
    const shadow = ending.find(
      (earlier) => earlier.texts.length > 0 && earlier.texts.every((text) => texts.has(text)),
    );
    if (rule.actions.some(endsPolicy)) ending.push({ rule, texts: [...texts] });
    if (shadow === undefined || texts.size === 0) return [];
    const message = `rule ${shadow.rule.index} has the same expressions and ends the policy before this one: remove one of them`;
    return [warnRule("PODGATE_SHADOWED_RULE", rule.index, message)];
  });
}

/** White space apart; where a text holds some, two that differ in it count as different. */
function normal(text: string): string {
  return /["']/.test(text) ? text.trim() : text.replace(/\s+/g, " ").trim();
}

function endsPolicy(action: Rule["actions"][number]): boolean {
  if (action.type === "forward-internal") return !action.continueOnError;
  return action.type === "deny" || action.type === "close-connection";
}
