/** Where an object's policy text is. What is ambiguous or unreadable is "malformed", which denies; never "none". */
import type { PolicySource } from "../model/objects.ts";
import { describe, type Fields, field, isRecord, text } from "./fields.ts";

export type Malformed = Extract<PolicySource, { kind: "malformed" }>;

const PATH = "spec.trafficPolicy";

/** Reads `spec.trafficPolicy` and the deprecated `spec.trafficPolicyName`. */
export function policySource(spec: Fields): PolicySource {
  const policy = field(spec, "trafficPolicy");
  const name = field(spec, "trafficPolicyName");
  const named = name !== undefined && name !== null && name !== "";
  if (policy === undefined) {
    return named ? reference(name, "spec.trafficPolicyName") : { kind: "none" };
  }
  if (named) return malformed(PATH, "is set beside spec.trafficPolicyName: keep one of them");
  if (!isRecord(policy)) {
    return malformed(PATH, `is ${describe(policy)}: write an object with inline or targetRef, or remove it`);
  }
  return written(policy);
}

function written(policy: Fields): PolicySource {
  const inline = field(policy, "inline");
  const target = field(policy, "targetRef");
  if (inline !== undefined && target !== undefined) {
    return malformed(PATH, "has both inline and targetRef: keep one of them");
  }
  if (target !== undefined) return targetRef(target);
  // ngrok reads the deprecated `policy` only where neither of the others is.
  const key = inline === undefined ? "policy" : "inline";
  const value = field(policy, key);
  if (value === undefined) return malformed(PATH, "has neither inline nor targetRef: write one of them");
  const path = `${PATH}.${key}`;
  return value === null
    ? malformed(path, "is empty: write the policy below it, or remove it")
    : { kind: "inline", value, path };
}

function targetRef(target: unknown): PolicySource {
  const path = `${PATH}.targetRef`;
  if (!isRecord(target)) return malformed(path, `is ${describe(target)}: write an object with a name`);
  const kind = field(target, "kind") ?? "NgrokTrafficPolicy";
  if (kind !== "NgrokTrafficPolicy") {
    return malformed(`${path}.kind`, `is ${describe(kind)}: refer to an NgrokTrafficPolicy`);
  }
  return reference(field(target, "name"), `${path}.name`);
}

function reference(name: unknown, path: string): PolicySource {
  const found = text(name);
  return found
    ? { kind: "reference", name: found, path }
    : malformed(path, `is ${describe(name)}: write the name of an NgrokTrafficPolicy`);
}

export function malformed(path: string, message: string): Malformed {
  return { kind: "malformed", message, path };
}
