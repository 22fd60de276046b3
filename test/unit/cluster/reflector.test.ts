/** What a reflector keeps, and what it counts as a change. */
import { describe, expect, test } from "vitest";
import { Reflector } from "../../../agent/cluster/reflector.ts";
import { pause, rig, serveWidgets, WIDGETS, waitFor, widgets } from "./rig.ts";

const lists = { resource: WIDGETS, verb: "list" } as const;
const watches = { resource: WIDGETS, verb: "watch" } as const;

describe("change", () => {
  test("of what is not read, such as a status, is none", async () => {
    const it = await rig();
    it.create("alpha");
    await it.start();
    const before = it.reflector.values();
    const changes = it.changes();
    it.server.store.modify(WIDGETS, "default", "alpha", (object) => {
      object.metadata.labels = { touched: "yes" };
    });
    it.server.store.modify(
      WIDGETS,
      "default",
      "alpha",
      (object) => {
        object.status = { conditions: [] };
      },
      { subresource: "status" },
    );
    await pause(100);
    expect(it.reflector.values()).toBe(before);
    expect(it.changes()).toBe(changes);
  });

  test("is not what a relist with the same objects brings", async () => {
    const it = await rig();
    it.create("alpha");
    await it.start();
    const before = it.reflector.values();
    const changes = it.changes();
    const listed = it.server.faults.delay(lists, 0);
    it.server.faults.expireWatches(watches);
    await waitFor(() => listed.hits === 1, "the relist");
    await pause(50);
    expect(it.reflector.values()).toBe(before);
    expect(it.changes()).toBe(changes);
  });

  test("of one object leaves the others the same objects", async () => {
    const it = await rig();
    it.create("alpha");
    it.create("beta");
    await it.start();
    const before = it.reflector.values();
    it.resize("beta", 2);
    await waitFor(() => it.reflector.values() !== before, "the change");
    expect(before.map(({ size }) => size)).toEqual([1, 1]);
    expect(it.reflector.values()[0]).toBe(before[0]);
    expect(it.reflector.values()[1]).toEqual({ ...before[1], size: 2 });
  });

  test("is also that a list came, though it is empty", async () => {
    const it = await rig();
    await it.start();
    expect(it.changes()).toBe(1);
  });
});

test("an unchanged object is not even read again in a relist", async () => {
  let reads = 0;
  const parse: typeof widgets.parse = (...args) => {
    reads++;
    return widgets.parse(...args);
  };
  const it = await rig({ resource: { ...widgets, parse } });
  for (let i = 0; i < 10; i++) it.create(`widget-${i}`);
  await it.start();
  it.server.faults.expireWatches(watches);
  it.create("one-more");
  await it.has("one-more");
  expect(reads).toBe(11);
});

describe("an object that cannot be read", () => {
  test("is reported once and the others are kept", async () => {
    const it = await rig();
    it.create("good");
    it.create("bad", "boom");
    it.create("fine");
    await it.start();
    expect(it.names()).toEqual(["fine", "good"]);
    it.server.faults.expireWatches(watches);
    it.resize("good", 2);
    await waitFor(() => it.reflector.values().some(({ size }) => size === 2), "the relist");
    expect(it.problems()).toEqual([
      {
        level: "warn",
        message: "odd object from the API server",
        fields: {
          resource: WIDGETS,
          namespace: "default",
          name: "bad",
          problem: "cannot be read: Error: boom",
        },
      },
    ]);
  });

  test("keeps its last readable state, through events and lists, until it is readable or gone", async () => {
    const it = await rig();
    it.create("guard", 5);
    await it.start();
    it.resize("guard", "boom");
    it.create("marker");
    await it.has("marker");
    expect(it.reflector.values()[0]).toMatchObject({ name: "guard", size: 5 });
    const listed = it.server.faults.delay(lists, 0);
    it.server.faults.expireWatches(watches);
    await waitFor(() => listed.hits === 1, "the relist");
    await pause(50);
    expect(it.reflector.values().find(({ name }) => name === "guard")).toMatchObject({ size: 5 });
    it.resize("guard", 6);
    await waitFor(() => it.reflector.values().some(({ size }) => size === 6), "the repair");
    it.resize("guard", "boom");
    it.remove("guard");
    await it.lacks("guard");
  });

  test.each([
    "arrives",
    "is lost",
  ])("does not inherit the state of another uid, whose DELETE %s", async (event) => {
    const it = await rig();
    it.create("guard", 5);
    await it.start();
    if (event === "is lost") it.server.faults.dropEvents({ resource: WIDGETS, type: "DELETED" });
    it.remove("guard");
    it.create("guard", "boom");
    it.create("marker");
    await it.has("marker");
    expect(it.names()).toEqual(["marker"]);
  });

  test("with an odd field is kept without it, and that is said once", async () => {
    const it = await rig();
    it.create("odd", "large");
    await it.start();
    it.server.store.modify(WIDGETS, "default", "odd", (object) => {
      object.metadata.labels = { touched: "yes" };
    });
    it.create("marker");
    await it.has("marker");
    expect(it.reflector.values().find(({ name }) => name === "odd")).toMatchObject({ size: 0 });
    expect(it.problems().map(({ fields }) => fields.problem)).toEqual(["spec.size: is not a number"]);
  });
});

describe("a resource that is not served", () => {
  test("counts as listed and empty, is no error, and is found when it comes", async () => {
    const it = await rig({ uninstalled: true, speed: 100 });
    it.reflector.start();
    await waitFor(() => it.reflector.synced, "sync without the CRD");
    expect(it.reflector.health()).toMatchObject({ synced: true, served: false, lastError: undefined });
    serveWidgets(it.server);
    it.create("alpha");
    await it.has("alpha");
    expect(it.reflector.health()).toMatchObject({ served: true });
    expect(it.log.map(({ level }) => level)).not.toContain("warn");
  });

  test("any more has no objects any more", async () => {
    const it = await rig({ speed: 100 });
    it.create("alpha");
    await it.start();
    it.server.store.catalog.delete(WIDGETS);
    it.server.faults.closeWatches(watches);
    await it.lacks("alpha");
    expect(it.reflector.health()).toMatchObject({ synced: true, served: false });
    serveWidgets(it.server);
    await it.has("alpha");
  });

  test("is believed only when it is said three times: servers that start say 404 for a moment", async () => {
    const it = await rig({ speed: 100 });
    it.create("alpha");
    await it.start();
    const refused = it.server.faults.respond({ resource: WIDGETS }, 404, { times: 3 }); // one watch, two lists
    const changes = it.changes();
    it.server.faults.closeWatches(watches);
    await waitFor(() => refused.hits === 3, "three answers");
    it.create("beta");
    await it.has("beta");
    expect(it.changes()).toBe(changes + 1);
  });

  test("in its first version is read in the next", async () => {
    const paths = ["/apis/example.com/v1beta1/widgets", "/apis/example.com/v1/widgets"] as const;
    const it = await rig({ resource: { ...widgets, paths: [...paths] } });
    it.create("alpha");
    await it.start();
    expect(it.names()).toEqual(["alpha"]);
    // And when only the other one is left, in that.
    serveWidgets(it.server, ["v1beta1"]);
    it.server.faults.closeWatches(watches);
    it.create("beta");
    await it.has("alpha", "beta");
  });

  test("although every server has it is an error, because something else answers", async () => {
    const { custom: _, ...builtin } = widgets;
    const it = await rig({ uninstalled: true, resource: builtin, speed: 500 });
    it.reflector.start();
    await waitFor(() => it.reflector.health().lastError !== undefined, "the error");
    await pause(100);
    expect(it.reflector.synced).toBe(false);
    expect(it.reflector.health().lastError).toContain(`list ${WIDGETS}: 404`);
  });
});

test("health says when the server was last heard", async () => {
  const it = await rig();
  expect(
    new Reflector(widgets, { ...it, api: undefined as never, log: () => {}, onChange: () => {} }).health(),
  ).toEqual({
    resource: WIDGETS,
    synced: false,
    served: true,
    lastError: undefined,
    lastContact: 0,
  });
  await it.start();
  expect(it.clock.now() - it.reflector.health().lastContact).toBeLessThan(60_000);
});
