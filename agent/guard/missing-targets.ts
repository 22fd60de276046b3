/** Forwards of a policy that lead nowhere, as far as that can be seen before there is a connection. */
import type { Diagnostic } from "../model/diagnostic.ts";
import type { ObjectRef } from "../model/objects.ts";
import { childPath } from "../policy/json-path.ts";
import type { Policy } from "../policy/policy.ts";
import type { Routes } from "./routes.ts";

/** `path`: where the policy stands in its object. Urls that hang on the caller are not judged. */
export function missingTargets(
  policy: Policy,
  { namespace }: Pick<ObjectRef, "namespace">,
  path: string,
  routes: Routes,
): readonly Diagnostic[] {
  return policy.rules.flatMap((rule) =>
    rule.actions.flatMap((action, index): readonly Diagnostic[] => {
      if (action.type !== "forward-internal") return [];
      const url = action.url.constant?.value;
      const missing = typeof url === "string" ? whatIsMissing(url, namespace, routes) : undefined;
      if (missing === undefined) return [];
      const fate = action.continueOnError
        ? "so the policy goes on after this action"
        : "so what is forwarded here is denied";
      const steps = ["on_tcp_connect", rule.index, "actions", index, "config", "url"];
      return [
        {
          severity: "warning",
          code: "PODGATE_NO_TARGET",
          path: steps.reduce<string>(childPath, path),
          message: `${missing}, ${fate}: create it or change the url`,
        },
      ];
    }),
  );
}

function whatIsMissing(url: string, namespace: string, routes: Routes): string | undefined {
  const route = routes.locate(url, namespace);
  if (route instanceof Error || route.endpoints.length > 0) return undefined;
  const { service } = route.url;
  if (service === undefined) return "no endpoint is registered under this url";
  const key = `${service.namespace}/${service.name}`;
  return routes.services.get(key) === undefined ? `Service ${key} does not exist` : undefined;
}
