/**
 * What a policy's text says of a caller, by a second interpreter: the rules as the documents tell them, expressions by
 * @bufbuild/cel. Nothing of agent/policy is used, so that a mistake there is not repeated here.
 */
import { celEnv, celMap, isCelError, parse, plan } from "@bufbuild/cel";
import type { Identity } from "../../../agent/model/identity.ts";
import type { Target } from "./barrage.ts";
import type { RuleWish } from "./objects.ts";

export type Said =
  | { readonly kind: "deny"; readonly rule: number }
  | { readonly kind: "error"; readonly rule: number }
  | { readonly kind: "forward"; readonly rule: number; readonly url: string }
  | { readonly kind: "nothing" };

const environment = celEnv();

/** The first rule whose expressions are all true decides; one that cannot be evaluated denies. `dialled`: what was. */
export function oracle(rules: readonly RuleWish[]): (identity: Identity, dialled?: Target) => Said {
  const planned = rules.map(({ expressions = [], actions }) => ({
    programs: expressions.map((text) => plan(environment, parse(text))),
    url: actions[0]?.config?.url,
  }));
  return (identity, dialled) => {
    const variables = { conn: connection(identity, dialled) };
    for (const [rule, { programs, url }] of planned.entries()) {
      const values = programs.map((program) => program(variables));
      if (values.some((value) => value === false)) continue; // whatever else went wrong beside it
      if (values.some((value) => isCelError(value) || value !== true)) return { kind: "error", rule };
      return url === undefined ? { kind: "deny", rule } : { kind: "forward", rule, url: String(url) };
    }
    return { kind: "nothing" };
  };
}

function connection(identity: Identity, dialled: Target | undefined) {
  const pod = identity.kind === "pod" ? identity.pod : undefined;
  const metadata = celMap(
    new Map<string, string | ReturnType<typeof celMap>>([
      ["name", pod?.name ?? ""],
      ["namespace", pod?.namespace ?? ""],
      ["annotations", celMap(pod?.annotations ?? new Map())],
      ["error_code", pod?.errorCode ?? "ERR_NGROK_28001"],
    ]),
  );
  const inner = new Map<string, string | typeof metadata>([
    ["id", pod?.id ?? ""],
    ["metadata", metadata],
  ]);
  const k8s = celMap(new Map([["pod", celMap(inner)]]));
  const server: [string, string | bigint][] =
    dialled === undefined
      ? []
      : [
          ["server_ip", dialled.address],
          ["server_port", BigInt(dialled.port)],
        ];
  return celMap(new Map<string, string | bigint | typeof k8s>([["k8s", k8s], ...server]));
}
