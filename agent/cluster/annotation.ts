/** Annotations by which the author of a policy object says how it is enforced. */
import { describe, field } from "./fields.ts";
import type { Metadata } from "./metadata.ts";
import { type Malformed, malformed } from "./parse-policy-source.ts";

export const MODE_ANNOTATION = "podgate.dev/mode";
export const GUARD_UPSTREAM_ANNOTATION = "podgate.dev/guard-upstream";
export const REAUTHORIZE_ANNOTATION = "podgate.dev/reauthorize";

/** What the values of REAUTHORIZE_ANNOTATION say about `connectOnly`. */
export const REAUTHORIZE = { "connect-only": true, always: false };

/** The meaning of an annotation's value; false where it is absent, and a fault where it is any other. */
export function choice(
  metadata: Metadata,
  key: string,
  meanings: Readonly<Record<string, boolean>>,
  faults: Malformed[],
): boolean {
  const value = field(metadata.annotations, key);
  if (value === undefined) return false;
  const meaning = typeof value === "string" ? field(meanings, value) : undefined;
  if (typeof meaning === "boolean") return meaning;
  const allowed = Object.keys(meanings).join(" or ");
  faults.push(malformed(`metadata.annotations["${key}"]`, `is ${describe(value)}: write ${allowed}`));
  return false;
}
