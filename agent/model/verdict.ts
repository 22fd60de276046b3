/** What is decided about a connection, and why: the words every layer, log line and map uses. */
import type { IpAddress } from "./address.ts";
import type { ObjectRef } from "./objects.ts";
import type { TlsSettings } from "./tls.ts";

export type Action = "allow" | "deny" | "forward" | "proxy";

export type Reason =
  | "rule"
  | "fell-through"
  | "expression-error"
  | "policy-invalid"
  | "target-not-found"
  | "target-not-routable"
  | "conflict"
  | "loop"
  | "identity-mismatch"
  | "pending"
  | "agent-down"
  | "over-limit"
  | "spoofed-source"
  | "revoked";

/** Where a forwarded connection goes: one address per family the target has. */
export interface ForwardTarget {
  /** `namespace/name` of the Service. */
  readonly service: string;
  readonly port: number;
  readonly ipv4?: IpAddress;
  readonly ipv6?: IpAddress;
}

/** What a `log` action recorded: plain JSON values. */
export type LogMetadata = Readonly<Record<string, unknown>>;

/** One policy's or one guard's decision. */
export interface Decision {
  readonly action: Action;
  readonly reason: Reason;
  /** The object whose policy decided; undefined when none did (everything fell through). */
  readonly policy?: ObjectRef;
  /** Index of the rule in `on_tcp_connect`. */
  readonly rule?: number;
  /** Set when, and only when, `action` is "forward". */
  readonly forward?: ForwardTarget;
  /** Only where `action` is "proxy": while there is no agent to ask, the connection is allowed instead of refused. */
  readonly onAgentDown?: "allow";
  /** Only where `action` is "proxy": the next that it hangs on is a TLS handshake with these. Not to be logged. */
  readonly handshake?: TlsSettings;
  /** What went wrong, or what is missing, in words: for people, no part of what is enforced. */
  readonly error?: string;
}

/** A guard's decision: what is enforced, and what its audited policies would have said instead. */
export interface Verdict extends Decision {
  /** Present only where it differs from what is enforced. */
  readonly audited?: Decision;
  /** What `log` actions recorded, of all its policies in their order, audited ones too; absent where none ran. */
  readonly log?: readonly LogMetadata[];
  /** An enforced policy on the way has terminated TLS; absent where none has. */
  readonly endsTls?: true;
}
