/** Which policy is in force for each object: what it says now, or what it last said that could be understood. */
import type { Snapshot } from "../cluster/snapshot.ts";
import { type Diagnostic, formatDiagnostic } from "../model/diagnostic.ts";
import { nameKey, type PolicyObject, refKey, type TrafficPolicy } from "../model/objects.ts";
import { missingAnnotations } from "../policy/missing-annotation.ts";
import { parsePolicy } from "../policy/parse.ts";
import type { ParseResult, Policy } from "../policy/policy.ts";
import type { InForce, Problem } from "./guard.ts";
import type { LastValid } from "./last-valid.ts";
import { unfit } from "./validity.ts";

export interface ResolvedPolicy {
  readonly object: PolicyObject;
  readonly inForce: InForce;
  /** Whether the object is about pods at all: the policy in force, or the one that could not be used, reads `conn.k8s.*`. */
  readonly readsPod: boolean;
  /** What is wrong with what the object says now, whether or not an older text is in force. */
  readonly problem?: Problem;
  /** What its author may not have meant, though it is valid. */
  readonly warnings: readonly Diagnostic[];
}

/** Of the text in an NgrokTrafficPolicy. */
export const REFERENCED_PATH = "spec.policy";

/** By the object's `refKey`. */
export type ResolvedPolicies = ReadonlyMap<string, ResolvedPolicy>;

/** `parsePolicy`, with a memory for values it has seen: an object's value is replaced when, and only when, it changes. */
export type PolicyReader = (value: unknown, path: string) => ParseResult;

export function policyReader(): PolicyReader {
  const seen = new WeakMap<object, ParseResult>();
  return (value, path) => {
    if (typeof value !== "object" || value === null) return parsePolicy(value, path);
    const known = seen.get(value);
    if (known !== undefined) return known;
    const result = withAdvice(parsePolicy(value, path), path);
    seen.set(value, result);
    return result;
  };
}

/** The one warning that the agent adds to those of reading: it is about who is denied, and cheap to find. */
function withAdvice(result: ParseResult, path: string): ParseResult {
  if (!result.ok) return result;
  return { ...result, warnings: [...result.warnings, ...missingAnnotations(result.policy, path)] };
}

/** Every policy text there is, with its path in its object: what `resolvePolicies` will read. */
export function policyTexts(
  snapshot: Pick<Snapshot, "endpoints" | "connectionPolicies" | "trafficPolicies">,
): { readonly value: unknown; readonly path: string }[] {
  const inline = [...snapshot.endpoints, ...snapshot.connectionPolicies].flatMap(({ policy }) =>
    policy.kind === "inline" ? policy : [],
  );
  return [...inline, ...snapshot.trafficPolicies.map(({ value }) => ({ value, path: REFERENCED_PATH }))];
}

const FAULTS_LENGTH = 600;

/** Reads every policy; remembers in `lastValid` those that are valid and forgets those of objects that are gone. */
export function resolvePolicies(
  snapshot: Pick<Snapshot, "endpoints" | "connectionPolicies" | "trafficPolicies">,
  lastValid: LastValid,
  read: PolicyReader,
): ResolvedPolicies {
  const objects: readonly PolicyObject[] = [...snapshot.endpoints, ...snapshot.connectionPolicies];
  const texts = new Map(snapshot.trafficPolicies.map((policy) => [nameKey(policy), policy]));
  const resolved = new Map(
    objects.map((object) => [
      refKey(object),
      resolve(object, currentPolicy(object, texts, read), lastValid, read),
    ]),
  );
  lastValid.retain(objects);
  return resolved;
}

/** What an object says now. `document` is the raw text of a policy that can be used; undefined if it has none. */
type Current =
  | {
      readonly ok: true;
      readonly policy: Policy;
      readonly document?: unknown;
      readonly warnings: readonly Diagnostic[];
    }
  | { readonly ok: false; readonly problem: Problem; readonly readsPod: boolean };

const NO_RULES: Policy = { rules: [], scope: "namespace", reads: new Set(), readsPod: false, cost: 0 };

function currentPolicy(
  object: PolicyObject,
  texts: ReadonlyMap<string, TrafficPolicy>,
  read: PolicyReader,
): Current {
  const source = object.policy;
  switch (source.kind) {
    case "none":
      return checked(object, NO_RULES);
    case "malformed":
      return invalid(`${source.path}: ${source.message}`, false);
    case "inline":
      return parsed(object, source.value, source.path, "", read);
    case "reference": {
      const name = `${object.namespace}/${source.name}`;
      const text = texts.get(name);
      if (text === undefined) {
        const message = `${source.path}: NgrokTrafficPolicy ${name} does not exist: create it or change the name`;
        return { ok: false, problem: { reason: "TargetNotFound", message }, readsPod: false };
      }
      return parsed(object, text.value, REFERENCED_PATH, `NgrokTrafficPolicy ${name}: `, read);
    }
  }
}

function parsed(
  object: PolicyObject,
  value: unknown,
  path: string,
  where: string,
  read: PolicyReader,
): Current {
  const result = read(value, path);
  if (result.ok) return checked(object, result.policy, value, result.warnings);
  return invalid(where + faultText(result.diagnostics.map(formatDiagnostic)), result.readsPod);
}

/** As many faults as leave room, in a condition's message, for what comes of them. */
function faultText(faults: readonly string[]): string {
  const shown = faults.filter((_, index) => faults.slice(0, index + 1).join("; ").length <= FAULTS_LENGTH);
  const first = shown.length === 0 ? faults.slice(0, 1) : shown;
  const more = faults.length - first.length;
  return [...first, ...(more > 0 ? [`and ${more} more, which podgate lint lists`] : [])].join("; ");
}

function checked(
  object: PolicyObject,
  policy: Policy,
  document?: unknown,
  warnings: readonly Diagnostic[] = [],
): Current {
  const why = unfit(object, policy);
  return why === undefined ? { ok: true, policy, document, warnings } : invalid(why, policy.readsPod);
}

function invalid(message: string, readsPod: boolean): Current {
  return { ok: false, problem: { reason: "Invalid", message }, readsPod };
}

function resolve(
  object: PolicyObject,
  current: Current,
  lastValid: LastValid,
  read: PolicyReader,
): ResolvedPolicy {
  if (current.ok) {
    lastValid.set(object, current.document);
    return {
      object,
      inForce: { kind: "policy", policy: current.policy },
      readsPod: current.policy.readsPod,
      warnings: current.warnings,
    };
  }
  const last = lastValidPolicy(object, lastValid, read);
  const { reason, message } = current.problem;
  const effect =
    last === undefined
      ? "until then every connection it guards is denied"
      : "the last valid policy stays enforced";
  return {
    object,
    inForce:
      last === undefined
        ? { kind: "refusal", reason: reason === "TargetNotFound" ? "target-not-found" : "policy-invalid" }
        : { kind: "policy", policy: last },
    readsPod: current.readsPod || last?.readsPod === true,
    problem: { reason, message: `${message}; ${effect}` },
    warnings: [],
  };
}

/** A document that an older version of Podgate understood and this one does not is no policy. */
function lastValidPolicy(object: PolicyObject, lastValid: LastValid, read: PolicyReader): Policy | undefined {
  const document = lastValid.get(object);
  if (document === undefined) return undefined;
  const result = read(document, "last valid policy");
  return result.ok && unfit(object, result.policy) === undefined ? result.policy : undefined;
}
