/** Conditions in a policy object's status: ours are right, everybody else's untouched, and nothing is written twice. */
import { describe, expect, test } from "vitest";
import { type Condition, withConditions } from "../../../agent/cluster/conditions.ts";
import type { PolicyRef } from "../../../agent/cluster/resources.ts";
import { StatusWriter } from "../../../agent/cluster/status.ts";
import { type CustomKind, clusterRig, install, resource } from "./cluster-rig.ts";
import { atEnd, pause } from "./rig.ts";

const KIND = "AgentEndpoint";
const NAME = resource(KIND);
const accepted: Condition = {
  type: "Accepted",
  status: "True",
  reason: "Accepted",
  message: "guards default/web",
  observedGeneration: 1,
};
const puts = { resource: NAME, verb: "update" } as const;

async function statusRig(options: { agents?: number; status?: boolean } = {}) {
  const it = await clusterRig([], 200);
  install(it.server, KIND as CustomKind, options.status ?? true);
  const spec = { url: "http://web.default", upstream: { url: "http://web.default" } };
  const created = it.server.store.create(NAME, { metadata: { name: "web" }, spec });
  const object: PolicyRef = { kind: KIND, namespace: "default", name: "web", uid: created.metadata.uid };
  const writers = Array.from({ length: options.agents ?? 1 }, () => {
    const writer = new StatusWriter({
      api: it.api,
      clock: it.clock,
      log: (level, message, fields) => it.log.push({ level, message, fields }),
      current: (ref) => it.cluster.conditions(ref),
      agents: () => 1_000,
    });
    atEnd(() => writer.stop());
    return writer;
  });
  await it.start();
  for (const writer of writers) writer.start();
  const conditions = () =>
    ((it.server.store.get(NAME, "default", "web").status as { conditions?: Record<string, unknown>[] })
      ?.conditions ?? []) as Record<string, unknown>[];
  const written = () => it.server.faults.delay(puts, 0, { times: Number.POSITIVE_INFINITY });
  return { ...it, object, writers, writer: writers[0] as StatusWriter, conditions, written };
}

describe("a condition", () => {
  test("is written beside those of other controllers", async () => {
    const it = await statusRig();
    const ready = {
      type: "Ready",
      status: "True",
      reason: "EndpointActive",
      message: "m",
      lastTransitionTime: "2026-01-01T00:00:00Z",
    };
    it.server.store.modify(
      NAME,
      "default",
      "web",
      (object) => {
        object.status = { id: "ep_1", conditions: [ready] };
      },
      { subresource: "status" },
    );
    it.writer.want(it.object, [accepted]);
    await it.settle(() => it.conditions().length === 2, "two conditions");
    expect(it.conditions()).toEqual([
      ready,
      { ...accepted, lastTransitionTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) },
    ]);
    expect(it.server.store.get(NAME, "default", "web").status).toMatchObject({ id: "ep_1" });
  });

  test("keeps its time of transition until its status changes", () => {
    const first = withConditions({}, [accepted], Date.UTC(2026, 0, 1));
    const reworded = withConditions(first, [{ ...accepted, message: "other" }], Date.UTC(2026, 0, 2));
    const refused = withConditions(reworded, [{ ...accepted, status: "False" }], Date.UTC(2026, 0, 3));
    const times = [first, reworded, refused].map(
      (object) =>
        (object.status as { conditions: { lastTransitionTime: string }[] }).conditions[0]?.lastTransitionTime,
    );
    expect(times).toEqual(["2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z"]);
  });

  test("that is there already is not written, nor even looked for", async () => {
    const it = await statusRig();
    it.server.store.modify(
      NAME,
      "default",
      "web",
      (object) => {
        object.status = { conditions: [{ ...accepted, lastTransitionTime: "2026-01-01T00:00:00Z" }] };
      },
      { subresource: "status" },
    );
    await it.settle(() => it.cluster.conditions(it.object)?.length === 1, "the watch to bring it");
    const gets = it.server.faults.delay({ resource: NAME, verb: "get" }, 0, {
      times: Number.POSITIVE_INFINITY,
    });
    const written = it.written();
    it.writer.want(it.object, [accepted]);
    await pause(120);
    expect([gets.hits, written.hits]).toEqual([0, 0]);
  });

  test("of a newer generation is left to those who have seen it", async () => {
    const it = await statusRig();
    it.server.store.modify(
      NAME,
      "default",
      "web",
      (object) => {
        object.status = { conditions: [{ ...accepted, observedGeneration: 9, message: "newer" }] };
      },
      { subresource: "status" },
    );
    const written = it.written();
    it.writer.want(it.object, [accepted]);
    await pause(120);
    expect(written.hits).toBe(0);
  });

  test("has a message of 1024 characters at most", async () => {
    const it = await statusRig();
    it.writer.want(it.object, [{ ...accepted, message: "x".repeat(5_000) }]);
    await it.settle(() => it.conditions().length === 1, "the condition");
    expect(it.conditions()[0]?.message).toHaveLength(1024);
    // And what was cut is not a difference for ever.
    const written = it.written();
    await it.settle(() => it.cluster.conditions(it.object)?.length === 1, "the watch to bring it");
    it.writer.want(it.object, [{ ...accepted, message: "x".repeat(5_000) }]);
    await pause(100);
    expect(written.hits).toBe(0);
  });

  test("that follows at once takes the place of one that was not yet written", async () => {
    const it = await statusRig();
    it.writer.want(it.object, [accepted]);
    it.writer.want(it.object, [{ ...accepted, status: "False", reason: "Invalid" }]);
    await it.settle(() => it.conditions().length === 1, "the condition");
    await pause(80);
    expect(it.conditions()).toMatchObject([{ status: "False", reason: "Invalid" }]);
  });
});

test("of one namespace waits for a few others, not for the hundreds that another namespace wants", async () => {
  const it = await statusRig();
  const written = it.written();
  const spec = { url: "http://web.crowd", upstream: { url: "http://web.crowd" } };
  it.server.store.create("namespaces", { metadata: { name: "crowd" } });
  for (let i = 0; i < 200; i++) {
    const [namespace, name] = ["crowd", `web-${i}`];
    const { metadata } = it.server.store.create(NAME, { metadata: { namespace, name }, spec });
    it.writer.want({ kind: KIND, namespace, name, uid: metadata.uid }, [accepted]);
  }
  // All of the crowd are due by now, and have been for longer than the one that comes last.
  await it.settle(() => written.hits > 20, "some of the crowd");
  it.writer.want(it.object, [accepted]);
  const before = written.hits;
  await it.settle(() => it.conditions().length === 1, "the condition");
  // Its own first wait is up to five seconds, which is 25 writes.
  expect(written.hits - before).toBeLessThan(40);
});

test("of eight agents that want to write the same, few do", async () => {
  const it = await statusRig({ agents: 8 });
  const written = it.written();
  for (const writer of it.writers) writer.want(it.object, [accepted]);
  await it.settle(() => it.conditions().length === 1, "the condition");
  await pause(120);
  expect(written.hits).toBeLessThan(8);
  expect(it.conditions()).toHaveLength(1);
});

test.each([
  [1, 10],
  [50, 500],
  [10_000, 5_000],
])("of %i agents waits %i ms at most before the first look", async (agents, most) => {
  const it = await clusterRig([]);
  const sleeps: number[] = [];
  const writer = new StatusWriter({
    api: it.api,
    clock: {
      ...it.clock,
      now: () => 0,
      sleep: (ms, signal) => {
        sleeps.push(ms);
        return new Promise((resolve) => signal?.addEventListener("abort", () => resolve()));
      },
    },
    log: () => {},
    current: () => undefined,
    agents: () => agents,
    random: () => 1,
  });
  writer.want({ kind: KIND, namespace: "default", name: "web", uid: "u" }, [accepted]);
  writer.start();
  await writer.stop();
  expect(sleeps).toEqual([most]);
});

describe("a write", () => {
  test("that comes second is made again on top of the first", async () => {
    const it = await statusRig();
    it.server.faults.respond(puts, 409, { times: 2 });
    it.writer.want(it.object, [accepted]);
    await it.settle(() => it.conditions().length === 1, "the condition");
    expect(it.log.filter(({ level }) => level === "warn")).toEqual([]);
  });

  test("that somebody made whom we have not yet heard of is not made", async () => {
    const it = await statusRig();
    it.server.faults.holdEvents({ resource: NAME });
    it.server.store.modify(
      NAME,
      "default",
      "web",
      (object) => {
        object.status = { conditions: [accepted] };
      },
      { subresource: "status" },
    );
    const gets = it.server.faults.delay({ resource: NAME, verb: "get" }, 0);
    const written = it.written();
    it.writer.want(it.object, [accepted]);
    await it.settle(() => gets.hits === 1, "the look");
    await pause(80);
    expect(written.hits).toBe(0);
  });

  test("about an object that has been replaced is not made", async () => {
    const it = await statusRig();
    it.server.store.delete(NAME, "default", "web");
    it.server.store.create(NAME, { metadata: { name: "web" }, spec: {} });
    const written = it.written();
    it.writer.want(it.object, [accepted]);
    await pause(120);
    expect(written.hits).toBe(0);
    expect(it.log.filter(({ message }) => message === "cannot write a status")).toEqual([]);
  });

  test("about an object that is gone is not made, and no error", async () => {
    const it = await statusRig();
    it.server.store.delete(NAME, "default", "web");
    const gets = it.server.faults.delay({ resource: NAME, verb: "get" }, 0, {
      times: Number.POSITIVE_INFINITY,
    });
    it.writer.want(it.object, [accepted]);
    await it.settle(() => gets.hits === 1, "the look");
    await pause(100);
    expect(gets.hits).toBe(1);
    expect(it.log.filter(({ level }) => level === "warn")).toEqual([]);
  });

  test.each([403, 404, 422])("refused with %i is reported once and not repeated in a loop", async (code) => {
    const it = await statusRig();
    const refused = it.server.faults.respond(puts, code, { times: Number.POSITIVE_INFINITY });
    for (let i = 0; i < 10; i++) {
      it.writer.want(it.object, [accepted]);
      await pause(20);
    }
    expect(refused.hits).toBe(1);
    expect(it.log.filter(({ message }) => message === "cannot write a status")).toHaveLength(1);
  });

  test.each([500, 503, 429])("refused with %i is made later", async (code) => {
    const it = await statusRig();
    it.server.faults.respond(puts, code);
    it.writer.want(it.object, [accepted]);
    await it.settle(() => it.conditions().length === 1, "the condition");
  });

  test("that changes because the cluster around the object did is made at once", async () => {
    const it = await statusRig();
    const refused: Condition = {
      ...accepted,
      status: "False",
      reason: "RefNotPermitted",
      message: "no grant",
    };
    for (const wanted of [accepted, refused, accepted, refused]) {
      const before = it.clock.now();
      // Wanted again and again, as every reconcile does: the first time, the agent may not have heard of its own write.
      await it.settle(() => {
        it.writer.want(it.object, [wanted]);
        return it.conditions()[0]?.reason === wanted.reason;
      }, wanted.reason);
      expect(it.clock.now() - before).toBeLessThan(60_000); // what a rewrite of the same waits
    }
  });

  test("that others keep undoing is not fought over", async () => {
    const it = await statusRig();
    const written = it.written();
    const rival = { ...accepted, message: "what a newer agent says" };
    const end = Date.now() + 200; // 40 s of the agent's clock
    while (Date.now() < end) {
      it.writer.want(it.object, [accepted]);
      if (it.conditions()[0]?.message === accepted.message) {
        it.server.store.modify(
          NAME,
          "default",
          "web",
          (object) => {
            object.status = { conditions: [rival] };
          },
          { subresource: "status" },
        );
      }
      await pause(5);
    }
    expect(written.hits).toBeGreaterThan(0);
    expect(written.hits).toBeLessThan(4); // instead of dozens
  });
});
