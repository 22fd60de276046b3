import { afterEach, expect, test } from "vitest";
import type { LogOptions } from "../../lab/apiserver/logs.ts";
import { type ApiServer, startApiServer } from "../../lab/apiserver/server.ts";
import { call, pod } from "./client.ts";

let server: ApiServer;
afterEach(() => server.close());

type Asked = [namespace: string, pod: string, container: string, options: LogOptions];

async function start(pieces: (options: LogOptions) => AsyncIterable<string> | undefined): Promise<Asked[]> {
  const asked: Asked[] = [];
  server = await startApiServer({
    logs: (...question) => {
      asked.push(question);
      return pieces(question[3]);
    },
  });
  const containers = [
    { name: "main", image: "x" },
    { name: "side", image: "x" },
  ];
  server.store.create("pods", { ...pod("one"), metadata: { name: "one" } });
  server.store.create("pods", { ...pod("two", { containers }), metadata: { name: "two" } });
  return asked;
}

const log = (name: string, query = "") =>
  call(server.url, "GET", `/api/v1/namespaces/default/pods/${name}/log${query}`);

async function* lines(...texts: string[]): AsyncGenerator<string> {
  yield* texts;
}

test("a log is text, as its source writes it", async () => {
  const asked = await start(() => lines("a\n", "b\n"));
  const { code, body, headers } = await log("one");
  expect([code, body, headers.get("content-type")]).toEqual([200, "a\nb\n", "text/plain"]);
  expect(asked[0]?.slice(0, 3)).toEqual(["default", "one", "main"]);
});

test("the options of the query reach the source", async () => {
  const asked = await start(() => lines());
  await log(
    "two",
    "?container=side&follow=true&tailLines=5&sinceSeconds=60&timestamps=true&limitBytes=9&previous=true",
  );
  expect(asked[0]?.[2]).toBe("side");
  expect(asked[0]?.[3]).toMatchObject({
    follow: true,
    tailLines: 5,
    sinceSeconds: 60,
    limitBytes: 9,
    timestamps: true,
    previous: true,
  });
});

test.each([
  ["two", "", 400, "a container name must be specified for pod two, choose one of: [main side]"],
  ["two", "?container=none", 400, "container none is not valid for pod two"],
  ["one", "?tailLines=-1", 400, "tailLines -1 is not a number"],
  ["three", "", 404, 'pods "three" not found'],
])("log of %s%s is refused", async (name, query, code, message) => {
  await start(() => lines());
  expect((await log(name, query)).body).toMatchObject({ code, message });
});

test("a container without a log is a 400 that says it has not started", async () => {
  await start(() => undefined);
  expect((await log("one")).body).toMatchObject({
    code: 400,
    message: expect.stringContaining("is waiting to start"),
  });
});

test("a reader that leaves ends the source", async () => {
  let signal: AbortSignal | undefined;
  await start((options) => {
    signal = options.signal;
    return endless(options.signal);
  });
  const leaving = new AbortController();
  const response = await fetch(`${server.url}/api/v1/namespaces/default/pods/one/log?follow=true`, {
    signal: leaving.signal,
  });
  await response.body?.getReader().read();
  leaving.abort();
  while (signal?.aborted !== true) await new Promise((resolve) => setTimeout(resolve, 5));
});

async function* endless(signal: AbortSignal): AsyncGenerator<string> {
  while (!signal.aborted) {
    yield "more\n";
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
