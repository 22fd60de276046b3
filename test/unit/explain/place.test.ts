import { describe, expect, test } from "vitest";
import { findCaller } from "../../../agent/explain/caller.ts";
import { type Family, findPlace } from "../../../agent/explain/place.ts";
import { pod, service, worldWith } from "./questions.ts";

const world = worldWith(
  pod("shop/ledger", { ip: "192.0.2.9" }),
  pod("shop/pending"),
  pod("shop/host", { spec: { hostNetwork: true } }),
  service("shop/one", [{ port: 80 }], { clusterIPs: ["10.96.0.1", "fd00::1"] }),
  service("shop/two", [
    { port: 80, name: "web" },
    { port: 443, name: "tls" },
    { port: 53, protocol: "UDP" },
  ]),
  service("shop/headless", [{ port: 5432, targetPort: 15432 }], {
    clusterIP: "None",
    selector: { app: "ledger" },
  }),
  service("shop/empty", [{ port: 80 }], { clusterIP: "None" }),
);

describe("a destination is found:", () => {
  test.each<[string, Family, string]>([
    ["one.shop", 4, "10.96.0.1 80"],
    ["one.shop:80", 6, "fd00::1 80"],
    ["one.shop.svc.cluster.local:80", 4, "10.96.0.1 80"],
    ["two.shop:tls", 4, "198.18.0.1 443"],
    ["two.shop:443", 6, "198.18.0.1 443"],
    ["headless.shop", 4, "192.0.2.9 15432"],
    ["shop/ledger:8080", 4, "192.0.2.9 8080"],
    ["shop/pending:80", 4, "198.19.0.1 80"],
    ["203.0.113.7:22", 4, "203.0.113.7 22"],
    ["[2001:db8::0:7]:22", 4, "2001:db8::7 22"],
  ])("%s (IPv%d)", (text, family, expected) => {
    const place = findPlace(world, text, family);
    if (place instanceof Error) throw place;
    expect(`${place.address} ${place.port}`).toBe(expected);
  });
});

describe("what is none is refused, with what to write:", () => {
  test.each([
    ["two.shop", /write a port of Service shop\/two: 80 \(web\), 443 \(tls\)/],
    ["two.shop:53", /has no TCP port 53: it has 80 \(web\), 443 \(tls\)/],
    ["two.shop:", /has no TCP port/],
    ["none.shop", /there is no Service shop\/none/],
    ["one", /write service\.namespace:port/],
    ["a.b.c:80", /write service\.namespace:port/],
    ["shop/none:80", /there is no pod shop\/none$/],
    ["shop/two:80", /there is no pod shop\/two: write the Service as two\.shop$/],
    ["shop/host:80", /pod shop\/host has no address yet/],
    ["shop/ledger", /write the port too/],
    ["203.0.113.7", /write the port too/],
    ["203.0.113.7:0", /is no port from 1 to 65535/],
    ["203.0.113.7:x", /is no port from 1 to 65535/],
    ["empty.shop", /headless without pods/],
    ["", /write service\.namespace:port/],
  ])("`%s`", (text, message) => {
    const place = findPlace(world, text);
    expect(place).toBeInstanceOf(Error);
    expect((place as Error).message).toMatch(message);
  });
});

test("a caller is a pod that exists, or unresolved", () => {
  expect(findCaller(world, "shop/ledger")).toMatchObject({ pod: { name: "ledger" } });
  expect(findCaller(world, "unresolved")).toEqual({ pod: undefined });
  expect(findCaller(world, "shop/nobody")).toBeInstanceOf(Error);
  expect(findCaller(world, "ledger")).toBeInstanceOf(Error);
});
