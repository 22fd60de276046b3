import { celEnv, celList, celMap, isCelError, isCelList, isCelUint, parse, plan } from "@bufbuild/cel";
import { strings } from "@bufbuild/cel/ext";
import { describe, expect, it } from "vitest";
import { compileExpression } from "../../../../agent/policy/cel/compile.ts";
import { Uint, type Value } from "../../../../agent/policy/cel/value.ts";
import { asText } from "../cel-conformance/canonical.ts";
import { randomFrom } from "../random-expression.ts";
import { environment, values } from "./builders.ts";
import { randomCel } from "./random-cel.ts";

const seed = Number(process.env.PODGATE_SEED ?? Date.now() % 2 ** 31);
const rounds = Number(process.env.PODGATE_ROUNDS ?? 10_000);
const cel = celEnv({ funcs: strings });

/** The values of builders.ts, written out for a second, unrelated implementation. */
const theirValues = {
  conn: celMap(
    new Map<string, unknown>([
      ["client_ip", "10.1.2.3"],
      ["client_port", 40_000n],
      [
        "pod",
        celMap(
          new Map<string, unknown>([
            ["name", "worker-a"],
            ["annotations", celMap(values.conn.pod.annotations)],
            ["tags", celList(["x", "y"])],
          ]) as never,
        ),
      ],
    ]) as never,
  ),
};

function theirs(text: string): string {
  const value = plan(cel, parse(text))(theirValues);
  return isCelError(value) ? "error" : asText(ourForm(value));
}

function ourForm(value: unknown): Value {
  if (isCelUint(value)) return new Uint(value.value);
  if (isCelList(value)) return [...value].map(ourForm);
  return value as Value;
}

function ours(text: string): string | undefined {
  const compiled = compileExpression(text, environment, "any");
  if (compiled instanceof Error) {
    // The generator knows types, not bounds.
    expect(`${text}: ${compiled.message}`).toMatch(/make it simpler|split it into several|inside each other/);
    return undefined;
  }
  const value = compiled.evaluate(values);
  return value instanceof Error ? "error" : asText(value);
}

describe(`${rounds} random expressions of every type`, () => {
  it(`give what @bufbuild/cel gives (seed ${seed})`, () => {
    console.log(`cel/oracle.test.ts: PODGATE_SEED=${seed}`);
    const random = randomFrom(seed);
    const counts = { value: 0, error: 0, refused: 0 };
    const different: string[] = [];
    for (let round = 0; round < rounds; round++) {
      const text = randomCel(random);
      const [our, their] = [ours(text), theirs(text)];
      counts[our === undefined ? "refused" : our === "error" ? "error" : "value"]++;
      if (our !== undefined && our !== their) different.push(`${text}: ${our}, @bufbuild/cel: ${their}`);
    }
    console.log(`cel/oracle.test.ts: ${JSON.stringify(counts)}`);
    expect(different).toEqual([]);
    // A generator that writes only one kind of thing proves nothing.
    expect(counts.value).toBeGreaterThan(rounds / 4);
    expect(counts.error).toBeGreaterThan(rounds / 20);
    expect(counts.refused).toBeLessThan(rounds / 4);
  });
});
