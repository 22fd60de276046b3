/** What is made of a decision before it is enforced: whatever does not clearly lead somewhere is a refusal. */
import type { Reason } from "../model/verdict.ts";
import type { At, Ruling } from "./tcp-proxy.ts";

export function deny(reason: Reason): Ruling {
  return { action: "deny", reason };
}

/** The policy that asked for the handshake refuses whom it failed with. */
export function failed({ handshake: _, ...ruling }: Ruling, error: string): Ruling {
  return { ...ruling, action: "deny", reason: "expression-error", error };
}

/** TLS has been terminated because a policy said so. If none does any more, nobody has said where its plain text may go. */
export function unlessForgotten(ruling: Ruling): Ruling {
  const leadsOn = ruling.action === "allow" || ruling.action === "forward";
  if (!leadsOn || ruling.endsTls === true) return ruling;
  return failed(ruling, "no policy terminates TLS any more: it did when the connection began");
}

/** Where an allowed connection may go. */
export function targetOf({ action, target }: Ruling): At | undefined {
  const leadsOn = action === "allow" || action === "forward";
  return leadsOn ? target : undefined;
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
