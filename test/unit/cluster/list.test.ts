/** Lists: in pages, whole or not at all. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { Api } from "../../../agent/cluster/api.ts";
import { Reflector } from "../../../agent/cluster/reflector.ts";
import { accessTo, atEnd, fastClock, rig, WIDGETS, waitFor, widgets } from "./rig.ts";

const lists = { resource: WIDGETS, verb: "list" } as const;

test("lists come in pages of 500", async () => {
  const it = await rig();
  for (let i = 0; i < 1_100; i++) it.create(`widget-${i}`);
  const pages = it.server.faults.delay(lists, 0, { times: Number.POSITIVE_INFINITY });
  await it.start();
  expect(it.reflector.values()).toHaveLength(1_100);
  expect(pages.hits).toBe(3);
});

test("a continue token that expires between two pages starts the list over", async () => {
  const it = await rig();
  for (let i = 0; i < 600; i++) it.create(`widget-${i}`);
  const pages = it.server.faults.delay(lists, 60, { times: Number.POSITIVE_INFINITY });
  it.reflector.start();
  await waitFor(() => pages.hits === 2, "the second page");
  it.server.faults.expireContinueTokens();
  await waitFor(() => pages.hits === 4, "the second page of the second list");
  it.server.faults.expireContinueTokens();
  await waitFor(() => it.reflector.synced, "the list without pages");
  expect(pages.hits).toBe(5);
  expect(it.reflector.values()).toHaveLength(600);
});

test.each([
  ["nothing", "{}"],
  ["no items", '{"metadata":{"resourceVersion":"1"}}'],
  ["items that are no list", '{"metadata":{"resourceVersion":"1"},"items":{}}'],
  ["no version", '{"metadata":{},"items":[]}'],
  ["an error that says 200", '{"kind":"Status","status":"Failure","code":500}'],
])("an answer with %s is not an empty list", async (_name, body) => {
  const server = createServer((_request, response) => void response.end(body));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  atEnd(async () => server.close());
  const { port } = server.address() as AddressInfo;
  const clock = fastClock(100);
  const api = new Api(accessTo(`http://127.0.0.1:${port}`), clock);
  const reflector = new Reflector(widgets, { api, clock, log: () => {}, onChange: () => {} });
  atEnd(() => reflector.stop());
  reflector.start();
  await waitFor(() => reflector.health().lastError !== undefined, "the error");
  expect(reflector.health()).toMatchObject({
    synced: false,
    lastError: `list ${WIDGETS}: the answer is not a list: look for a proxy in between`,
  });
});
