/** Actions as they are written, on one line. */
import { field, text } from "../cluster/fields.ts";
import type { Rule } from "../policy/policy.ts";
import type { World } from "./world.ts";

const MOST = 120;

/** Of the rules of the object's policy. */
export function actionTexts(
  { snapshot, policies }: World,
  object: string,
): (rule: Rule) => readonly string[] {
  const resolved = policies.get(object);
  const source = resolved?.object.policy;
  const { namespace } = resolved?.object ?? {};
  const value =
    source?.kind === "reference"
      ? snapshot.trafficPolicies.find((each) => each.namespace === namespace && each.name === source.name)
          ?.value
      : source?.kind === "inline"
        ? source.value
        : undefined;
  const rules = field(value, "on_tcp_connect");
  return ({ index, actions }) => {
    const written = Array.isArray(rules) ? field(rules[index], "actions") : undefined;
    return actions.map(({ type }, at) => {
      const config = Array.isArray(written) ? field(written[at], "config") : undefined;
      return config === undefined ? type : `${type} ${configText(config)}`;
    });
  };
}

/** Nobody reads it, and one of them is a private key. */
function withoutPem(name: string, value: unknown): unknown {
  const isPem = typeof value === "string" && value.includes("-----BEGIN");
  return isPem || name === "server_private_key" ? "…" : value;
}

function configText(config: unknown): string {
  const only = text(field(config, "url"));
  const whole = only ?? JSON.stringify(config, withoutPem) ?? "";
  return whole.length <= MOST ? whole : `${whole.slice(0, MOST - 1)}…`;
}
