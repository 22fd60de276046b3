import { describe, expect, test } from "vitest";
import type { Clock } from "../../../agent/model/clock.ts";
import { Repeater } from "../../../agent/repeater.ts";

/** A clock that only moves when it is slept on, and a record of how long. */
function manualClock() {
  let now = 0;
  const slept: number[] = [];
  const clock: Clock = {
    now: () => now,
    sleep: async (ms, signal) => {
      await Promise.resolve();
      if (signal?.aborted) return;
      slept.push(ms);
      now += ms;
    },
  };
  return { clock, slept, advance: (ms: number) => (now += ms) };
}

/** Runs `task` until it has run `times` times. */
async function runs(
  times: number,
  clock: Clock,
  task: (run: number, repeater: Repeater) => Promise<number | undefined>,
) {
  const errors: string[] = [];
  const done = Promise.withResolvers<void>();
  const repeater = new Repeater(clock, 10_000, (error) => errors.push(error.message));
  let run = 0;
  repeater.start(async () => {
    run += 1;
    if (run > times) {
      done.resolve();
      return undefined;
    }
    return task(run, repeater);
  });
  await done.promise;
  await repeater.stop();
  return errors;
}

describe("a task is run again", () => {
  test("periodically", async () => {
    const { clock, slept } = manualClock();
    await runs(2, clock, async () => undefined);
    expect(slept.slice(0, 4)).toEqual([20, 10_000, 20, 10_000]);
  });

  test("when it asks for it", async () => {
    const { clock, slept } = manualClock();
    await runs(1, clock, async () => 500);
    expect(slept.slice(0, 2)).toEqual([20, 500]);
  });

  test("soon, when something changed while it ran", async () => {
    const { clock, slept } = manualClock();
    await runs(1, clock, async (_, repeater) => {
      repeater.again();
      return undefined;
    });
    expect(slept[0]).toBe(20);
    expect(slept[1]).not.toBe(10_000);
  });

  test("after a failure, later each time, and the failure is reported", async () => {
    const { clock, slept } = manualClock();
    const errors = await runs(3, clock, async (run) => {
      throw new Error(`failure ${run}`);
    });
    expect(errors).toEqual(["failure 1", "failure 2", "failure 3"]);
    expect(slept.slice(0, 6)).toEqual([20, 200, 20, 400, 20, 800]);
  });

  test("only after a rest three times as long as it took, two seconds at most", async () => {
    const { clock, slept, advance } = manualClock();
    await runs(2, clock, async (run) => {
      advance(run === 1 ? 100 : 5000);
      return undefined;
    });
    expect([slept[0], slept[2]]).toEqual([300, 2000]);
  });
});

test("stopping waits for the run that is under way", async () => {
  const { clock } = manualClock();
  const gate = Promise.withResolvers<void>();
  let finished = false;
  const repeater = new Repeater(clock, 10_000, () => {});
  repeater.start(async () => {
    await gate.promise;
    finished = true;
    return undefined;
  });
  const stopped = repeater.stop();
  gate.resolve();
  await stopped;
  expect(finished).toBe(true);
});
