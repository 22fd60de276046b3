/** Random policies, as `on_tcp_connect` is written. Same seed, same rules. */
import { M, predicate } from "../../unit/policy/builders.ts";
import { type Random, randomExpression } from "../../unit/policy/random-expression.ts";
import type { RuleWish } from "./objects.ts";

export interface PolicyWish {
  /** Words that namespaces are called, among others. */
  readonly namespaces: readonly string[];
  /** Where rules may forward to. */
  readonly urls: readonly string[];
  /** What may be dialled, where rules are to ask about it. */
  readonly destinations?: Destinations | undefined;
}

interface Destinations {
  readonly addresses: readonly string[];
  readonly ports: readonly number[];
}

export function randomRules(random: Random, wish: PolicyWish): RuleWish[] {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  // A third reads namespaces alone, so that callers share verdicts.
  const shared = random() < 0.33;
  const aboutCaller = () => (shared ? aboutNamespace(pick, wish.namespaces) : readable(random));
  const expression = () => {
    const { destinations } = wish;
    if (destinations === undefined || random() < 0.5) return aboutCaller();
    return aboutDestination(pick, destinations, aboutCaller);
  };
  const count = 1 + Math.floor(random() * 3);
  return Array.from({ length: count }, (_, index) => {
    // A rule for everybody ends the policy, and rules behind it are refused.
    const forAll = index === count - 1 && random() < 0.2;
    const expressions = Array.from({ length: forAll ? 0 : 1 + Math.floor(random() * 3) }, expression);
    const forwards = wish.urls.length > 0 && random() < 0.35;
    const action = forwards
      ? { type: "forward-internal", config: { url: pick(wish.urls) } }
      : { type: "deny" };
    return { expressions, actions: [action] };
  });
}

function aboutNamespace(pick: <T>(from: readonly T[]) => T, namespaces: readonly string[]): string {
  const name = () => JSON.stringify(pick(namespaces));
  return pick([
    () => `${M}.namespace == ${name()}`,
    () => `${M}.namespace != ${name()}`,
    () => `${M}.namespace in [${name()}, ${name()}]`,
    () => `!(${M}.namespace in [${name()}, ${name()}])`,
    () => `${M}.error_code != ""`,
    () => `${M}.error_code == "ERR_NGROK_28001"`,
    () => `["x"][size(${M}.namespace) - 1] == "x"`,
  ])();
}

/** Alone, or beside a question about the caller. */
function aboutDestination(
  pick: <T>(from: readonly T[]) => T,
  { addresses, ports }: Destinations,
  aboutCaller: () => string,
): string {
  const question = pick([
    () => `conn.server_port ${pick(["==", "!=", "<", ">="])} ${pick(ports)}`,
    () => `conn.server_port in [${pick(ports)}, 8080]`,
    () => `conn.server_ip ${pick(["==", "!="])} ${JSON.stringify(pick(addresses))}`,
    () => `conn.server_ip.contains(${pick(['":"', '"."'])})`,
    () => `["x"][conn.server_port - ${pick(ports)}] == "x"`,
  ])();
  const whole = pick([
    () => question,
    () => `(${question} && ${aboutCaller()})`,
    () => `(${question} || ${aboutCaller()})`,
    () => `(${question} ? ${aboutCaller()} : ${aboutCaller()})`,
  ])();
  // Beside another question even a bounded expression may become too much.
  return predicate(whole) instanceof Error ? question : whole;
}

/** The generator knows types, not the bounds that are put on expressions. */
function readable(random: Random): string {
  for (;;) {
    const text = randomExpression(random);
    if (!(predicate(text) instanceof Error)) return text;
  }
}
