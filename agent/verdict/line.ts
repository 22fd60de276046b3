/** Reads the agents' verdict lines back, wherever they come from. Whatever is no verdict is not for us. */
import { inert, inertJson } from "./text.ts";

/** A place as a person names it: the Service where there is one. */
export interface LinePlace {
  readonly address: string;
  readonly port: number;
  /** `namespace/name`; "" if the address leads to no Service. */
  readonly service: string;
}

/** What decided. All texts are safe to show. */
export interface LineDecision {
  readonly verdict: string;
  readonly reason: string;
  /** `Kind namespace/name`; "" if no policy decided. */
  readonly policy: string;
  /** Position from 0; undefined if no rule decided. */
  readonly rule: number | undefined;
  readonly ruleName: string;
  readonly expression: string;
  readonly error: string;
}

export interface VerdictLine extends LineDecision {
  /** The JSON as it was written, safe to show. */
  readonly json: string;
  /** ms since 1970. */
  readonly time: number;
  readonly enforced: boolean;
  /** Undefined: the caller is unresolved. */
  readonly pod: { readonly namespace: string; readonly name: string } | undefined;
  /** Undefined: nobody knows which. */
  readonly process: { readonly pid: number; readonly comm: string } | undefined;
  readonly destination: LinePlace;
  readonly forwardedTo: LinePlace | undefined;
  readonly errorCode: string;
  readonly audited: LineDecision | undefined;
  readonly suppressed: number;
  /** What `log` actions recorded, each as JSON. */
  readonly log: readonly string[];
}

/** Undefined: not a verdict. `kubectl logs --prefix` and `--timestamps` write something before the JSON. */
export function readVerdictLine(text: string): VerdictLine | undefined {
  const start = text.indexOf("{");
  if (start < 0 || !text.includes('"verdict"', start)) return undefined;
  const json = text.slice(start);
  const value = parsed(json);
  if (member(value, "msg") !== "verdict") return undefined;
  const time = member(value, "time");
  const destination = placeOf(member(value, "destination"));
  const decision = decisionOf(value);
  if (typeof time !== "number" || destination === undefined || decision.verdict === "") return undefined;
  const pod = member(value, "pod");
  const process = member(value, "process");
  const audited = member(value, "audited");
  return {
    ...decision,
    json: inertJson(json),
    time,
    enforced: member(value, "enforced") !== false,
    pod: isObject(pod) ? { namespace: word(pod, "namespace"), name: word(pod, "name") } : undefined,
    process: isObject(process) ? { pid: number(process, "pid"), comm: word(process, "comm") } : undefined,
    destination,
    forwardedTo: placeOf(member(value, "forwarded_to")),
    errorCode: word(value, "error_code"),
    audited: isObject(audited) ? decisionOf(audited) : undefined,
    suppressed: number(value, "suppressed"),
    log: recorded(member(value, "log")),
  };
}

function decisionOf(value: unknown): LineDecision {
  const policy = member(value, "policy");
  const rule = member(value, "rule");
  const index = member(rule, "index");
  return {
    verdict: word(value, "verdict"),
    reason: word(value, "reason"),
    policy: isObject(policy)
      ? `${word(policy, "kind")} ${word(policy, "namespace")}/${word(policy, "name")}`
      : "",
    rule: typeof index === "number" ? index : undefined,
    ruleName: word(rule, "name"),
    expression: word(rule, "expression"),
    error: word(value, "error"),
  };
}

function recorded(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map((entry) => inertJson(JSON.stringify(entry))) : [];
}

function placeOf(value: unknown): LinePlace | undefined {
  const address = word(value, "address");
  return address === ""
    ? undefined
    : { address, port: number(value, "port"), service: word(value, "service") };
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    // Half a line, or a program's own braces.
    return undefined;
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function member(value: unknown, key: string): unknown {
  return isObject(value) && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
}

function word(value: unknown, key: string): string {
  const found = member(value, key);
  return typeof found === "string" ? inert(found) : "";
}

function number(value: unknown, key: string): number {
  const found = member(value, key);
  return typeof found === "number" ? found : 0;
}
