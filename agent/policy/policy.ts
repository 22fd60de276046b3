/** A parsed, checked policy: what `evaluate` runs. Built only by `parsePolicy`. */
import type { Cidr } from "../model/cidr.ts";
import type { Diagnostic } from "../model/diagnostic.ts";
import type { TlsSettings } from "../model/tls.ts";
import type { LogMetadata } from "../model/verdict.ts";

/** A compiled expression. */
export interface Expression {
  /** As written. */
  readonly text: string;
  /** Full paths of the variables it may read; `rand` where chance plays a part. */
  readonly reads: ReadonlySet<string>;
  /** What it is for these values (variables.ts). Never throws: whatever goes wrong is the Error. Only true and false count. */
  readonly evaluate: (values: object) => unknown;
}

/** A value of an action's configuration, with its `${...}` compiled. */
export interface Template {
  readonly reads: ReadonlySet<string>;
  /** Undefined where it holds `${...}`, and only the evaluation shows it. */
  readonly constant?: { readonly value: unknown };
  /** A CEL value, or the Error that keeps it from being one. Never throws. */
  readonly evaluate: (values: object) => unknown;
}

/** An entry of `restrict-ips`. */
export type CidrTemplate = Cidr | Template;

export type PolicyAction =
  | { readonly type: "deny" | "close-connection" }
  | {
      readonly type: "forward-internal";
      readonly url: Template;
      /** `on_error: continue`: a target that cannot be reached sets variables, and the next action runs. */
      readonly continueOnError: boolean;
    }
  | { readonly type: "log"; readonly metadata: Template }
  | {
      readonly type: "restrict-ips";
      readonly allow: readonly CidrTemplate[];
      readonly deny: readonly CidrTemplate[];
      readonly enforce: boolean;
    }
  | {
      readonly type: "set-vars";
      readonly vars: readonly { readonly name: string; readonly value: Template }[];
    }
  | ({
      readonly type: "terminate-tls";
      /** Undefined: none is configured, and nothing here has one of its own. */
      readonly pair?: { readonly certificate: Template; readonly key: Template };
      readonly authorities: readonly Template[];
      /** Where nothing of it hangs on the connection: the same object for all of them. */
      readonly settings?: TlsSettings;
    } & Pick<TlsSettings, "minVersion" | "maxVersion" | "clients">);

export interface Rule {
  /** Position in `on_tcp_connect`, from 0. */
  readonly index: number;
  readonly name: string;
  readonly expressions: readonly Expression[];
  /** At least one. */
  readonly actions: readonly PolicyAction[];
}

/**
 * What can change a policy's verdict. "namespace": nothing of a caller but its namespace, so one verdict serves every
 * pod of it; "pod": anything of the pod; "dynamic": also what only a connection knows, so that no verdict made before
 * there is one holds for all of them (placement.ts says which, and why).
 */
export type Scope = "namespace" | "pod" | "dynamic";

/** For whom verdicts are made beforehand. */
export type SubjectScope = Exclude<Scope, "dynamic">;

export interface Policy {
  readonly rules: readonly Rule[];
  readonly scope: Scope;
  /** Everything that expressions and actions read: variables by full path, `rand`, and `terminate-tls`. */
  readonly reads: ReadonlySet<string>;
  /** Whether anything reads `conn.k8s.*`. */
  readonly readsPod: boolean;
  /** The most that one evaluation can cost, in units of cel/cost.ts. */
  readonly cost: number;
}

/**
 * The result of reading a policy: every error at once, warnings beside a good one. `readsPod` of a bad one: whether
 * anything in it, HTTP rules included, mentions `conn.k8s`.
 */
export type ParseResult =
  | { readonly ok: true; readonly policy: Policy; readonly warnings: readonly Diagnostic[] }
  | { readonly ok: false; readonly diagnostics: readonly Diagnostic[]; readonly readsPod: boolean };

/** What one policy says of one connection, before targets are looked up and policies combined. */
export type Outcome = (
  | { readonly kind: "deny"; readonly reason: "rule"; readonly rule: number }
  | {
      readonly kind: "deny";
      readonly reason: "expression-error";
      readonly rule: number;
      /** Which expression of the rule, or which of its actions, could not be evaluated. */
      readonly expression?: number;
      readonly action?: number;
      readonly error: string;
    }
  | { readonly kind: "forward"; readonly rule: number; readonly url: string }
  | { readonly kind: "fell-through" }
  /** The answer depends on what is not known here; `needs` names it. */
  | {
      readonly kind: "undecided";
      readonly rule: number;
      readonly needs: readonly string[];
      /** What it needs is a TLS handshake with these. */
      readonly handshake?: TlsSettings;
    }
) & {
  /** What its `log` actions recorded, in order; absent where none ran. */
  readonly log?: readonly LogMetadata[];
  /** It went past a `terminate-tls`, of a connection whose TLS has been terminated so; absent where it did not. */
  readonly endsTls?: true;
};
