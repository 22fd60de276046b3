/** A parsed, checked policy: what `evaluate` runs. Built only by `parsePolicy`. */
import type { Diagnostic } from "../model/diagnostic.ts";
import type { Identity } from "../model/identity.ts";

/** A compiled expression. Never throws: whatever goes wrong is the Error. A result that is not a boolean is an Error too. */
export type Predicate = (identity: Identity) => boolean | Error;

export interface Expression {
  /** As written. */
  readonly text: string;
  readonly evaluate: Predicate;
}

export type PolicyAction =
  | { readonly type: "deny" }
  | { readonly type: "forward-internal"; readonly url: string };

export interface Rule {
  /** Position in `on_tcp_connect`, from 0. */
  readonly index: number;
  readonly name: string;
  readonly expressions: readonly Expression[];
  /** At least one. */
  readonly actions: readonly PolicyAction[];
}

/**
 * What of a caller can change a policy's verdict. "namespace": only namespace, error_code and
 * error_message, so one verdict serves every pod of a namespace; "pod": anything else of the pod.
 */
export type Scope = "namespace" | "pod";

export interface Policy {
  readonly rules: readonly Rule[];
  readonly scope: Scope;
  /** Whether any expression reads `conn.k8s.*`. */
  readonly readsPod: boolean;
}

/**
 * The result of reading a policy: every error at once, warnings beside a good one. `readsPod` of a bad one: whether
 * anything in it, HTTP rules included, mentions `conn.k8s`.
 */
export type ParseResult =
  | { readonly ok: true; readonly policy: Policy; readonly warnings: readonly Diagnostic[] }
  | { readonly ok: false; readonly diagnostics: readonly Diagnostic[]; readonly readsPod: boolean };

/** What one policy says of one caller, before targets are looked up and policies combined. */
export type Outcome =
  | { readonly kind: "deny"; readonly reason: "rule"; readonly rule: number }
  | {
      readonly kind: "deny";
      readonly reason: "expression-error";
      readonly rule: number;
      readonly expression: number;
      readonly error: string;
    }
  | { readonly kind: "forward"; readonly rule: number; readonly url: string }
  | { readonly kind: "fell-through" };
