import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Namespace } from "./namespace.ts";
import { builtNative, obstacle, outputOf, Scratch } from "./scratch.ts";

describe.skipIf(obstacle())("the addon under random calls", () => {
  let scratch: Scratch;
  let namespace: Namespace;
  beforeAll(() => {
    builtNative();
    scratch = new Scratch();
    namespace = new Namespace();
  });
  afterAll(async () => {
    await namespace?.remove();
    scratch?.remove();
  });

  it("answers every wrong argument, receiver and handle with an Error, never with a crash", async () => {
    const seed = process.env.PODGATE_SEED ?? String(Date.now() % 2 ** 31);
    console.log(`fuzz seed ${seed} (repeat with PODGATE_SEED=${seed})`);
    const child = join(import.meta.dirname, "fuzz-child.ts");
    const runs = process.env.PODGATE_FUZZ_RUNS ?? "150";
    const paths = [scratch.compile("maps"), scratch.compile("gate"), scratch.cgroup, namespace.path];
    const output = await outputOf("env", [
      ...["-C", scratch.directory, process.execPath, "--expose-gc", child, seed, runs, ...paths],
    ]);
    const { outcomes, counts } = JSON.parse(output.split("\n").at(-1) ?? "");
    console.log(JSON.stringify(outcomes));
    // The fuzzer reached everything, and not everything stopped at the argument checks.
    expect(Object.entries(counts).filter(([, count]) => count === 0)).toEqual([]);
    expect(Object.keys(counts).length).toBeGreaterThan(50);
    expect(outcomes.returned).toBeGreaterThan(100);
    expect(outcomes.threw).toBeGreaterThan(1000);
  });
});
