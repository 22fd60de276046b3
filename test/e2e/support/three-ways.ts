/** One question asked three ways: of the evaluator, of a second interpreter, and of what the kernel holds. */
import { isDeepStrictEqual } from "node:util";
import type { Maps } from "../../../agent/dataplane/dataplane.ts";
import type { Identity } from "../../../agent/model/identity.ts";
import { AHEAD, ask, policyOf } from "../../unit/policy/builders.ts";
import type { Target } from "./barrage.ts";
import { type KernelVerdict, kernelVerdict } from "./kernel-verdict.ts";
import type { RuleWish } from "./objects.ts";
import { type Asked, type Case, ELSEWHERE, urlOf } from "./random-world.ts";
import { oracle, type Said } from "./rule-oracle.ts";

/** How `evaluate` puts it, in the oracle's words. */
export function evaluated(rules: readonly RuleWish[]): (identity: Identity, dialled?: Target) => Said {
  const policy = policyOf(...rules);
  return (identity, dialled) => {
    const server = dialled === undefined ? AHEAD.server : { ip: dialled.address, port: dialled.port };
    const outcome = ask(policy, identity, { ...AHEAD, server });
    if (outcome.kind === "fell-through") return { kind: "nothing" };
    if (outcome.kind === "forward") return { kind: "forward", rule: outcome.rule, url: outcome.url };
    if (outcome.kind === "undecided") throw new Error(`decide rule ${outcome.rule}: needs ${outcome.needs}`);
    return { kind: outcome.reason === "rule" ? "deny" : "error", rule: outcome.rule };
  };
}

/** What must be in the kernel, given what the policy says. */
function entryOf(said: Said, of: Case, policy: number, dialled: Target): KernelVerdict {
  switch (said.kind) {
    case "nothing":
      return { action: "allow", reason: "fell-through", policy: 0 };
    case "deny":
      return { action: "deny", reason: "rule", rule: said.rule, policy };
    case "error":
      return { action: "deny", reason: "expression-error", rule: said.rule, policy };
    case "forward": {
      const permitted = { reason: "rule", rule: said.rule, policy };
      // A url without a port means the Service at whatever port was dialled.
      if (said.url === urlOf(of.name)) return { action: "allow", ...permitted };
      const target = `${ELSEWHERE[dialled.address.includes(":") ? "ipv6" : "ipv4"]} 80`;
      return { action: "forward", ...permitted, target };
    }
  }
}

export interface Comparison {
  /** What kind of answer each question had. */
  readonly kinds: string[];
  /** Questions to which not all three gave the same answer. */
  readonly differences: unknown[];
}

/** Asks one policy about all callers at all destinations. */
export function compare(
  maps: Maps,
  of: Case,
  policy: number,
  callers: readonly Asked[],
  destinations: readonly Target[],
): Comparison {
  const [byEvaluator, byOracle] = [evaluated(of.rules), oracle(of.rules)];
  const kinds: string[] = [];
  const differences: unknown[] = [];
  for (const { identity, caller } of callers) {
    for (const dialled of destinations) {
      const said = byOracle(identity, dialled);
      const expected = { evaluator: said, kernel: entryOf(said, of, policy, dialled) };
      const kernel = kernelVerdict(maps, caller, dialled.address, dialled.port);
      const answers = { evaluator: byEvaluator(identity, dialled), kernel };
      if (!isDeepStrictEqual(answers, expected))
        differences.push({ rules: of.rules, identity, dialled, expected, answers });
      kinds.push(kindOf(said, expected.kernel));
    }
  }
  return { kinds, differences };
}

function kindOf(said: Said, entry: KernelVerdict): string {
  if (said.kind !== "forward") return said.kind;
  return entry.action === "allow" ? "forward home" : "forward on";
}
