import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { FairTurns } from "../../../agent/proxy/fair-turns.ts";

/** Time passes only while somebody works. */
function stopped() {
  let now = 0;
  const done: string[] = [];
  const turns = new FairTurns(() => now);
  const ask = (pod: string, takes: number, name = pod) =>
    turns.run(pod, () => {
      now += takes;
      done.push(name);
    });
  return { turns, done, ask };
}

test("what takes no time is done at once", () => {
  const { done, ask } = stopped();
  for (let i = 0; i < 100; i++) ask("a", 0.05, String(i));
  expect(done).toHaveLength(100);
});

test("a pod whose work takes long waits for itself, and another for one piece of it at most", async () => {
  const { done, ask } = stopped();
  for (let i = 0; i < 5; i++) ask("slow", 50, `slow ${i}`);
  expect(done).toEqual(["slow 0"]);
  await nextTurn();
  ask("quick", 1);
  await nextTurn();
  await nextTurn();
  expect(done.indexOf("quick")).toBeLessThanOrEqual(2);
  for (let i = 0; i < 5; i++) await nextTurn();
  expect(done.filter((name) => name !== "quick")).toEqual([0, 1, 2, 3, 4].map((i) => `slow ${i}`));
});

test("of many that are slow none is left out, and all come before one has had twice as much", async () => {
  const { done, ask } = stopped();
  const pods = ["a", "b", "c"];
  for (let i = 0; i < 6; i++) for (const pod of pods) ask(pod, 20);
  for (let i = 0; i < 8; i++) await nextTurn();
  for (const pod of pods) expect(done.filter((name) => name === pod).length).toBeGreaterThanOrEqual(2);
});

test("everything else on the event loop has its turn between two pieces that take long", async () => {
  const { done, ask } = stopped();
  for (let i = 0; i < 10; i++) ask("slow", 50);
  const between: number[] = [];
  for (let i = 0; i < 9; i++) {
    await nextTurn();
    between.push(done.length);
  }
  expect(between.every((length, i) => length <= i + 2)).toBe(true);
});

test("who comes when the last piece has just taken long has its turn too", async () => {
  const { done, ask } = stopped();
  ask("slow", 50, "1");
  ask("slow", 50, "2");
  await nextTurn();
  expect(done).toEqual(["1", "2"]);
  ask("quick", 1);
  for (let i = 0; i < 3; i++) await nextTurn();
  expect(done).toEqual(["1", "2", "quick"]);
});

test("what work asks for in turn waits for its own", async () => {
  const { turns, done, ask } = stopped();
  ask("a", 50);
  turns.run("b", () => ask("c", 1, "from b"));
  for (let i = 0; i < 3; i++) await nextTurn();
  expect(done).toEqual(["a", "from b"]);
});
