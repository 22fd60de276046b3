/** The answer to "may this caller connect there, and why": plain values, as `-o json` shows them. */
import type { Action, LogMetadata, Reason } from "../model/verdict.ts";
import type { Placement } from "../policy/placement.ts";

/** `Kind/namespace/name`. */
export type ObjectName = string;

export interface Operand {
  /** Such as `conn.k8s.pod.metadata.namespace` or `conn.k8s.pod.metadata.annotations["k8s.ngrok.com/team"]`. */
  readonly name: string;
  /** As CEL would write it; `(not set)` for a key that is not there. */
  readonly value: string;
}

export interface ExpressionTrace {
  readonly text: string;
  /** Undefined where it was not asked, because another had answered, or could not be: then `error` says why. */
  readonly value?: boolean;
  readonly error?: string;
  readonly operands: readonly Operand[];
}

/**
 * `decides`: it ended the policy, by an action or by an error. `matches`: its actions ran and did not end it.
 * `undecided`: it hangs on what only a connection has. `not-reached`: a rule before it ended the policy.
 */
export type RuleState = "decides" | "matches" | "does-not-match" | "undecided" | "not-reached";

export interface RuleTrace {
  readonly index: number;
  readonly name: string;
  readonly state: RuleState;
  readonly expressions: readonly ExpressionTrace[];
  /** Each as one text, such as `deny` or `forward-internal http://a.b.internal`. */
  readonly actions: readonly string[];
}

export interface DecisionView {
  readonly action: Action;
  readonly reason: Reason;
  readonly policy?: ObjectName;
  readonly rule?: number;
  /** `namespace/service:port`. */
  readonly forward?: string;
  readonly error?: string;
}

/** One policy asked about the caller: a guard's, or that of an endpoint which a forward leads through. */
export interface PolicyTrace {
  readonly object: ObjectName;
  readonly audit: boolean;
  /** What is wrong with what the object says now. */
  readonly problem?: string;
  readonly rules: readonly RuleTrace[];
  /** What becomes of a connection that no rule decides. */
  readonly fallThrough: string;
  /** Where a forward, or what falls through to an upstream, leads. */
  readonly leadsTo?: {
    readonly url: string;
    readonly endpoints: readonly PolicyTrace[];
    readonly target?: string;
  };
}

export interface GuardPolicyTrace extends PolicyTrace {
  /** Why it applies at this address. */
  readonly because: string;
  /** Where the kernel keeps its verdicts, or why it cannot; absent where it has no rules that can be run. */
  readonly placement?: Placement;
  /** What it says on its own. */
  readonly decision: DecisionView;
}

/** One destination on the way: the one dialled, then where policies forward it to. */
export interface Step {
  readonly address: string;
  readonly port: number;
  /** `namespace/service:port` of each Service that the address leads to. */
  readonly services: readonly string[];
  /** Empty: nothing guards it. */
  readonly policies: readonly GuardPolicyTrace[];
  /** All policies together; absent where nothing guards it. */
  readonly verdict?: DecisionView;
  /** What audited policies would have said instead. */
  readonly audited?: DecisionView;
  /** What `log` actions recorded. */
  readonly log?: readonly LogMetadata[];
  /** Why no policy was asked. */
  readonly note?: string;
}

export interface Caller {
  /** `namespace/name`, or `unresolved`. */
  readonly name: string;
  readonly identified: boolean;
  readonly uid?: string;
  readonly node?: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** What only a connection has, where it was given: else the answer is for all of its connections. */
  readonly connection?: { readonly clientPort: number; readonly time: string };
  /** "" or ngrok's code. */
  readonly errorCode: string;
  readonly errorMessage: string;
}

/** A change of one thing after which the caller would be let in. */
export interface Remedy {
  readonly change: string;
  /** A command that does it, where one does. */
  readonly command?: string;
}

/** An object that wants to guard a Service dialled and does not, or not as written. */
export interface ObjectProblem {
  readonly object: ObjectName;
  readonly reason: string;
  readonly message: string;
}

export type Outcome = "allow" | "forward" | "deny" | "proxy" | "not-guarded";

export interface Explanation {
  readonly from: Caller;
  readonly to: string;
  readonly outcome: Outcome;
  /** What is logged and enforced; absent where nothing guards the destination. */
  readonly verdict?: DecisionView;
  readonly steps: readonly Step[];
  /** Only for a deny; what to do where nothing about the caller would help is in `advice`. */
  readonly remedies: readonly Remedy[];
  readonly advice?: string;
  readonly problems: readonly ObjectProblem[];
}
