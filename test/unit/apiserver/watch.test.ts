import { afterEach, beforeEach, expect, test } from "vitest";
import { type ApiServer, startApiServer } from "../../lab/apiserver/server.ts";
import { call, pod, type Watch, watch } from "./client.ts";

let server: ApiServer;
const open: Watch[] = [];
beforeEach(async () => {
  server = await startApiServer({ bookmarkSeconds: 0.05, historySize: 50 });
});
afterEach(async () => {
  for (const stream of open.splice(0)) stream.close();
  await server.close();
});

async function watchPods(query = `resourceVersion=${server.store.history.version}`): Promise<Watch> {
  const stream = await watch(server.url, `/api/v1/pods?watch=true&${query}`);
  open.push(stream);
  return stream;
}

function makePod(name: string, labels: Record<string, string> = {}): void {
  server.store.create("pods", { ...pod(name), metadata: { name, labels } });
}

function label(name: string, labels: Record<string, string>): void {
  server.store.modify("pods", "default", name, ({ metadata }) => {
    metadata.labels = labels;
  });
}

test("every change after the version asked for arrives in order", async () => {
  makePod("before");
  const version = server.store.history.version;
  makePod("a");
  const stream = await watchPods(`resourceVersion=${version}`);
  label("a", { x: "1" });
  server.store.delete("pods", "default", "a");
  const events = [await stream.next(), await stream.next(), await stream.next()];
  expect(events.map(({ type }) => type)).toEqual(["ADDED", "MODIFIED", "DELETED"]);
  const versions = events.map(({ object }) => Number(object.metadata.resourceVersion));
  expect(versions).toEqual([version + 1, version + 2, version + 3]);
});

test("a watch without a version begins with everything there is", async () => {
  makePod("a");
  const stream = await watchPods("");
  expect(await stream.next()).toMatchObject({ type: "ADDED", object: { metadata: { name: "a" } } });
});

test("an object that comes into a selector's view is added, one that leaves is deleted", async () => {
  makePod("a");
  const stream = await watchPods(`labelSelector=on&resourceVersion=${server.store.history.version}`);
  label("a", { on: "1" });
  label("a", { on: "2" });
  label("a", {});
  label("a", { off: "1" });
  const events = [await stream.next(), await stream.next(), await stream.next()];
  expect(events.map(({ type }) => type)).toEqual(["ADDED", "MODIFIED", "DELETED"]);
  expect(events[2]?.object.metadata.labels).toEqual({ on: "2" });
  expect(await stream.quiet(30)).toBe(true);
});

test("a watch by name or of a namespace sees no other object", async () => {
  const version = server.store.history.version;
  makePod("a");
  makePod("b");
  const stream = await watchPods(`fieldSelector=metadata.name=b&resourceVersion=${version}`);
  expect((await stream.next()).object.metadata.name).toBe("b");
  const elsewhere = await watch(
    server.url,
    `/api/v1/namespaces/kube-system/pods?watch=1&resourceVersion=${version}`,
  );
  open.push(elsewhere);
  expect(await elsewhere.quiet(30)).toBe(true);
});

test("bookmarks come to who asks, with a version that can be watched from", async () => {
  const stream = await watchPods(`allowWatchBookmarks=true&resourceVersion=${server.store.history.version}`);
  const other = await watchPods();
  server.store.create("configmaps", { metadata: { name: "c" } });
  const bookmark = await stream.next();
  expect(bookmark).toMatchObject({ type: "BOOKMARK", object: { kind: "Pod" } });
  expect(bookmark.object.metadata.resourceVersion).toBe(String(server.store.history.version));
  expect(await other.quiet(120)).toBe(true);
});

test("timeoutSeconds ends the watch", async () => {
  const stream = await watchPods(`timeoutSeconds=1&resourceVersion=${server.store.history.version}`);
  expect(await stream.nextLine()).toBe("end");
});

test("a version older than the history is a 410 before anything is sent", async () => {
  for (let count = 0; count < 101; count++) makePod(`p${count}`);
  const { code, body } = await call(server.url, "GET", "/api/v1/pods?watch=true&resourceVersion=2");
  expect([code, body.reason]).toEqual([410, "Expired"]);
  const future = await call(server.url, "GET", "/api/v1/pods?watch=true&resourceVersion=100000");
  expect(future.code).toBe(504);
});

test("a watch of another resource hears nothing of pods", async () => {
  const version = server.store.history.version;
  const stream = await watch(server.url, `/api/v1/services?watch=true&resourceVersion=${version}`);
  open.push(stream);
  makePod("a");
  expect(await stream.quiet(30)).toBe(true);
});

test("sendInitialEvents is refused as by a server without it, so that clients list", async () => {
  const { code, body } = await call(server.url, "GET", "/api/v1/pods?watch=true&sendInitialEvents=true");
  expect([code, body.reason]).toEqual([422, "Invalid"]);
});

test("closing the server ends its watches", async () => {
  const stream = await watchPods();
  await server.close();
  await expect(stream.nextLine()).rejects.toThrow(/aborted/);
});

test("a listener that writes is heard after what it answers to", async () => {
  const stream = await watchPods();
  const unsubscribe = server.store.history.subscribe(({ resource, type, object }) => {
    if (resource === "pods" && type === "ADDED") label(object.metadata.name, { seen: "yes" });
  });
  const late = await watchPods();
  makePod("a");
  unsubscribe();
  for (const watcher of [stream, late]) {
    expect([(await watcher.next()).type, (await watcher.next()).type]).toEqual(["ADDED", "MODIFIED"]);
  }
});
