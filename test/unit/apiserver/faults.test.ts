import { afterEach, beforeEach, expect, test } from "vitest";
import { type ApiServer, startApiServer } from "../../lab/apiserver/server.ts";
import { call, pod, type Watch, watch } from "./client.ts";

let server: ApiServer;
const open: Watch[] = [];
beforeEach(async () => {
  server = await startApiServer();
});
afterEach(async () => {
  for (const stream of open.splice(0)) stream.close();
  await server.close();
});

const list = () => call(server.url, "GET", "/api/v1/pods");
const makePod = (name: string) => server.store.create("pods", { ...pod(name), metadata: { name } });

async function watchPods(): Promise<Watch> {
  const stream = await watch(
    server.url,
    `/api/v1/pods?watch=true&resourceVersion=${server.store.history.version}`,
  );
  open.push(stream);
  return stream;
}

test.each([
  [429, "TooManyRequests"],
  [500, "InternalError"],
  [503, "ServiceUnavailable"],
])("status %i strikes as often as it should, and says when to come back", async (code, reason) => {
  const fault = server.faults.respond({ resource: "pods", verb: "list" }, code, { retryAfter: 2, times: 2 });
  const [first, second, third] = [await list(), await list(), await list()];
  expect([first.code, first.body.reason, first.headers.get("retry-after")]).toEqual([code, reason, "2"]);
  expect([second.code, third.code, fault.hits]).toEqual([code, 200, 2]);
});

test("a fault strikes only what it is meant for", async () => {
  server.faults.respond({ resource: "services" }, 500, { times: Number.POSITIVE_INFINITY });
  server.faults.respond({ resource: "pods", verb: "watch" }, 500, { times: Number.POSITIVE_INFINITY });
  server.faults.respond({ resource: "pods", namespace: "kube-system" }, 500, {
    times: Number.POSITIVE_INFINITY,
  });
  expect((await list()).code).toBe(200);
  expect((await call(server.url, "GET", "/api/v1/services")).code).toBe(500);
  expect((await watch(server.url, "/api/v1/pods?watch=true")).code).toBe(500);
});

test("a fault ends when it is removed", async () => {
  const fault = server.faults.respond({}, 503, { times: Number.POSITIVE_INFINITY });
  expect((await list()).code).toBe(503);
  fault.remove();
  expect((await list()).code).toBe(200);
});

test("the connection is reset at once, and then no more", async () => {
  server.faults.reset({ verb: "list" });
  await expect(list()).rejects.toMatchObject({ cause: { code: "ECONNRESET" } });
  expect((await list()).code).toBe(200);
});

test("the connection is reset in the middle of a list", async () => {
  for (let count = 0; count < 20; count++) makePod(`p${count}`);
  server.faults.reset({ verb: "list" }, { when: "mid-reply" });
  const response = await fetch(`${server.url}/api/v1/pods`);
  expect(response.status).toBe(200);
  await expect(response.text()).rejects.toThrow("terminated");
});

test("connections are reset as soon as they are made", async () => {
  server.faults.resetConnections(1);
  await expect(watch(server.url, "/api/v1/pods?watch=true")).rejects.toMatchObject({ code: "ECONNRESET" });
  open.push(await watch(server.url, "/api/v1/pods?watch=true"));
});

test("a delayed request is answered later", async () => {
  server.faults.delay({ verb: "list" }, 150);
  const begun = performance.now();
  expect((await list()).code).toBe(200);
  expect(performance.now() - begun).toBeGreaterThan(140);
});

test("open watches are closed, reset or silenced", async () => {
  const closed = await watchPods();
  expect(server.faults.closeWatches({ resource: "services" })).toBe(0);
  expect(server.faults.closeWatches({ resource: "pods" })).toBe(1);
  expect(await closed.nextLine()).toBe("end");
  const broken = await watchPods();
  server.faults.resetWatches();
  await expect(broken.nextLine()).rejects.toMatchObject({ code: "ECONNRESET" });
  const idle = await watchPods();
  server.faults.silenceWatches();
  makePod("a");
  server.faults.closeWatches();
  expect(await idle.quiet(50)).toBe(true);
});

test("an ERROR event 410 ends the stream or leaves it open", async () => {
  const [closing, staying] = [await watchPods(), await watch(server.url, "/api/v1/nodes?watch=true")];
  open.push(staying);
  server.faults.expireWatches({ resource: "pods" });
  expect(await closing.next()).toMatchObject({
    type: "ERROR",
    object: { kind: "Status", code: 410, reason: "Expired" },
  });
  expect(await closing.nextLine()).toBe("end");
  server.faults.expireWatches({ resource: "nodes" }, { close: false });
  expect((await staying.next()).type).toBe("ERROR");
  expect(await staying.quiet(50)).toBe(true);
});

test("an unparsable line arrives as it is", async () => {
  const stream = await watchPods();
  server.faults.sendLine('{"type":"ADDED","obj');
  expect(await stream.nextLine()).toBe('{"type":"ADDED","obj');
});

test("after compaction every version known so far is too old to watch from", async () => {
  makePod("a");
  const version = server.store.history.version;
  server.faults.compact();
  const { code } = await call(server.url, "GET", `/api/v1/pods?watch=true&resourceVersion=${version}`);
  expect(code).toBe(410);
  expect((await watchPods()).code).toBe(200);
});

test("a continue token expires on demand", async () => {
  makePod("a");
  makePod("b");
  const first = await call(server.url, "GET", "/api/v1/pods?limit=1");
  server.faults.expireContinueTokens();
  const second = await call(
    server.url,
    "GET",
    `/api/v1/pods?limit=1&continue=${first.body.metadata.continue}`,
  );
  expect([second.code, second.body.reason]).toEqual([410, "Expired"]);
});

test("a dropped event never arrives, the next one does", async () => {
  const stream = await watchPods();
  const fault = server.faults.dropEvents({ resource: "pods", name: "a" });
  makePod("a");
  makePod("b");
  expect((await stream.next()).object.metadata.name).toBe("b");
  expect(fault.hits).toBe(1);
});

test("held events arrive at release, in order or reversed", async () => {
  const stream = await watchPods();
  const held = server.faults.holdEvents({ resource: "pods", name: "a" });
  makePod("a");
  server.store.delete("pods", "default", "a");
  makePod("b");
  expect((await stream.next()).object.metadata.name).toBe("b");
  expect(held.count).toBe(2);
  held.release("reversed");
  expect([(await stream.next()).type, (await stream.next()).type]).toEqual(["DELETED", "ADDED"]);
  makePod("a");
  expect((await stream.next()).type).toBe("ADDED");
});

test("clear takes back every fault", async () => {
  server.faults.respond({}, 500, { times: 5 });
  server.faults.dropEvents({}, { times: 5 });
  server.faults.clear();
  const stream = await watchPods();
  makePod("a");
  expect((await stream.next()).type).toBe("ADDED");
});
