import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Family, SpareSockets } from "../../../agent/proxy/spare-sockets.ts";

const place = { cgroup: "pod1", cookie: 5n };
const other = { cgroup: "pod2", cookie: 6n };

/** A broker that answers when it is told to, and what was asked and closed. Sockets count up from 100. */
class World {
  readonly asked: string[] = [];
  readonly closed: number[] = [];
  readonly spares = new SpareSockets(
    ({ cgroup }, family, count) => {
      this.asked.push(`${cgroup}/${family}: ${count}`);
      return new Promise((resolve, reject) => this.#open.push({ count, resolve, reject }));
    },
    (fd) => this.closed.push(fd),
  );
  readonly #open: { count: number; resolve(made: number[]): void; reject(error: Error): void }[] = [];
  #made = 100;

  /** The oldest request, with sockets or with an error. */
  async answer(error?: Error): Promise<void> {
    const request = this.#open.shift();
    if (error !== undefined) request?.reject(error);
    else request?.resolve(Array.from({ length: request.count }, () => this.#made++));
    await vi.advanceTimersByTimeAsync(0);
  }

  /** With every answer that is asked for meanwhile. */
  async take(at = place, family: Family = 4): Promise<number> {
    const taken = this.spares.take(at, family);
    while (this.#open.length > 0) await this.answer();
    return taken;
  }

  async takeMany(count: number, at = place): Promise<number[]> {
    const taken: number[] = [];
    for (let i = 0; i < count; i++) taken.push(await this.take(at));
    return taken;
  }
}

let world: World;
beforeEach(() => {
  vi.useFakeTimers();
  world = new World();
});
afterEach(() => {
  vi.useRealTimers();
});

test("who asks once a second gets one each time, and none is made ahead", async () => {
  for (let i = 0; i < 3; i++) {
    expect(await world.take()).toBe(100 + i);
    expect(world.spares.size).toBe(0);
    await vi.advanceTimersByTimeAsync(1000);
  }
  expect(world.asked).toEqual(Array(3).fill("pod1/4: 1"));
});

test("the busier a pod, the more are made at once, and everyone gets another", async () => {
  const taken = await world.takeMany(200);
  expect(new Set(taken).size).toBe(200);
  expect(world.asked.slice(0, 6)).toEqual([1, 2, 4, 8, 16, 32].map((count) => `pod1/4: ${count}`));
  expect(world.asked.length).toBeLessThan(12);
  expect(world.spares.size).toBeLessThan(48);
});

test("nobody waits while there are some, and more are asked for before they are used up", async () => {
  await world.takeMany(40);
  const before = world.asked.length;
  const held = world.spares.size;
  const taken = await Promise.all(Array.from({ length: held }, () => world.spares.take(place, 4)));
  expect(new Set(taken).size).toBe(held);
  expect(world.asked.slice(before)).toEqual(["pod1/4: 32"]);
});

test("a socket made ahead is for its own pod and family, whatever else is asked for", async () => {
  await world.takeMany(10);
  const held = world.spares.size;
  expect(held).toBeGreaterThan(0);
  await world.take(other);
  await world.take(place, 6);
  await world.take({ ...place, cgroup: "pod3" });
  await world.take({ ...place, cookie: 7n });
  const ones = ["pod2/4: 1", "pod1/6: 1", "pod3/4: 1", "pod1/4: 1"];
  expect(world.asked.slice(-4)).toEqual(ones);
  expect(world.spares.size).toBe(held);
});

test("those of a pod that asks for none for a second are closed", async () => {
  await world.takeMany(10);
  const held = world.spares.size;
  await vi.advanceTimersByTimeAsync(900);
  await world.takeMany(5, other);
  expect(world.closed).toEqual([]);
  await vi.advanceTimersByTimeAsync(100);
  expect(world.closed).toHaveLength(held);
  await vi.advanceTimersByTimeAsync(1000);
  expect(world.spares.size).toBe(0);
});

test("those of a namespace are closed when it is let go, others' are not", async () => {
  await world.takeMany(10);
  await world.takeMany(10, other);
  const held = world.spares.size;
  world.spares.release(place);
  expect(world.closed).toHaveLength(held / 2);
  expect(world.spares.size).toBe(held / 2);
  world.spares.clear();
  expect(new Set(world.closed).size).toBe(held);
  expect(world.spares.size).toBe(0);
});

test("what comes when its namespace has been let go is for who waits, and the rest is closed", async () => {
  await world.takeMany(2);
  expect(await world.spares.take(place, 4)).toBe(102);
  expect(world.asked.at(-1)).toBe("pod1/4: 4");
  const waiting = world.spares.take(place, 4);
  world.spares.release(place);
  await world.answer();
  expect(await waiting).toBe(103);
  expect(world.closed).toEqual([104, 105, 106]);
  expect(world.spares.size).toBe(0);
});

test("a broker that cannot is told to all that wait, and asked again by the next", async () => {
  const waiting = [1, 2, 3].map(() => world.spares.take(place, 4).catch((error: Error) => error.message));
  await vi.advanceTimersByTimeAsync(0);
  await world.answer(new Error("ask the broker: it is not there"));
  expect(await Promise.all(waiting)).toEqual(Array(3).fill("ask the broker: it is not there"));
  expect(await world.take()).toBe(100);
  expect(world.spares.size).toBe(0);
});

test("of all pods together so many are made ahead and no more", async () => {
  for (let pod = 0; pod < 400; pod++) await world.takeMany(10, { cgroup: `pod${pod}`, cookie: BigInt(pod) });
  expect(world.spares.size).toBeGreaterThan(120);
  expect(world.spares.size).toBeLessThan(128 + 16);
});
