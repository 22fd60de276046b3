/** Rules that take a client's word for who it is: its certificate was asked for, and nobody verified it. */
import type { Diagnostic } from "../model/diagnostic.ts";
import type { Subject } from "./lint.ts";

const CLIENT = "actions.ngrok.terminate_tls.client.";

export function unverifiedClients({ policy, warnExpression }: Subject): readonly Diagnostic[] {
  const strategies = policy.rules.flatMap(({ actions }) =>
    actions.flatMap((action) => (action.type === "terminate-tls" ? [action.clients] : [])),
  );
  const unverified = strategies.find((clients) => clients === "request" || clients === "require-any");
  if (unverified === undefined) return [];
  return policy.rules.flatMap((rule) =>
    rule.expressions.flatMap(({ reads }, expression) => {
      const name = [...reads].find((each) => each.startsWith(CLIENT));
      if (name === undefined) return [];
      const message =
        `\`${name}\` is what the client says, and with ${unverified} nobody verifies it: ` +
        "use require-and-verify, or do not trust it";
      return [warnExpression("PODGATE_UNVERIFIED_CLIENT", { rule: rule.index, expression }, message)];
    }),
  );
}
