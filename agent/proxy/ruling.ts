/** What is made of a decision before it is enforced: whatever does not clearly lead somewhere is a refusal. */
import type { Reason } from "../model/verdict.ts";
import type { At, Ruling } from "./tcp-proxy.ts";

export function deny(reason: Reason): Ruling {
  return { action: "deny", reason };
}

/** The rule that asked for the handshake refuses whom it failed with: no fault of an expression. */
export function failed({ handshake: _, ...ruling }: Ruling, error: string): Ruling {
  return { ...ruling, action: "deny", reason: "rule", error };
}

/** TLS has been terminated because a policy said so. If none does any more, nobody has said where its plain text may go. */
export function unlessForgotten(ruling: Ruling): Ruling {
  if (!leadsOn(ruling) || ruling.endsTls === true) return ruling;
  const error = "no policy terminates TLS any more: it did when the connection began";
  return { ...ruling, action: "deny", reason: "expression-error", error };
}

/** Where an allowed connection may go. */
export function targetOf(ruling: Ruling): At | undefined {
  return leadsOn(ruling) ? ruling.target : undefined;
}

function leadsOn({ action }: Ruling): boolean {
  return action === "allow" || action === "forward";
}

/** What leads nowhere is a refusal, and says so. */
export function refusal(ruling: Ruling): Ruling {
  if (ruling.action === "deny") return ruling;
  const { target: _, forward: __, handshake: ___, ...rest } = ruling;
  return {
    ...rest,
    action: "deny",
    reason: ruling.action === "proxy" ? ruling.reason : "target-not-routable",
  };
}
