import { celEnv, celMap, isCelError, parse, plan } from "@bufbuild/cel";
import { describe, expect, it } from "vitest";
import type { Identity } from "../../../agent/model/identity.ts";
import { predicate } from "./builders.ts";
import { randomExpression, randomFrom, randomIdentity } from "./random-expression.ts";

const seed = Number(process.env.PODGATE_SEED ?? Date.now() % 2 ** 31);
const environment = celEnv();

/** What a second, unrelated implementation of CEL says. The values are written out here, not taken from ours. */
function oracle(text: string): (identity: Identity) => boolean | "error" {
  const program = plan(environment, parse(text));
  return (identity) => {
    const known = identity.kind === "pod" ? identity.pod : undefined;
    const metadata = celMap(
      new Map<string, string | ReturnType<typeof celMap>>([
        ["name", known?.name ?? ""],
        ["namespace", known?.namespace ?? ""],
        ["annotations", celMap(known?.annotations ?? new Map())],
        ["error_code", known?.errorCode ?? "ERR_NGROK_28001"],
      ]),
    );
    const inner = new Map<string, string | typeof metadata>([
      ["id", known?.id ?? ""],
      ["metadata", metadata],
    ]);
    const conn = celMap(new Map([["k8s", celMap(new Map([["pod", celMap(inner)]]))]]));
    const value = program({ conn });
    if (isCelError(value)) return "error";
    if (typeof value !== "boolean")
      throw new Error(`the generator wrote something that is not boolean: ${text}`);
    return value;
  };
}

describe("10,000 random expressions", () => {
  it(`mean what @bufbuild/cel says they mean, each for four callers (seed ${seed})`, () => {
    console.log(`oracle.test.ts: PODGATE_SEED=${seed}`);
    const random = randomFrom(seed);
    const counts = { true: 0, false: 0, error: 0, refused: 0 };
    for (let round = 0; round < 10_000; round++) {
      const text = randomExpression(random);
      const ours = predicate(text);
      if (ours instanceof Error) {
        // The generator knows types, not bounds.
        expect(`${text}: ${ours.message}`).toMatch(/make it simpler|split it into several/);
        counts.refused++;
        continue;
      }
      const theirs = oracle(text);
      for (let caller = 0; caller < 4; caller++) {
        const identity = randomIdentity(random);
        const value = ours.evaluate(identity);
        const outcome = value instanceof Error ? "error" : value;
        const expected = theirs(identity);
        if (outcome !== expected)
          expect({ text, identity, outcome }).toEqual({ text, identity, outcome: expected });
        counts[`${outcome}`]++;
      }
    }
    console.log(`oracle.test.ts: ${JSON.stringify(counts)}`);
    // A generator that writes only one kind of thing proves nothing.
    expect(counts.refused).toBeLessThan(2_000);
    for (const kind of ["true", "false", "error"] as const) expect(counts[kind]).toBeGreaterThan(2_000);
  });
});
