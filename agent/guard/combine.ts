/** Many policies, one decision: deny overrides, always. */
import type { Decision } from "../model/verdict.ts";

/** `decisions` are in the order of their objects' keys: of several equal ones the first is reported. */
export function combine(decisions: readonly Decision[]): Decision {
  const deny = decisions.find(({ action }) => action === "deny");
  if (deny !== undefined) return deny;
  // Undecided, and nobody refuses for certain. Whatever else an action may be, it is no allow.
  const undecided = decisions.filter(({ action }) => action !== "allow" && action !== "forward");
  const forwards = decisions.filter(({ action }) => action === "forward");
  const [open] = undecided;
  if (open !== undefined) {
    const { onAgentDown, ...refusing } = open;
    // Allowed without an agent only where nobody minds, and nobody would have sent it elsewhere.
    const nobodyMinds = forwards.length === 0 && undecided.every((each) => each.onAgentDown === "allow");
    return nobodyMinds && onAgentDown ? open : refusing;
  }
  const [first] = forwards;
  if (first !== undefined) {
    const { policy, rule } = first;
    const differs = forwards.some((other) => targetKey(other) !== targetKey(first));
    return differs
      ? { action: "deny", reason: "conflict", ...(policy && { policy }), ...(rule !== undefined && { rule }) }
      : first;
  }
  const allow = decisions.find(({ reason }) => reason === "rule");
  return allow ?? { action: "allow", reason: "fell-through" };
}

function targetKey({ forward }: Decision): string {
  return `${forward?.service}:${forward?.port}`;
}

/** Whether two decisions do the same to a connection. */
export function sameEffect(a: Decision, b: Decision): boolean {
  return a.action === b.action && targetKey(a) === targetKey(b);
}
