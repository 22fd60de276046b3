/** Whatever the API server or the way to it does, a reflector comes back to what is true. */
import { describe, expect, test } from "vitest";
import { randomFrom } from "../policy/random-expression.ts";
import { pause, rig, WIDGETS, type Widget, waitFor } from "./rig.ts";

type Rig = Awaited<ReturnType<typeof rig>>;
const lists = { resource: WIDGETS, verb: "list" } as const;
const watches = { resource: WIDGETS, verb: "watch" } as const;

describe("a first list that fails is tried again:", () => {
  const faults: Record<string, (rig: Rig) => unknown> = {
    "500": ({ server }) => server.faults.respond(lists, 500, { times: 3 }),
    "503": ({ server }) => server.faults.respond(lists, 503, { times: 3 }),
    "429 with Retry-After": ({ server }) => server.faults.respond(lists, 429, { retryAfter: 2, times: 2 }),
    "403, as before somebody grants it": ({ server }) => server.faults.respond(lists, 403, { times: 3 }),
    "401, as with a token that has just expired": ({ server }) =>
      server.faults.respond(lists, 401, { times: 2 }),
    "410 on the first page": ({ server }) => server.faults.respond(lists, 410, { times: 2 }),
    "reset before the answer": ({ server }) => server.faults.reset(lists, { times: 3 }),
    "reset in the middle of the answer": ({ server }) =>
      server.faults.reset(lists, { when: "mid-reply", times: 3 }),
    "connections reset as soon as they are made": ({ server }) => server.faults.resetConnections(3),
  };
  test.each(Object.entries(faults))("%s", async (_name, strike) => {
    const it = await rig();
    it.create("alpha");
    strike(it);
    it.reflector.start();
    await waitFor(() => it.reflector.synced, "sync");
    expect(it.names()).toEqual(["alpha"]);
    it.create("beta");
    await it.has("beta");
    expect(it.reflector.health()).toMatchObject({ synced: true, lastError: undefined });
  });
});

describe("a watch that fails is resumed and misses nothing:", () => {
  const faults: Record<string, (rig: Rig) => unknown> = {
    "the server ends it": ({ server }) => server.faults.closeWatches(watches),
    "the connection is reset": ({ server }) => server.faults.resetWatches(watches),
    "the connection is reset, and the next three too": ({ server }) => {
      server.faults.reset(watches, { times: 3 });
      return server.faults.resetWatches(watches);
    },
    "500 to the next three": ({ server }) => {
      server.faults.respond(watches, 500, { times: 3 });
      return server.faults.closeWatches(watches);
    },
    "500 for so long that it lists anew": ({ server }) => {
      server.faults.respond(watches, 500, { times: 6 });
      return server.faults.closeWatches(watches);
    },
    "429 with Retry-After": ({ server }) => {
      server.faults.respond(watches, 429, { retryAfter: 2, times: 2 });
      return server.faults.closeWatches(watches);
    },
    "410 as an HTTP status": ({ server }) => {
      server.faults.respond(watches, 410, { times: 2 });
      return server.faults.closeWatches(watches);
    },
    "410 as an ERROR event and the end": ({ server }) => server.faults.expireWatches(watches),
    "410 as an ERROR event, the stream left open": ({ server }) =>
      server.faults.expireWatches(watches, { close: false }),
    "the history was compacted meanwhile": ({ server }) => {
      server.faults.compact();
      return server.faults.resetWatches(watches);
    },
    "an ERROR event with another code": ({ server }) =>
      server.faults.sendLine(
        '{"type":"ERROR","object":{"kind":"Status","code":500,"reason":"InternalError"}}',
        watches,
      ),
    "an ERROR event without a code": ({ server }) =>
      server.faults.sendLine('{"type":"ERROR","object":null}', watches),
    "it says nothing more and stays open": ({ server }) => server.faults.silenceWatches(watches),
    "a line that is no JSON": ({ server }) => server.faults.sendLine("}{ not json", watches),
    "half an event": ({ server }) => server.faults.sendLine('{"type":"ADDED","object":{"meta', watches),
    "an event that is a number": ({ server }) => server.faults.sendLine("42", watches),
    "an event whose object has no metadata": ({ server }) =>
      server.faults.sendLine('{"type":"DELETED","object":{}}', watches),
    "an unknown type of event": ({ server }) =>
      server.faults.sendLine('{"type":"__proto__","object":{}}', watches),
    "a bookmark without a version": ({ server }) =>
      server.faults.sendLine('{"type":"BOOKMARK","object":{}}', watches),
  };
  test.each(Object.entries(faults))("%s", async (_name, strike) => {
    const it = await rig({ speed: 500 });
    it.create("stays");
    it.create("goes");
    it.create("grows");
    await it.start();
    await waitFor(() => strike(it) !== 0, "an open watch to strike");
    // At the moment of the fault or right behind it, where a client that only looks at lists or events loses one.
    it.create("comes");
    it.remove("goes");
    it.resize("grows", 2);
    await waitFor(
      () =>
        it.names().toSorted().join() === "comes,grows,stays" &&
        it.reflector.values().some((w) => w.size === 2),
      "the state after the fault",
    );
    it.create("later");
    await it.has("later");
  });
});

describe("only a new list tells what was lost, and it comes after", () => {
  const line = (text: string) => (server: Rig["server"]) => server.faults.sendLine(text, watches);
  const faults: Record<string, (server: Rig["server"]) => number> = {
    "an ERROR event 410 and the end": ({ faults }) => faults.expireWatches(watches),
    "an ERROR event 410, the stream left open": ({ faults }) =>
      faults.expireWatches(watches, { close: false }),
    "an ERROR event with the code 410 alone": line('{"type":"ERROR","object":{"code":410}}'),
    "an ERROR event with the reason Expired alone": line('{"type":"ERROR","object":{"reason":"Expired"}}'),
    "an ERROR event with the reason Gone alone": line('{"type":"ERROR","object":{"reason":"Gone"}}'),
    "HTTP 410 to the next watch": ({ faults }) => {
      faults.respond(watches, 410);
      return faults.closeWatches(watches);
    },
    "HTTP 400 to the next watch": ({ faults }) => {
      faults.respond(watches, 400);
      return faults.closeWatches(watches);
    },
    "HTTP 500 to watch after watch": ({ faults }) => {
      faults.respond(watches, 500, { times: 5 });
      return faults.closeWatches(watches);
    },
    "a line that is no JSON": line("{{{"),
    "an event without an object": line('{"type":"MODIFIED"}'),
    "an event whose object has no uid": line('{"type":"DELETED","object":{"metadata":{"name":"lost"}}}'),
  };
  test.each(Object.entries(faults))("%s", async (_name, strike) => {
    const it = await rig();
    await it.start();
    it.server.faults.dropEvents({ resource: WIDGETS, name: "lost" });
    it.create("lost");
    // Heard, so that no watch resumes before what was lost.
    it.create("behind");
    await it.has("behind");
    expect(it.names()).not.toContain("lost");
    expect(strike(it.server)).toBe(1);
    await it.has("lost");
  });
});

test("429 and 503 to watch after watch bring no lists, which would make it worse", async () => {
  const it = await rig({ speed: 500 });
  await it.start();
  const listed = it.server.faults.delay(lists, 0, { times: Number.POSITIVE_INFINITY });
  const busy = it.server.faults.respond(watches, 503, { times: 8 });
  it.server.faults.closeWatches(watches);
  await waitFor(() => busy.hits === 8, "eight refusals");
  it.create("alpha");
  await it.has("alpha");
  expect(listed.hits).toBe(0);
});

test("a relist takes the place of the store at once: nobody ever sees a part of the objects", async () => {
  const it = await rig();
  for (let i = 0; i < 1_100; i++) it.create(`widget-${i}`);
  await it.start();
  const pages = it.server.faults.delay(lists, 30, { times: Number.POSITIVE_INFINITY });
  let least = Number.POSITIVE_INFINITY;
  const look = setInterval(() => {
    least = Math.min(least, it.reflector.values().length);
  }, 1);
  for (let i = 0; i < 3; i++) {
    const before = pages.hits;
    await waitFor(() => it.server.faults.expireWatches(watches) > 0, "an open watch");
    await waitFor(() => pages.hits >= before + 3, "three pages");
  }
  clearInterval(look);
  expect(least).toBe(1_100);
});

test("what was deleted while nobody listened is gone after the relist, and what came back has its new uid", async () => {
  const it = await rig();
  it.create("gone");
  const old = it.create("again");
  await it.start();
  it.server.faults.dropEvents({ resource: WIDGETS }, { times: 3 });
  it.remove("gone");
  it.remove("again");
  const again = it.create("again", 7);
  expect(it.reflector.values()).toHaveLength(2);
  it.server.faults.expireWatches(watches);
  await waitFor(() => it.reflector.values().length === 1, "the relist");
  expect(it.reflector.values()).toEqual([{ name: "again", uid: again.metadata.uid, size: 7 }]);
  expect(again.metadata.uid).not.toBe(old.metadata.uid);
});

test("a late DELETE of the old uid never removes the object that has the name now", async () => {
  const it = await rig();
  it.create("db");
  await it.start();
  const held = it.server.faults.holdEvents({ resource: WIDGETS, name: "db" });
  it.remove("db");
  const next = it.create("db", 2);
  await waitFor(() => held.count === 2, "both events");
  held.release("reversed");
  it.create("marker");
  await it.has("marker");
  expect(it.reflector.values()).toContainEqual({ name: "db", uid: next.metadata.uid, size: 2 });
});

test("a lost DELETE does not leave the old object beside its successor", async () => {
  const it = await rig();
  it.create("db");
  await it.start();
  it.server.faults.dropEvents({ resource: WIDGETS, type: "DELETED" });
  it.remove("db");
  const next = it.create("db", 2);
  await waitFor(() => it.reflector.values()[0]?.size === 2, "the successor");
  expect(it.reflector.values().map(({ uid }) => uid)).toEqual([next.metadata.uid]);
});

test("a server that ends every watch at once is not asked in a hot loop", async () => {
  const it = await rig({ speed: 4 });
  await it.start();
  const asked = it.server.faults.delay(watches, 0, { times: Number.POSITIVE_INFINITY });
  const closing = setInterval(() => it.server.faults.closeWatches(watches), 2);
  await new Promise((resolve) => setTimeout(resolve, 500));
  clearInterval(closing);
  expect(asked.hits).toBeGreaterThan(0);
  expect(asked.hits).toBeLessThan(8);
});

test("a server that answers every watch with 410 is not listed in a hot loop", async () => {
  const it = await rig({ speed: 4 });
  it.server.faults.respond(watches, 410, { times: Number.POSITIVE_INFINITY });
  const asked = it.server.faults.delay(lists, 0, { times: Number.POSITIVE_INFINITY });
  it.reflector.start();
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(asked.hits).toBeGreaterThan(1);
  expect(asked.hits).toBeLessThan(8);
});

test("Retry-After is waited for, and not to the millisecond", async () => {
  const it = await rig({ speed: 4 });
  const refused = it.server.faults.respond(lists, 429, { retryAfter: 2 });
  const started = Date.now();
  it.reflector.start();
  await waitFor(() => it.reflector.synced, "sync");
  expect(refused.hits).toBe(1);
  expect(Date.now() - started).toBeGreaterThanOrEqual(500);
});

test("with a bookmark's version a reset watch resumes although the history it started from is forgotten", async () => {
  const it = await rig({ bookmarkSeconds: 0.05, historySize: 20 });
  it.create("alpha");
  await it.start();
  for (let i = 0; i < 40; i++) {
    it.server.store.create("configmaps", { metadata: { name: `noise-${i}`, namespace: "default" } });
  }
  await new Promise((resolve) => setTimeout(resolve, 150));
  const listed = it.server.faults.delay(lists, 0, { times: Number.POSITIVE_INFINITY });
  it.server.faults.resetWatches(watches);
  it.create("beta");
  await it.has("beta");
  expect(listed.hits).toBe(0);
});

test("an error is said once, however often it comes back, and its end too", async () => {
  const it = await rig({ speed: 200 });
  it.server.faults.respond(lists, 403, { times: 5 });
  it.reflector.start();
  await waitFor(() => it.reflector.health().lastError !== undefined, "the error");
  expect(it.reflector.health()).toMatchObject({
    synced: false,
    lastError: `list ${WIDGETS}: 403 Forbidden: give who asks (the agent's ServiceAccount, or the kubeconfig's user) list and watch on ${WIDGETS}`,
  });
  await waitFor(() => it.reflector.synced, "sync");
  expect(it.log.map(({ message }) => message)).toEqual([
    "cannot read from the API server",
    "reading from the API server again",
  ]);
});

test("whatever fails in whatever order, it ends with what the server has", async () => {
  const seed = Number(process.env.PODGATE_SEED ?? Date.now() % 2 ** 31);
  console.log(`reflector-faults.test.ts: PODGATE_SEED=${seed}`);
  const random = randomFrom(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const it = await rig({ speed: 200, bookmarkSeconds: 0.02, historySize: 50 });
  const { faults, store } = it.server;
  const strikes: (() => unknown)[] = [
    () => faults.closeWatches(watches),
    () => faults.resetWatches(watches),
    () => faults.silenceWatches(watches),
    () => faults.expireWatches(watches),
    () => faults.expireWatches(watches, { close: false }),
    () =>
      faults.sendLine(
        pick(["{", '{"type":"DELETED","object":{"metadata":{"name":"w1"}}}', "null", "[]"]),
        watches,
      ),
    () => faults.respond({ resource: WIDGETS }, pick([401, 403, 404, 410, 429, 500, 503, 504])),
    () => faults.reset({ resource: WIDGETS }, { when: pick(["at once", "mid-reply"]) }),
    () => faults.resetConnections(),
    () => faults.compact(),
    () => faults.expireContinueTokens(),
  ];
  it.reflector.start();
  for (let step = 0; step < 600; step++) {
    const name = `w${Math.floor(random() * 20)}`;
    const exists = store.find(WIDGETS, "default", name) !== undefined;
    if (!exists) it.create(name, step);
    else if (random() < 0.5) it.remove(name);
    else it.resize(name, step);
    if (random() < 0.2) pick(strikes)();
    if (random() < 0.3) await pause(2);
  }
  faults.clear();
  const wanted = () =>
    store
      .list(WIDGETS)
      .map(({ metadata, spec }) => `${metadata.name} ${metadata.uid} ${(spec as Widget).size}`);
  const found = () => it.reflector.values().map(({ name, uid, size }) => `${name} ${uid} ${size}`);
  await waitFor(() => found().toSorted().join() === wanted().toSorted().join(), "the server's objects");
  it.create("last");
  await it.has("last");
});

test("stop ends it, also while it waits and while a watch is open", async () => {
  const waiting = await rig({ speed: 1 });
  waiting.server.faults.respond(lists, 429, { retryAfter: 60 });
  waiting.reflector.start();
  await waitFor(() => waiting.reflector.health().lastError !== undefined, "the first failure");
  await waiting.reflector.stop();

  const watching = await rig();
  await watching.start();
  await watching.reflector.stop();
  await waitFor(() => watching.server.faults.closeWatches() === 0, "the watch to be closed");
  watching.create("unseen");
  expect(watching.names()).toEqual([]);
});
