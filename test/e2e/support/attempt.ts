/** What a caller saw when it dialled, beside what the log said about it. */
import type { VerdictLine } from "./verdict-lines.ts";

export interface Attempt {
  /** `namespace/name` of the pod that answered, or errno's name. */
  readonly saw: string;
  /** The client's address as the server saw it: "own", or which. */
  readonly source?: string;
  /** Undefined: nothing was logged about it. `pod` is null where the line has none, so that a test can expect that. */
  readonly line: (Omit<VerdictLine, "pod"> & { readonly pod: VerdictLine["pod"] | null }) | undefined;
}

export type Family = "IPv4" | "IPv6";

export type Attempts = Readonly<Record<Family, Attempt>>;

/** The part of an Attempt that a test expects, for `toMatchObject`. */
export type Expected = object;

/** The same over both families. */
export function both(expected: Expected): Readonly<Record<Family, Expected>> {
  return { IPv4: expected, IPv6: expected };
}

/** EPERM, and a line that says why. */
export function denied(line: Expected = { reason: "rule" }): Expected {
  return { saw: "EPERM", line: { verdict: "deny", enforced: true, ...line } };
}

/** An answer, and a line that says why. */
export function allowed(by: string, line: Expected = { reason: "rule" }): Expected {
  return { saw: by, source: "own", line: { verdict: "allow", enforced: true, ...line } };
}

/** An answer from behind another Service than the one dialled. */
export function forwarded(by: string, service: string, line: Expected = { reason: "rule" }): Expected {
  return {
    saw: by,
    source: "own",
    line: { verdict: "forward", enforced: true, forwarded_to: { service }, ...line },
  };
}

/** An answer, and nobody was asked. */
export function unguarded(by: string): Expected {
  return { saw: by, source: "own", line: undefined };
}

/** In a line: the caller is no pod that anybody knows. */
export const unresolved = { pod: null, error_code: "ERR_NGROK_28001" } as const;
