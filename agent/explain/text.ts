/** An explanation as a person reads it: the answer first, then why, then what would change it. */
import type { Placement } from "../policy/placement.ts";
import type {
  DecisionView,
  Explanation,
  ExpressionTrace,
  GuardPolicyTrace,
  Outcome,
  PolicyTrace,
  RuleTrace,
  Step,
} from "./explanation.ts";

/** Lines without their ends. Whoever prints them makes hostile characters harmless. */
export function explanationLines(explanation: Explanation): readonly string[] {
  const { from, to, outcome, verdict, steps, remedies, advice, problems } = explanation;
  const lines = [`${from.name} -> ${to}: ${answer(outcome, verdict)}`, ""];
  lines.push(...table([["from", fromText(explanation)], ...steps.map(stepHead)]));
  for (const step of steps) lines.push(...stepLines(step));
  if (problems.length > 0) lines.push("", "not as its author may think:");
  for (const { object, reason, message } of problems)
    lines.push(...indented([`${nameOf(object)}: ${reason}: ${message}`]));
  if (remedies.length > 0) lines.push("", "any one of these would let it in:");
  for (const { change, command } of remedies) {
    lines.push(...indented([change, ...(command === undefined ? [] : [`  ${command}`])]));
  }
  if (advice !== undefined) lines.push("", `to let it in: ${advice}`);
  return lines.map((line) => line.replace(/[\s\p{Zl}\p{Zp}]/gu, " ").trimEnd());
}

const ANSWERS: Readonly<Record<Outcome, string>> = {
  allow: "ALLOW",
  forward: "FORWARD",
  deny: "DENY",
  proxy: "NOT DECIDED before the connection",
  "not-guarded": "NOT GUARDED, everybody may connect",
};

function answer(outcome: Outcome, verdict: DecisionView | undefined): string {
  if (verdict === undefined) return ANSWERS[outcome];
  return `${ANSWERS[outcome]} (${[verdict.reason, decidedBy(verdict)].filter(Boolean).join(", ")})`;
}

function decidedBy({ policy, rule, forward, error }: DecisionView): string {
  const by =
    policy === undefined ? "" : rule === undefined ? nameOf(policy) : `rule ${rule} of ${nameOf(policy)}`;
  const to = forward === undefined ? "" : `to ${forward}`;
  return [by, to, error ?? ""].filter(Boolean).join(", ");
}

/** `Kind/namespace/name` with a space where a person expects one. */
function nameOf(object: string): string {
  return object.replace("/", " ");
}

function fromText({ from }: Explanation): string {
  const node = from.node === undefined ? "" : ` on node ${from.node}`;
  if (!from.identified) return `${from.name}${node}: ${from.errorCode}, ${from.errorMessage}`;
  const error = from.errorCode === "" ? "" : `, ${from.errorCode}: ${from.errorMessage}`;
  const { connection } = from;
  const moment = connection === undefined ? "" : `, from port ${connection.clientPort} at ${connection.time}`;
  return `pod ${from.name}${node}${moment}${error}`;
}

function stepHead({ address, port, services }: Step, index: number): [string, string] {
  const place = `${address.includes(":") ? `[${address}]` : address}:${port}`;
  const names = services.length === 0 ? "no Service that is known" : services.join(", ");
  return [index === 0 ? "to" : "then to", `${place}, ${names}`];
}

function stepLines(step: Step): readonly string[] {
  const { policies, verdict, audited, log, note, services } = step;
  if (policies.length === 0 && verdict === undefined) {
    const nothing = `nothing guards ${services[0] ?? `${step.address} at port ${step.port}`}`;
    return ["", note === undefined ? nothing : `${nothing}: ${note}`];
  }
  const lines = policies.flatMap((policy) => ["", ...guardPolicyLines(policy)]);
  const after: string[] = [];
  if (note !== undefined) after.push(note);
  if (verdict !== undefined && policies.length !== 1) after.push(`together: ${decisionText(verdict)}`);
  if (audited !== undefined) after.push(`with the audited policies: ${decisionText(audited)}`);
  for (const metadata of log ?? []) after.push(`logs ${JSON.stringify(metadata)}`);
  return after.length === 0 ? lines : [...lines, "", ...after];
}

function decisionText(decision: DecisionView): string {
  const by = decidedBy(decision);
  return `${decision.action}, ${decision.reason}${by === "" ? "" : `, ${by}`}`;
}

function placementText({ where, why }: Placement): string {
  return `decided ${where === "proxy" ? "by the proxy" : `in the ${where}`}: ${why}`;
}

function guardPolicyLines(policy: GuardPolicyTrace): readonly string[] {
  const mode = policy.audit ? " (audit: it never refuses)" : "";
  const { action, reason, forward, error } = policy.decision;
  const outcome = [action, reason, forward === undefined ? "" : `to ${forward}`, error ?? ""].filter(Boolean);
  const placement = policy.placement === undefined ? [] : [placementText(policy.placement)];
  return [
    `${nameOf(policy.object)}${mode}: ${outcome.join(", ")}`,
    ...indented([`applies because ${policy.because}`, ...placement, ...policyLines(policy)]),
  ];
}

function policyLines({ problem, rules, leadsTo, fallThrough }: PolicyTrace): readonly string[] {
  const lines = problem === undefined ? [] : [`problem: ${problem}`];
  for (const rule of rules) lines.push(...ruleLines(rule));
  if (rules.length > 0 && rules.every(({ state }) => state === "matches" || state === "does-not-match")) {
    lines.push(`no rule decides: ${fallThrough}`);
  }
  if (leadsTo === undefined) return lines;
  const { url, endpoints, target } = leadsTo;
  lines.push(target === undefined ? `${url} is registered:` : `${url} is ${target}`);
  for (const endpoint of endpoints)
    lines.push(...indented([nameOf(endpoint.object), ...indented(policyLines(endpoint))]));
  return lines;
}

const STATES: Readonly<Record<RuleTrace["state"], string>> = {
  decides: "decides",
  matches: "matches",
  "does-not-match": "does not match",
  undecided: "hangs on the connection",
  "not-reached": "not reached",
};

function ruleLines({ index, name, state, expressions, actions }: RuleTrace): readonly string[] {
  const title = `rule ${index}${name === "" ? "" : ` "${name}"`}`;
  const mark = state === "decides" || state === "undecided" ? ">" : " ";
  const head = `${mark} ${title}  ${STATES[state]}  ${actions.join(", ")}`;
  return [
    head,
    ...(state === "not-reached"
      ? []
      : expressions.flatMap((each) => expressionLines(each, state)).map((line) => `    ${line}`)),
  ];
}

function expressionLines(
  { text, value, error, operands }: ExpressionTrace,
  state: RuleTrace["state"],
): readonly string[] {
  // Of an undecided rule the error says only what is not known yet.
  const failed = state === "undecided" ? "?" : "error";
  const result = value === undefined ? (error === undefined ? "-" : failed) : `${value}`;
  // A block of YAML may be over several lines.
  const lines = [`${result.padEnd(5)}  ${text.trim().replace(/\s*[\r\n]\s*/g, " ")}`];
  for (const operand of operands) lines.push(`       ${operand.name} = ${operand.value}`);
  if (error !== undefined) lines.push(`       ${error}`);
  return lines;
}

function indented(lines: readonly string[]): readonly string[] {
  return lines.map((line) => `  ${line}`);
}

function table(rows: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(...rows.map(([head]) => head.length));
  return rows.map(([head, text]) => `${head.padEnd(width)}  ${text}`);
}
