/** What a kind of object demands of its policy, beyond being a policy. */
import type { PolicyObject } from "../model/objects.ts";
import { alwaysTerminates } from "../policy/evaluate.ts";
import type { Policy } from "../policy/policy.ts";
import { TERMINATE_TLS } from "../policy/terminate-tls-action.ts";
import { parseForwardUrl } from "../policy/url.ts";

/** Why `object` cannot use `policy`, as a message; undefined if it can. */
export function unfit(object: PolicyObject, policy: Policy): string | undefined {
  if (object.kind === "CloudEndpoint" && !alwaysTerminates(policy)) {
    return (
      "ERR_NGROK_2235: the traffic policy provided is not guaranteed to handle traffic: " +
      "end it with a rule without expressions that denies or forwards"
    );
  }
  // "No rules" must not read as "allow": it is what a lost or mistyped list looks like.
  if (object.policy.kind !== "none" && policy.rules.length === 0) {
    return "the policy has no on_tcp_connect rule: write one, or remove the policy";
  }
  if (object.kind === "ConnectionPolicy" && object.policy.kind === "none") {
    return "the object has no policy: write spec.trafficPolicy";
  }
  return policy.reads.has(TERMINATE_TLS) ? terminateTlsFault(object, policy) : undefined;
}

function terminateTlsFault(
  object: PolicyObject & { readonly url?: string },
  { rules }: Policy,
): string | undefined {
  // Its Services have no scheme: nothing says that what is spoken there is TLS.
  if (object.url === undefined) {
    return `terminate-tls is not for a ${object.kind}: write the policy in an AgentEndpoint or CloudEndpoint with a tls url`;
  }
  const url = parseForwardUrl(object.url);
  const scheme = url instanceof Error ? undefined : url.scheme;
  if (scheme !== "https" && scheme !== "tls") {
    return "terminate-tls is for endpoints with an https or tls url: change the url or remove the action";
  }
  const bare = rules.some(({ actions }) =>
    actions.some((action) => action.type === "terminate-tls" && action.pair === undefined),
  );
  return bare
    ? "terminate-tls has no certificate, and nothing here has one of its own: write server_certificate and server_private_key"
    : undefined;
}
